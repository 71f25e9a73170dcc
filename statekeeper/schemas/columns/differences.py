"""What differs between a model and the live table, as values: what a run would say of it, and what to do.

`schemas.columns.reconcile.compare` finds the differences. This module decides only how they are kept and shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field, computed_field

from statekeeper.errors import ExitCode, worst_exit_code
from statekeeper.model.base import Frozen
from statekeeper.model.record import Failure
from statekeeper.model.schema import SchemaRef
from statekeeper.model.table import TableRef


class DifferenceKind(StrEnum):
    """How a column and a field differ."""

    NEW = "new"
    """The table has a column that the model does not have."""
    LOST = "lost"
    """The model has a field that the table does not have."""
    RETYPED = "retyped"
    """Both have it, and no type in the file serves both exactly."""
    NULLABILITY = "nullability"
    """Both have it, and only one of them allows NULL."""


class Difference(Frozen):
    """One column or field of which table and model say different things."""

    kind: DifferenceKind
    name: str = Field(description="the column's name; of a lost one, the name that the model gives it")
    table: str | None = Field(description="the table's side: the database's type, and whether NULL is allowed")
    model: str | None = Field(description="the model's side: the type that its field takes")
    message: str = Field(description="what a run says of it")
    remedy: str = Field(description="what to do about it")

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own form of a serialised property
    @property
    def is_refused(self) -> bool:
        """Whether a run stops at it with `on_drift: fail`, before it reads a row; else it looks at the values."""
        return self.kind is not DifferenceKind.NULLABILITY

    def declared_as(self, declarations: Mapping[str, str]) -> Difference:
        """The same; of a new column, with what to write for it, by its name."""
        if self.kind is not DifferenceKind.NEW:
            return self
        remedy = f"declare {declarations[self.name]}, or select without it in a custom_query"
        return self.model_copy(update={"remedy": remedy})


class DiffVerdict(StrEnum):
    """What a comparison came to."""

    SAME = "same"
    DIFFERENT = "different"
    NO_MODEL = "no model"
    FAILED = "failed"


class Compared(Frozen):
    """What differs, and whether a run stops at it: that is for the table's `on_drift` to say."""

    differences: tuple[Difference, ...]
    is_refused: bool


class TableDiff(Frozen):
    """One table and its model; `model` is None where none is declared."""

    table: TableRef
    model: str | None
    verdict: DiffVerdict
    is_refused: bool = Field(default=False, description="whether a run stops at it, as the table's on_drift says")
    differences: tuple[Difference, ...] = ()
    failure: Failure | None = None

    @classmethod
    def of(cls, table: TableRef, schema: SchemaRef, compared: Compared) -> TableDiff:
        """The verdict on a table that was looked at."""
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
        """What a comparison of this table alone ends with."""
        if self.failure is not None:
            return ExitCode.of_failure(self.failure.kind)
        return ExitCode.COMPLETE if self.verdict in {DiffVerdict.SAME, DiffVerdict.NO_MODEL} else ExitCode.FAILED

    def only_refused(self) -> TableDiff:
        """The same without what a run would go on with."""
        if not self.differences:
            return self
        refused = tuple(one for one in self.differences if one.is_refused) if self.is_refused else ()
        verdict = DiffVerdict.DIFFERENT if refused else DiffVerdict.SAME
        return self.model_copy(update={"differences": refused, "verdict": verdict})


class DiffReport(Frozen):
    """What `statekeeper schemas diff` found."""

    tables: tuple[TableDiff, ...]

    def only_bad(self) -> DiffReport:
        """The same without the tables that are as their models have them."""
        return self.model_copy(update={"tables": tuple(table for table in self.tables if table.exit_code)})

    def only_refused(self) -> DiffReport:
        """The same without what a run would go on with."""
        return self.model_copy(update={"tables": tuple(table.only_refused() for table in self.tables)})

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own form of a serialised property
    @property
    def exit_code(self) -> int:
        """4 for a source out of reach, 1 for a difference or a table that cannot be compared, else 0."""
        return int(worst_exit_code(table.exit_code for table in self.tables))
