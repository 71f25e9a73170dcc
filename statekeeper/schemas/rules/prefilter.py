"""A fast condition that all rows of a valid file satisfy, so that most scans need nothing else.

If it is true for a row, the row breaks no check and leaves none undecided. For any other row (NULL or false) the checks
themselves decide. It is fast because it compares and counts bytes: if it needs only a column's lengths, DuckDB reads
only lengths.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from statekeeper.schemas.rules.expressions import NOT_NULL, Bounds
from statekeeper.text.sql_text import quoted

if TYPE_CHECKING:
    from statekeeper.schemas.rules.checks import Check


def valid_row_condition(checks: Iterable[Check]) -> str:
    """The condition in SQL; `TRUE` if there is nothing to check."""
    by_column: dict[str, list[Check]] = {}
    for check in checks:
        by_column.setdefault(check.column, []).append(check)
    conditions = (_column_is_good(column, found) for column, found in by_column.items())
    return " AND ".join(f"({condition})" for condition in conditions if condition) or "TRUE"


def _column_is_good(column: str, checks: Sequence[Check]) -> str:
    intervals: dict[str, _Interval] = {}
    refusing_null: list[str] = []
    others: list[str] = []
    for check in checks:
        if isinstance(check.within, Bounds):
            intervals.setdefault(check.within.subject, _Interval(check.within.subject)).add(check.within)
        elif check.within is not None:
            refusing_null.append(check.within.condition)
        elif check.constraint != NOT_NULL:
            others.append(f"NOT ({check.violated})")
            others += [f"NOT ({check.undecided})"] if check.undecided is not None else []
    refusing_null += [term for interval in intervals.values() for term in interval.terms]
    terms = refusing_null + others
    # Testing a text for NULL reads it; its length does not.
    is_one_subject = len(intervals) == 1 and len(terms) == len(next(iter(intervals.values())).terms)
    subject = next(iter(intervals)) if is_one_subject else quoted(column)
    if any(check.constraint == NOT_NULL for check in checks):
        return " AND ".join(terms if refusing_null else [*terms, f"{subject} IS NOT NULL"])
    return f"{subject} IS NULL OR ({' AND '.join(terms)})" if terms else ""


@dataclass
class _Interval:
    """The combined bounds of one value; an outer one counts only on a side without an inner one."""

    subject: str
    lows: list[str] = field(default_factory=list)
    highs: list[str] = field(default_factory=list)
    outer_lows: list[str] = field(default_factory=list)
    outer_highs: list[str] = field(default_factory=list)

    def add(self, bounds: Bounds) -> None:
        for limits, limit in (
            (self.lows, bounds.low),
            (self.highs, bounds.high),
            (self.outer_lows, bounds.outer_low),
            (self.outer_highs, bounds.outer_high),
        ):
            if limit is not None:
                limits.append(limit)

    @property
    def terms(self) -> list[str]:
        lows, highs = self.lows or self.outer_lows, self.highs or self.outer_highs
        if len(lows) == len(highs) == 1:
            return [f"{self.subject} BETWEEN {lows[0]} AND {highs[0]}"]
        return [f"{self.subject} >= {low}" for low in lows] + [f"{self.subject} <= {high}" for high in highs]
