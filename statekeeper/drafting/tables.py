"""A table as the database describes it, ready to be drafted or left out with the reasons. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from statekeeper.drafting.fields import draft_field
from statekeeper.model.table import Relation
from statekeeper.sources.protocol import SourceColumn


@dataclass(frozen=True)
class TableDraft:
    """A table. `failure` says why it could not be described, where it could not."""

    relation: Relation
    columns: tuple[SourceColumn, ...] = ()
    failure: str | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it cannot be extracted as it is, a line each; empty where it can."""
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


def _reason(column: SourceColumn) -> str:
    reason = column.refusal or f"column {column.name}: {column.database_type} has no exact representation"
    return reason if column.name in reason else f"column {column.name}: {reason}"
