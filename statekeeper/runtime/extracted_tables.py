"""Which tables of a run have all their rows on disk, so that tables with references to them can wait for those rows.

A table is announced when its rows are complete, counted and validated one by one, before its own references are
checked. So tables that refer to each other, or to themselves, do not deadlock. Announced files may move (staged parts
are removed after publication): a reader whose files are gone asks again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.model.plan import Snapshot
from statekeeper.model.table import TableRef
from statekeeper.runtime.rows import Rows


@dataclass(frozen=True)
class ExtractedTable:
    """The files with all rows of a table, and the snapshot at which they were read."""

    rows: Rows
    snapshot: Snapshot


@dataclass
class ExtractedTables:
    """The tables that this process works on, and which of them are extracted."""

    _wanted: frozenset[TableRef] = frozenset()
    _at_work: Counter[TableRef] = field(default_factory=Counter)
    _extracted: dict[TableRef, ExtractedTable] = field(default_factory=dict)
    _changes: dict[TableRef, asyncio.Event] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Iterable[ExtractionConfig]) -> ExtractedTables:
        """The start of a run over these tables: none is extracted yet."""
        references = (reference for config in tables for reference in config.keys.references)
        return cls(_wanted=frozenset(reference.parent for reference in references))

    def is_wanted(self, table: TableRef) -> bool:
        """Whether any table refers to this one."""
        return table in self._wanted

    def begin(self, tables: Iterable[TableRef]) -> None:
        """Register tables; each will later be announced, or ended without an announcement."""
        self._at_work.update(tables)

    def announce(self, table: TableRef, extracted: ExtractedTable) -> None:
        """All rows of a table are on disk."""
        self._extracted[table] = extracted
        self._change(table)

    def withdraw(self, table: TableRef) -> None:
        """The rows of a table are no longer on disk: it is extracted again."""
        self._extracted.pop(table, None)

    def end(self, table: TableRef) -> None:
        """This process has finished with a table and will not announce it again."""
        self._at_work.pop(table, None)
        self._change(table)

    def now(self, table: TableRef) -> ExtractedTable | None:
        """The rows of a table as last announced; None if it is not announced."""
        return self._extracted.get(table)

    def is_awaited(self, table: TableRef) -> bool:
        """Whether a table is not announced yet, but may still be."""
        return table not in self._extracted and table in self._at_work

    async def wait_for(self, table: TableRef) -> ExtractedTable | None:
        """Wait until a table is announced, and return its rows; None if this process will not announce it."""
        while self.is_awaited(table):
            await self._changes.setdefault(table, asyncio.Event()).wait()
        return self.now(table)

    def _change(self, table: TableRef) -> None:
        event = self._changes.pop(table, None)
        if event is not None:
            event.set()
