"""What all sources say of columns: how the configuration names them, and what a declared type offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from statekeeper.errors import PlanError
from statekeeper.model.column import SourceColumn
from statekeeper.sources.sql import quoted


class Named(Protocol):
    """Anything with a column's name."""

    @property
    def name(self) -> str: ...


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


class TypeOffers(Protocol):
    """What can be had from a declared type; in `refusal`, `{0}` stands for the column."""

    @property
    def read(self) -> Offer | None: ...

    @property
    def alternatives(self) -> Sequence[Offer]: ...

    @property
    def refusal(self) -> str | None: ...


def described_column(name: str, database_type: str, rule: TypeOffers, *, is_nullable: bool) -> SourceColumn:
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
