"""Whether values of rows are told outside the data: the one place where a table's `show_values` acts on errors.

Values of rows may be personal data. An error says itself in two ways, with values and without (`StatekeeperError`);
what becomes of it here is what reaches the parent process, and so state, log, terminal, hooks and the run's record.
Samples of rows in a violations file are left out where they are made, by their number (`ExtractionConfig.samples`).
"""

from __future__ import annotations

import traceback
from enum import StrEnum

from statekeeper.errors import StatekeeperError


class RowValues(StrEnum):
    """Whether values of a table's rows may be told."""

    SHOWN = "shown"
    HIDDEN = "hidden"

    @classmethod
    def of(cls, table: str, *, private: frozenset[str]) -> RowValues:
        """Of a table, by its key; `private` are those of which no values may be told."""
        return cls.HIDDEN if table in private else cls.SHOWN


def text_of(error: StatekeeperError, values: RowValues) -> str:
    """What is told of an error of ours."""
    return error.message if values is RowValues.SHOWN else error.discreet


def name_of(error: BaseException, values: RowValues) -> str:
    """What is told, in a line, of an error that nobody has foreseen: its text may quote anything."""
    return repr(error) if values is RowValues.SHOWN else type(error).__name__


def trace_of(error: BaseException, values: RowValues) -> str:
    """Its traceback, and those of the errors behind it; without values only where each of them happened."""
    if values is RowValues.SHOWN:
        return "".join(traceback.format_exception(error))
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = "" if behind is None else f"{trace_of(behind, values)}\n"
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{before}{frames}{type(error).__qualname__} (show_values: false leaves its text out)\n"
