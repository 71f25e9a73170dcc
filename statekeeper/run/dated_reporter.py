"""Reports the tables of one date to a reporter that is told about several dates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from statekeeper.runtime.progress import Reporter, TableEnd, without_name


@dataclass(frozen=True)
class DatedReporter:
    """Names each table with its date, as in `shop.orders 2026-01-06`."""

    reporter: Reporter
    date: date

    def run_began(self, tables: int) -> None:
        """The reporter is told once about all dates."""

    def table_state(self, key: str, state: str, reason: str | None) -> None:
        self.reporter.table_state(self._dated(key), state, reason and without_name(key, reason))

    def plan_ready(self, key: str, chunks: int, rows: int | None) -> None:
        self.reporter.plan_ready(self._dated(key), chunks, rows)

    def rows_read(self, key: str, rows: int) -> None:
        self.reporter.rows_read(self._dated(key), rows)

    def chunk_done(self, key: str, done: int, total: int, rows: int, size: int) -> None:
        self.reporter.chunk_done(self._dated(key), done, total, rows, size)

    def table_ended(self, key: str, end: TableEnd) -> None:
        self.reporter.table_ended(self._dated(key), replace(end, reason=end.reason and without_name(key, end.reason)))

    def waiting(self, key: str, what: str | None, seconds: float) -> None:
        self.reporter.waiting(self._dated(key), what, seconds)

    def warning(self, key: str, message: str) -> None:
        self.reporter.warning(self._dated(key), without_name(key, message))

    def _dated(self, key: str) -> str:
        return f"{key} {self.date}"
