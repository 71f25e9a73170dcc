"""The mark of rows that an earlier extraction has published: its column, and the datasets with which rows are compared.

A plan decides it once, so a resumed extraction gives the same marks. `statekeeper.plan.compared` decides which datasets
these are, and `statekeeper.extract.taken_before` computes the column.
"""

from __future__ import annotations

from datetime import date

from pydantic import Field

from statekeeper.model.base import StoredValue
from statekeeper.model.table import Position, StoredPosition

TAKEN_BEFORE = "taken_before"
"""The name of the column, of type bool and never NULL."""


class ComparedDataset(StoredValue):
    """A published dataset: that of a plan of one extraction.

    `[start, end)` is the stretch of the incremental column that both extractions read; `start` None is "from the
    beginning".
    """

    run_id: str
    extraction_date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    plan_id: str
    start: StoredPosition | None
    end: StoredPosition

    @property
    def extraction(self) -> tuple[str, str]:
        """The date and the run id: the identity of the extraction within its table."""
        return self.extraction_date, self.run_id

    @property
    def date(self) -> date:
        return date.fromisoformat(self.extraction_date)

    @property
    def label(self) -> str:
        """How messages name it: `nightly-20260106 of 2026-01-06`."""
        return f"{self.run_id} of {self.extraction_date}"


class Mark(StoredValue):
    """How rows that were taken before are found. `unique` has the columns of the table's unique keys."""

    column: str = TAKEN_BEFORE
    incremental_column: str
    unique: tuple[tuple[str, ...], ...]
    compared: tuple[ComparedDataset, ...] = Field(
        default=(), description="the datasets in which rows are looked for; empty for a first load"
    )

    @property
    def stretch(self) -> tuple[Position | None, Position] | None:
        """From where to where on the column other extractions have read rows, too; None if there is no such place."""
        if not self.compared:
            return None
        first = min(self.compared, key=lambda dataset: (dataset.start is not None, dataset.start))
        return first.start, max(dataset.end for dataset in self.compared)
