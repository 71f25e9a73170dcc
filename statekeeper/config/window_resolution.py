"""Finds problems between the keys of an entry that say how its windows are made, and what is marked in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from statekeeper.config.reading.problems import Problem
from statekeeper.config.sections.tables import LateCommits, NullRows, Reconcile, TableEntry, WindowKind

NEED_A_COLUMN = (
    "window",
    "lookback",
    "mark_taken_before",
    "incremental_timezone",
    "allow_open_window",
    "on_gap",
    "late_commits",
    "null_rows",
)
"""The keys that need an incremental_column."""
WINDOW_KEYS_DEPEND = {
    "late_commits": frozenset({"incremental_column", "lookback"}),
    "null_rows": frozenset({"incremental_column", "reconcile"}),
    "lookback": frozenset({"incremental_column", "window"}),
    "mark_taken_before": frozenset({"incremental_column", "is_full_extract", "lookback", "unique"}),
}
"""The other keys on which a problem at one of these keys depends."""


class Table(Protocol):
    """An entry over its defaults."""

    @property
    def entry(self) -> TableEntry: ...

    @property
    def is_full_extract(self) -> bool: ...

    def sets(self, key: str) -> bool: ...

    def problem(self, *key: str | int, text: str, hint: str = "") -> Problem: ...


def window_problems(table: Table) -> Iterator[Problem]:
    """The problems of an entry's keys for windows."""
    entry = table.entry
    yield from _without_column(table)
    if entry.late_commits is LateCommits.LOOKBACK and not entry.lookback:
        text = "'lookback' needs a lookback that is longer than any transaction"
        yield table.problem("late_commits", text=text)
    if isinstance(entry.lookback, int) and entry.window is not WindowKind.WATERMARK:
        text = f"expected a duration such as 500ms, 30s, 1.5h or 1d; found {entry.lookback}"
        hint = f"write {entry.lookback}s for seconds; a number is for window: watermark with a column of whole numbers"
        yield table.problem("lookback", text=text, hint=hint)
    if entry.null_rows is NullRows.FAIL and entry.reconcile is Reconcile.NONE:
        yield table.problem("null_rows", text="'fail' needs reconcile: count, since it counts rows")
    yield from _mark(table)


def marks_rows(table: Table) -> bool:
    """Whether rows that were taken before are marked: a default is not for tables that are extracted whole."""
    return bool(table.entry.mark_taken_before) and not table.is_full_extract


def _without_column(table: Table) -> Iterator[Problem]:
    if table.entry.incremental_column is not None:
        return
    dependent = [key for key in NEED_A_COLUMN if table.sets(key)]
    if table.entry.is_full_extract is False:
        dependent.append("is_full_extract")
    hint = "name the column with the time when a row was written, or leave this key out"
    for key in dependent:
        yield table.problem(key, text="this needs an incremental_column", hint=hint)


def _mark(table: Table) -> Iterator[Problem]:
    entry = table.entry
    if not entry.mark_taken_before or entry.incremental_column is None:
        return
    if table.is_full_extract:
        if table.sets("mark_taken_before"):
            text = "rows are marked in windows, and the table is extracted whole"
            yield table.problem("mark_taken_before", text=text, hint="leave out this key or is_full_extract")
        return
    if not entry.lookback:
        text = "this needs lookback, since without one no window reads a row again"
        yield table.problem("mark_taken_before", text=text, hint="set lookback, or leave this key out")
    if not entry.unique:
        text = "this needs unique, by which rows are found in earlier extractions"
        yield table.problem("mark_taken_before", text=text, hint="name the columns of a key, such as unique: [id]")
