"""Durations (`90s`, `1h30m`) and sizes (`128MiB`) in the configuration."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from statekeeper.config.sections.section import refusal

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
    "us": timedelta(microseconds=1),
}
_PIECE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)(d|h|ms|us|m|s)")
_DURATION = re.compile(rf"(?:{_PIECE.pattern})+")
_DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(d|h|ms|us|m|s))+$|\$\{"

_BYTES = {
    unit.lower(): base**power
    for base, suffix in ((1000, "B"), (1024, "iB"))
    for power, prefix in enumerate(("K", "M", "G", "T"), start=1)
    for unit in (prefix + suffix,)
} | {"b": 1}
_SIZE = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,9}))? ?([KMGT]?i?B)?", re.IGNORECASE)


def parse_duration(text: str) -> timedelta:
    """The duration in `text`: numbers with a unit (`d`, `h`, `m`, `s`, `ms`, `us`), one or several in a row: `1.5h`.

    Raises:
        ValueError: the text is not a duration of whole microseconds, or is longer than a timedelta holds.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError("not a duration")
    pieces = (Fraction(count) * (_UNITS[unit] // _UNITS["us"]) for count, unit in _PIECE.findall(text))
    microseconds = sum(pieces, Fraction())
    if microseconds.denominator != 1:
        raise ValueError("a duration of parts of a microsecond")
    try:
        return timedelta(microseconds=int(microseconds))
    except OverflowError as error:
        raise ValueError("a duration too long") from error


def format_duration(duration: timedelta) -> str:
    """The text that `parse_duration` reads back; `duration` is not negative."""
    rest = duration
    pieces: list[str] = []
    for unit, length in _UNITS.items():
        count, rest = divmod(rest, length)
        if count:
            pieces.append(f"{count}{unit}")
    return "".join(pieces) or "0s"


def parse_size(text: str) -> int:
    """The number of bytes in `text`, such as `128MiB` (1024s), `64MB` (1000s), `1.5GiB` or a bare number of bytes.

    Raises:
        ValueError: the text is not a size.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError("not a size")
    whole, decimals, unit = found.groups()
    return int(Decimal(f"{whole}.{decimals or 0}") * _BYTES[(unit or "b").lower()])


def format_size(number: int) -> str:
    """The bytes as text for `parse_size`, rounded up to whole MiB, or to KiB below one MiB."""
    kib = -(-number // 1024)
    return f"{kib}KiB" if kib < 1024 else f"{-(-kib // 1024)}MiB"


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError:
            pass
    hint = f"write {value}s for seconds" if isinstance(value, int) and not isinstance(value, bool) else ""
    raise refusal("a duration such as 500ms, 30s, 1.5h or 1d", hint=hint)


def _lookback(value: object) -> timedelta | int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return _duration(value)


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta():
        raise refusal("a duration above zero")
    return duration


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return parse_size(value)
        except ValueError:
            pass
    raise refusal("a number of bytes or a size such as 128MiB or 64MB")


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": _DURATION_PATTERN, "examples": ["30s", "5m", "6h", "1d"]}),
]
Lookback = Annotated[
    timedelta | int,
    Field(),
    BeforeValidator(_lookback),
    PlainSerializer(lambda value: value if isinstance(value, int) else format_duration(value), when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": _DURATION_PATTERN},
            ],
            "examples": ["1h", 10000],
        }
    ),
]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Size = Annotated[
    int,
    Field(gt=0),
    BeforeValidator(_size),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?([KMGTkmgt]?i?[Bb])?$|\$\{"},
            ],
            "examples": ["128MiB"],
        }
    ),
]
