"""What all sources share about columns: finding one by its configured name, and what a declared type offers."""

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
    """The column called `name`: by exact spelling, otherwise the only one that differs only by case.

    Raises:
        PlanError: there is none, or several differ only by case; `what` begins the message.
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
    """The Arrow types in which a column of a declared type can be read.

    Attributes:
        read: the default; None if there is none.
        alternatives: types that a schema may ask for instead.
        refusal: if `read` is None, what to declare or select instead; `{0}` stands for the column.
    """

    read: AnyOffer | None
    alternatives: tuple[AnyOffer, ...] = ()
    refusal: str | None = None

    @property
    def offered(self) -> tuple[AnyOffer, ...]:
        """Every type in which the column can be read."""
        return ((self.read,) if self.read else ()) + self.alternatives

    def delivery(self, column: PlannedColumn) -> AnyOffer:
        """How a planned column of this type is delivered. Raises PlanError if it cannot be read as planned."""
        for one in self.offered:
            if one.arrow == column.read_type:
                return one
        types = ", ".join(one.arrow for one in self.offered) or "no type"
        what = f"column {column.name} ({column.database_type}) cannot be read as {column.read_type}"
        raise PlanError(f"{what}, only as {types}")


def described_column(name: str, database_type: str, rule: TypeRule[Any], *, is_nullable: bool) -> SourceColumn:
    """A SourceColumn made from a column's name, its declared type and the rule for that type."""
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
