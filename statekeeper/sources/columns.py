"""What all sources say of columns: how the configuration names them, and what a declared type offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from statekeeper.errors import PlanError
from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import PlannedColumn
from statekeeper.sources.sql import quoted


class Named(Protocol):
    """Anything with a column's name."""

    @property
    def name(self) -> str: ...


class Typed(Named, Protocol):
    """Anything with a column's name and its type in the database."""

    @property
    def database_type(self) -> str: ...


Column = TypeVar("Column", bound=Named)


def named_column(columns: Sequence[Column], name: str, what: str) -> Column:
    """The column called `name`: spelt so, else the only one that differs by case alone.

    Raises:
        PlanError: there is none, or several differ by case alone; `what` begins the message.
    """
    written = name[1:-1] if len(name) > 1 and name.startswith('"') and name.endswith('"') else name
    exact = [one for one in columns if one.name == written]
    alike = [one for one in columns if one.name.casefold() == written.casefold()]
    if exact or len(alike) == 1:
        return (exact or alike)[0]
    listed = ", ".join(one.name for one in alike or columns)
    if alike:
        raise PlanError(f"{what}: several columns differ from {name} only by case", hint=f"write one of {listed}")
    raise PlanError(f"{what}: there is no column {name}", hint=f"the columns are {listed}")


class Offer(Protocol):
    """An Arrow type that a source can deliver."""

    @property
    def arrow(self) -> str: ...


AnyOffer = TypeVar("AnyOffer", bound=Offer)


@dataclass(frozen=True)
class TypeRule(Generic[AnyOffer]):
    """What can be had from a declared type; where `read` is None, `refusal` says what to declare or select instead.

    In `refusal`, `{0}` stands for the column.
    """

    read: AnyOffer | None
    alternatives: tuple[AnyOffer, ...] = ()
    refusal: str | None = None

    @property
    def offered(self) -> tuple[AnyOffer, ...]:
        """Every type that can be had."""
        return ((self.read,) if self.read else ()) + self.alternatives

    def delivery(self, column: PlannedColumn) -> AnyOffer:
        """How a column of such a type is delivered as planned. Raises PlanError where it cannot be had as that."""
        for one in self.offered:
            if one.arrow == column.read_type:
                return one
        types = ", ".join(one.arrow for one in self.offered) or "no type"
        what = f"column {column.name} ({column.database_type}) cannot be read as {column.read_type}"
        raise PlanError(f"{what}, only as {types}")


def described_column(name: str, database_type: str, rule: TypeRule[Any], *, is_nullable: bool) -> SourceColumn:
    """The column as a source describes it, by what its declared type offers."""
    refusal = None
    if rule.refusal is not None:
        refusal = f"column {name} ({database_type}) {rule.refusal.replace('{0}', quoted(name))}"
    return SourceColumn(
        name=name,
        database_type=database_type,
        read_type=rule.read.arrow if rule.read else None,
        is_nullable=is_nullable,
        alternatives=tuple(one.arrow for one in rule.alternatives),
        refusal=refusal,
    )
