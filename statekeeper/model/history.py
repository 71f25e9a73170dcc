"""What `statekeeper history` shows of a table: its extractions, and what they cover of its incremental column."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from statekeeper.model.base import Frozen
from statekeeper.model.table import StoredPosition, TableRef


class PastExtraction(Frozen):
    """One extraction of a table. `start` and `end` are null for a table without an incremental column."""

    extraction_date: str
    run_id: str
    state: Literal["pending", "extracting", "validating", "complete", "failed", "damaged", "missing", "removed"] = (
        Field(
            description="damaged: one of its documents cannot be read; missing: it was complete, and its files are "
            "gone; removed: the same, before the oldest date that is left"
        )
    )
    records: int | None = Field(description="rows that are published; null if none are")
    bytes: int | None
    start: StoredPosition | None = Field(description="where its window begins, its lookback apart; null: the beginning")
    end: StoredPosition | None
    ended_at: AwareDatetime | None


class HistoryGap(Frozen):
    """Values that no extraction has taken: between two windows or, with `start` null, before the first."""

    start: StoredPosition | None
    end: StoredPosition


class HistoryOverlap(Frozen):
    """Values that two extractions have taken."""

    start: StoredPosition
    end: StoredPosition
    run_ids: tuple[str, str]


class TableHistory(Frozen):
    """The extractions of a table, the oldest date first."""

    table: TableRef
    base_path: str
    incremental_column: str | None
    covered_through: StoredPosition | None = Field(
        description="complete extractions have every value before this point"
    )
    extractions: tuple[PastExtraction, ...]
    holes: tuple[HistoryGap, ...] = ()
    overlaps: tuple[HistoryOverlap, ...] = ()
    remarks: tuple[str, ...] = Field(default=(), description="what is not covered, with the command that extracts it")
