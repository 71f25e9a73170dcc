"""Which tables of a run have all their rows on disk, for the tables that refer to them: who waits, and for whom.

A table is announced when its rows are whole, counted and checked one by one, before its own references are: tables that
refer to each other, or to themselves, never wait for more than that. What is announced may move (staged parts are
swept after publication); whoever reads it then asks again.
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
    """Where all rows of a table lie, and at which snapshot they were read."""

    rows: Rows
    snapshot: Snapshot


@dataclass
class ExtractedTables:
    """The tables that this process is at work on, and those of them that are extracted."""

    _wanted: frozenset[TableRef] = frozenset()
    _at_work: Counter[TableRef] = field(default_factory=Counter)
    _extracted: dict[TableRef, ExtractedTable] = field(default_factory=dict)
    _changes: dict[TableRef, asyncio.Event] = field(default_factory=dict)

    @classmethod
    def of(cls, tables: Iterable[ExtractionConfig]) -> ExtractedTables:
        """None yet, of the tables of a configuration."""
        references = (reference for config in tables for reference in config.keys.references)
        return cls(_wanted=frozenset(reference.parent for reference in references))

    def is_wanted(self, table: TableRef) -> bool:
        """Whether any table refers to this one."""
        return table in self._wanted

    def begin(self, tables: Iterable[TableRef]) -> None:
        """Say that these tables will be announced, or ended without."""
        self._at_work.update(tables)

    def announce(self, table: TableRef, extracted: ExtractedTable) -> None:
        """All rows of a table are there."""
        self._extracted[table] = extracted
        self._change(table)

    def withdraw(self, table: TableRef) -> None:
        """They are there no more: it is extracted again."""
        self._extracted.pop(table, None)

    def end(self, table: TableRef) -> None:
        """Nothing more will come of a table in this process."""
        self._at_work.pop(table, None)
        self._change(table)

    def now(self, table: TableRef) -> ExtractedTable | None:
        """The rows of a table as they were last announced; None where they were not."""
        return self._extracted.get(table)

    def is_awaited(self, table: TableRef) -> bool:
        """Whether a table is not announced yet, and may still be."""
        return table not in self._extracted and table in self._at_work

    async def wait_for(self, table: TableRef) -> ExtractedTable | None:
        """The rows of a table once they are announced; None where this process will not announce any."""
        while self.is_awaited(table):
            await self._changes.setdefault(table, asyncio.Event()).wait()
        return self.now(table)

    def _change(self, table: TableRef) -> None:
        event = self._changes.pop(table, None)
        if event is not None:
            event.set()
