"""Whether errors may show row values: the one place that applies a table's `show_values` to errors.

Row values may be personal data. An error has two texts, with values and without (`StatekeeperError`); the one chosen
here reaches the parent process, and so state, log, terminal, hooks and the run's record. Samples of rows in a
violations file are limited where they are collected (`ExtractionConfig.samples`).
"""

from __future__ import annotations

import traceback
from enum import StrEnum

from statekeeper.errors import StatekeeperError


class RowValues(StrEnum):
    """Whether a table's row values may be shown."""

    SHOWN = "shown"
    HIDDEN = "hidden"

    @classmethod
    def of(cls, table: str, *, private: frozenset[str]) -> RowValues:
        """For a table, by its key; `private` holds the tables whose values are hidden."""
        return cls.HIDDEN if table in private else cls.SHOWN


def text_of(error: StatekeeperError, values: RowValues) -> str:
    """The text of one of our errors."""
    return error.message if values is RowValues.SHOWN else error.discreet


def name_of(error: BaseException, values: RowValues) -> str:
    """One line for an unexpected error, whose own text may quote anything."""
    return repr(error) if values is RowValues.SHOWN else type(error).__name__


def trace_of(error: BaseException, values: RowValues) -> str:
    """The traceback of an error and of its causes; without values it has only where each was raised."""
    if values is RowValues.SHOWN:
        return "".join(traceback.format_exception(error))
    behind = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    before = "" if behind is None else f"{trace_of(behind, values)}\n"
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{before}{frames}{type(error).__qualname__} (show_values: false leaves its text out)\n"
