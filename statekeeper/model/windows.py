"""`windows.json`: which windows of a table's incremental column its extractions have taken. Frozen values.

It is an index of the commit records: whatever it says of complete extractions can be read from them again. A window is
written down before its rows are read, so no complete extraction is ever missing.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from statekeeper.model.base import Document, StoredValue
from statekeeper.model.table import StoredPosition, TableRef


class TakenWindow(StoredValue):
    """The window `[start, end)` of one extraction; `start` None is "from the beginning".

    Its rows may reach back further, by the table's `lookback`: those before `start` belong to an earlier window, too.
    """

    run_id: str
    extraction_date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    column: str
    start: StoredPosition | None
    end: StoredPosition
    timezone: str | None = Field(
        default=None, description="the zone of its bounds; null if it was not selected by them, or if it is not known"
    )
    read_from: StoredPosition | None = Field(
        default=None,
        description="where its rows begin, its lookback included; null if that is the beginning, or in entries of "
        "older versions",
    )
    is_complete: bool = Field(description="whether its commit record was seen; false: planned, and maybe complete")

    @property
    def extraction(self) -> tuple[str, str]:
        """The date and the run id: the identity of the extraction within its table."""
        return self.extraction_date, self.run_id

    @property
    def date(self) -> date:
        return date.fromisoformat(self.extraction_date)


class TableWindows(Document):
    """The windows of a table's extractions, in the order of their starts."""

    format: Literal["statekeeper.windows"] = "statekeeper.windows"

    table: TableRef
    taken: tuple[TakenWindow, ...] = ()
