"""Differences between a model and the live table, as values, with a message and a remedy.

`schemas.columns.reconcile.compare` finds them. This module only decides how they are represented.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field, computed_field

from statekeeper.errors import ExitCode, worst_exit_code
from statekeeper.model.base import Frozen
from statekeeper.model.schema import SchemaRef
from statekeeper.model.state import Failure
from statekeeper.model.table import TableRef


class DifferenceKind(StrEnum):
    """How a column and a field differ."""

    NEW = "new"
    """The table has a column that the model does not have."""
    LOST = "lost"
    """The model has a field that the table does not have."""
    RETYPED = "retyped"
    """Both have it, but no type in the file is exact for both."""
    NULLABILITY = "nullability"
    """Both have it, but only one of them allows NULL."""


class Difference(Frozen):
    """One column or field in which table and model differ."""

    kind: DifferenceKind
    name: str = Field(description="the column's name; for a lost one, its name in the model")
    table: str | None = Field(description="the table's side: the database's type, and whether NULL is allowed")
    model: str | None = Field(description="the model's side: the type that its field accepts")
    message: str = Field(description="a run's message about it")
    remedy: str = Field(description="what to do about it")

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own form of a serialised property
    @property
    def is_refused(self) -> bool:
        """Whether a run with `on_drift: fail` refuses it before it reads a row; else the run checks the values."""
        return self.kind is not DifferenceKind.NULLABILITY

    def declared_as(self, declarations: Mapping[str, str]) -> Difference:
        """The same; a new column gets its declaration, from those by name, as the remedy."""
        if self.kind is not DifferenceKind.NEW:
            return self
        remedy = f"declare {declarations[self.name]}, or select without it in a custom_query"
        return self.model_copy(update={"remedy": remedy})


class DiffVerdict(StrEnum):
    """The result of a comparison."""

    SAME = "same"
    DIFFERENT = "different"
    NO_MODEL = "no model"
    FAILED = "failed"


class Compared(Frozen):
    """The differences, and whether a run stops at them according to the table's `on_drift`."""

    differences: tuple[Difference, ...]
    is_refused: bool


class TableDiff(Frozen):
    """One table and its model; `model` is None if none is declared."""

    table: TableRef
    model: str | None
    verdict: DiffVerdict
    is_refused: bool = Field(default=False, description="whether a run stops at it, as the table's on_drift says")
    differences: tuple[Difference, ...] = ()
    failure: Failure | None = None

    @classmethod
    def of(cls, table: TableRef, schema: SchemaRef, compared: Compared) -> TableDiff:
        """The result for a table that was compared."""
        same = DiffVerdict.SAME if schema.is_declared else DiffVerdict.NO_MODEL
        return cls(
            table=table,
            model=schema.label,
            verdict=DiffVerdict.DIFFERENT if compared.differences else same,
            is_refused=compared.is_refused,
            differences=compared.differences,
        )

    @property
    def exit_code(self) -> int:
        """The exit code for this table alone."""
        if self.failure is not None:
            return ExitCode.of_failure(self.failure.kind)
        return ExitCode.COMPLETE if self.verdict in {DiffVerdict.SAME, DiffVerdict.NO_MODEL} else ExitCode.FAILED

    def only_refused(self) -> TableDiff:
        """The same without differences that a run accepts."""
        if not self.differences:
            return self
        refused = tuple(one for one in self.differences if one.is_refused) if self.is_refused else ()
        verdict = DiffVerdict.DIFFERENT if refused else DiffVerdict.SAME
        return self.model_copy(update={"differences": refused, "verdict": verdict})


class DiffReport(Frozen):
    """The result of `statekeeper schemas diff`."""

    tables: tuple[TableDiff, ...]

    def only_bad(self) -> DiffReport:
        """The same without the tables that match their models."""
        return self.model_copy(update={"tables": tuple(table for table in self.tables if table.exit_code)})

    def only_refused(self) -> DiffReport:
        """The same without differences that a run accepts."""
        return self.model_copy(update={"tables": tuple(table.only_refused() for table in self.tables)})

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own form of a serialised property
    @property
    def exit_code(self) -> int:
        """4 if a source is unreachable, 1 for a difference or a table that cannot be compared, else 0."""
        return int(worst_exit_code(table.exit_code for table in self.tables))
