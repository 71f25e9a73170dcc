"""Amounts as people read them: rows, bytes, seconds and points in time, formatted the same way in every text."""

from __future__ import annotations

from datetime import datetime

_KILO = 1000.0
_MINUTE = 60
_HOUR = 3600


def count(number: int | None) -> str:
    """`1,234,567`; empty for None."""
    return "" if number is None else f"{number:,}"


def plural(number: int, noun: str) -> str:
    """`1 chunk`, `1,234 chunks`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(number: int | None) -> str:
    """Bytes as `1.2 MB`, in powers of 1000; empty for None."""
    if number is None:
        return ""
    if number < _KILO:
        return f"{number} B"
    value, units = number / _KILO, ["TB", "GB", "MB", "kB"]
    while value >= _KILO and len(units) > 1:
        value /= _KILO
        units.pop()
    return f"{value:,.1f} {units[-1]}"


def duration(seconds: float | None) -> str:
    """`1.2 s`, `3m 05s` or `2h 04m`; empty for None."""
    if seconds is None:
        return ""
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02}s"
    return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02}m"


def moment(at: datetime | int | None) -> str:
    """A point on the axis of an incremental column, in its own zone, or a number; nothing for None."""
    if at is None:
        return ""
    if isinstance(at, int):
        return f"{at}"
    is_whole = not (at.second or at.microsecond)
    return at.isoformat(sep=" ", timespec="minutes" if is_whole else "auto")
