"""The ranges of a file's keys, from the statistics of its footer: two files whose ranges are apart share no key.

A range may be wider than the keys, never narrower. What the statistics do not say for certain is no range: they
ignore NaN, and writers leave out bounds that are long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from statekeeper.errors import DataError

_FLOATING = frozenset({"FLOAT", "DOUBLE"})
_NO_BOUND = (ValueError, OverflowError, NotImplementedError)
"""What pyarrow raises for a bound that no value of Python's is: a year beyond 9999, half a character."""


@dataclass(frozen=True)
class KeyRanges:
    """The least and greatest value of each key column; None where that is not known.

    `is_keyless` says that no row of the file has a key: there is none, or a column of the key is NULL in all rows.
    """

    bounds: tuple[tuple[Any, Any] | None, ...]
    is_keyless: bool = False

    @classmethod
    def of(cls, footer: Any, key: Iterable[str]) -> KeyRanges:
        """The ranges by a footer (`pyarrow.parquet.FileMetaData`)."""
        indices = _indices(footer)
        if footer.num_rows == 0 or any(name not in indices for name in key):
            return cls((), is_keyless=True)
        chunks = [_chunks(footer, indices[name]) for name in key]
        return cls(
            tuple(_bounds(each) for each in chunks),
            is_keyless=any(all(_nulls(chunk) == chunk.num_values for chunk in each) for each in chunks),
        )

    @classmethod
    def around(cls, ranges: Iterable[KeyRanges]) -> KeyRanges:
        """The ranges of several files together."""
        with_keys = [each for each in ranges if not each.is_keyless]
        if not with_keys:
            return cls((), is_keyless=True)
        return cls(tuple(_widest(column) for column in zip(*(each.bounds for each in with_keys), strict=True)))

    @classmethod
    def unknown(cls, columns: int) -> KeyRanges:
        """The ranges of a file of which nothing is known, with a key of so many columns."""
        return cls((None,) * columns)

    def may_share_a_key(self, other: KeyRanges) -> bool:
        """Whether a row of each could have the same key."""
        if self.is_keyless or other.is_keyless:
            return False
        return all(_may_meet(own, theirs) for own, theirs in zip(self.bounds, other.bounds, strict=True))


def refuse_null_keys(table: str, footers: Iterable[Any], key: Iterable[str]) -> None:
    """Refuse rows that have no key, by the footers of their files, which this program wrote. Raises DataError."""
    known = list(footers)
    for name in key:
        nulls = sum(_most_nulls(chunk) for footer in known for chunk in _chunks(footer, _indices(footer)[name]))
        if nulls:
            raise DataError(
                f"{table}: {nulls:,} rows have no value in {name}, a column of its key, and cannot be merged",
                hint="choose a key in which every row has a value, or leave these rows out",
            )


def _indices(footer: Any) -> dict[str, int]:
    return {footer.schema.column(index).path: index for index in range(footer.num_columns)}


def _chunks(footer: Any, column: int) -> list[Any]:
    groups = (footer.row_group(number) for number in range(footer.num_row_groups))
    return [group.column(column) for group in groups if group.num_rows]


def _nulls(chunk: Any) -> int | None:
    found = chunk.statistics
    return found.null_count if found is not None and found.has_null_count else None


def _most_nulls(chunk: Any) -> int:
    found = _nulls(chunk)
    return int(chunk.num_values if found is None else found)


def _bounds(chunks: list[Any]) -> tuple[Any, Any] | None:
    if any(chunk.physical_type in _FLOATING for chunk in chunks):
        return None
    lows, highs = [], []
    for chunk in chunks:
        if _nulls(chunk) == chunk.num_values:
            continue
        found = chunk.statistics
        if found is None or not found.has_min_max:
            return None
        try:
            low, high = found.min, found.max
        except _NO_BOUND:
            return None
        lows.append(low)
        highs.append(high)
    return (min(lows), max(highs)) if lows else None


def _widest(bounds: Iterable[tuple[Any, Any] | None]) -> tuple[Any, Any] | None:
    known = []
    for each in bounds:
        if each is None:
            return None
        known.append(each)
    try:
        return min(low for low, _ in known), max(high for _, high in known)
    except TypeError:  # another type in an earlier file
        return None


def _may_meet(own: tuple[Any, Any] | None, theirs: tuple[Any, Any] | None) -> bool:
    if own is None or theirs is None:
        return True
    try:
        return bool(own[0] <= theirs[1] and theirs[0] <= own[1])
    except TypeError:
        return True
