"""A table as the database describes it, to be drafted, or left out with the reasons. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from statekeeper.errors import PlanError
from statekeeper.model.base import Frozen
from statekeeper.model.column import SourceColumn
from statekeeper.model.table import Relation, TableRef
from statekeeper.scaffold.fields import draft_field


class LeftOut(Frozen):
    """A table that cannot be extracted as it is, and why."""

    table: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class TableDraft:
    """A table. `failure` says why it could not be described, if so; `configured` is the table's entry in an existing
    configuration.
    """

    relation: Relation
    columns: tuple[SourceColumn, ...] = ()
    failure: str | None = None
    configured: TableRef | None = None

    @property
    def label(self) -> str:
        """Its name in messages."""
        return self.configured.key if self.configured else self.relation.label

    @property
    def schema_name(self) -> str | None:
        """The database schema."""
        return self.configured.schema_name if self.configured else self.relation.schema_name

    @property
    def table_name(self) -> str:
        """The table's own name, or its query's name in the configuration."""
        return self.configured.table_name if self.configured else str(self.relation.table_name)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it cannot be extracted as it is, one line each; empty if it can."""
        if self.failure is not None:
            return tuple(self.failure.splitlines())
        if not self.columns:
            return ("it has no columns",)
        return tuple(_reason(column) for column in self.columns if draft_field(column) is None)

    @property
    def incremental_candidates(self) -> tuple[str, ...]:
        """Columns that look like the time of a row's last change."""
        return tuple(
            column.name
            for column in self.columns
            if (column.read_type or "").startswith("timestamp[")
            and any(word in column.name.casefold() for word in ("updat", "modif", "chang"))
        )


def left_out(tables: Sequence[TableDraft]) -> tuple[LeftOut, ...]:
    """The tables that cannot be extracted as they are."""
    return tuple(LeftOut(table=table.label, reasons=table.reasons) for table in tables if table.reasons)


def require_any(tables: Sequence[TableDraft]) -> None:
    """Raise PlanError if no table can be extracted as it is."""
    if all(table.reasons for table in tables):
        reasons = "\n".join(f"  {left.table}: {reason}" for left in left_out(tables) for reason in left.reasons)
        raise PlanError(f"no table can be extracted as it is:\n{reasons}", hint="write a custom_query by hand")


def _reason(column: SourceColumn) -> str:
    reason = column.refusal or f"column {column.name}: {column.database_type} has no exact representation"
    return reason if column.name in reason else f"column {column.name}: {reason}"
