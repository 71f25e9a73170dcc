"""Columns as the configuration names them: by name, without regard to case where that is not ambiguous."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from statekeeper.errors import PlanError


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
