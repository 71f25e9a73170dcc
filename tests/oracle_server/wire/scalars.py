"""Scalars: single values between Python and Oracle's own bytes, without their length byte.

Numbers are `Decimal`, dates and timestamps `datetime` with a separate nanosecond part where it matters, intervals
tuples. Oracle's bytes of a NUMBER sort as the numbers do, which the database behind makes use of.
"""

import datetime as dt
import struct
from decimal import Context, Decimal

EXACT = Context(prec=60)  # more than any NUMBER has
ZERO, MINUS_INFINITY = b"\x80", b"\x00"
NEGATIVE_END = 0x66
MOST_MANTISSA = 20
LEAST_POWER, MOST_POWER = -64, 63
"""Of 100, before which the digits stand after the point: 1E-130 is 0.01 to the least."""


def encode_number(value: Decimal | int | str) -> bytes:
    """A NUMBER's bytes: an exponent of 100 and base-100 digits, complemented where negative."""
    number = Decimal(value)
    sign, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    if not text:
        return ZERO
    assert isinstance(exponent, int)
    if exponent % 2:
        text += "0"
        exponent -= 1
    if len(text) % 2:
        text = "0" + text
    pairs = [int(text[at : at + 2]) for at in range(0, len(text), 2)]
    power = len(pairs) + exponent // 2
    while pairs[-1] == 0:
        pairs.pop()
    pairs = pairs[:MOST_MANTISSA]
    if power < LEAST_POWER:  # underflow
        return ZERO
    if power > MOST_POWER:
        raise OverflowError(f"{value} is outside of NUMBER")
    if not sign:
        return bytes((0xC0 + power, *(pair + 1 for pair in pairs)))
    coded = bytes((0x3F - power, *(101 - pair for pair in pairs)))
    return coded + bytes((NEGATIVE_END,)) if len(pairs) < MOST_MANTISSA else coded


def decode_number(coded: bytes) -> Decimal:
    """The number that `encode_number` would have written so."""
    if coded == ZERO:
        return Decimal(0)
    positive = bool(coded[0] & 0x80)
    if positive:
        power, pairs = coded[0] - 0xC0, [byte - 1 for byte in coded[1:]]
    else:
        body = coded[1:-1] if coded[-1] == NEGATIVE_END else coded[1:]
        power, pairs = 0x3F - coded[0], [101 - byte for byte in body]
    unscaled = int("".join(f"{pair:02}" for pair in pairs) or "0")
    scale = 2 * (power - len(pairs))
    return Decimal((0 if positive else 1, tuple(map(int, str(unscaled))), scale))


def encode_date(value: dt.datetime) -> bytes:
    century, year = divmod(value.year, 100)
    return bytes(
        (century + 100, year + 100, value.month, value.day, value.hour + 1, value.minute + 1, value.second + 1)
    )


def encode_timestamp(value: dt.datetime) -> bytes:
    """Eleven bytes, or seven where there is no fraction."""
    nanoseconds = value.microsecond * 1000
    return encode_date(value) + (struct.pack(">I", nanoseconds) if nanoseconds else b"")


def decode_datetime(coded: bytes) -> dt.datetime:
    """A DATE or TIMESTAMP of a bind; what carries an offset comes back aware, in UTC."""
    year = (coded[0] - 100) * 100 + coded[1] - 100
    micros = struct.unpack(">I", coded[7:11])[0] // 1000 if len(coded) >= 11 else 0
    value = dt.datetime(year, coded[2], coded[3], coded[4] - 1, coded[5] - 1, coded[6] - 1, micros)
    if len(coded) == 13 and (coded[11] or coded[12]):
        offset = dt.timedelta(hours=coded[11] - 20, minutes=coded[12] - 60)
        return value.replace(tzinfo=dt.UTC).astimezone(dt.timezone(offset))
    return value


def encode_double(value: float) -> bytes:
    """Eight bytes that sort as the doubles do: the sign bit turned, or all bits where negative."""
    return _sortable(struct.pack(">d", value))


def encode_float(value: float) -> bytes:
    return _sortable(struct.pack(">f", value))


def decode_double(coded: bytes) -> float:
    return float(struct.unpack(">d", _unsortable(coded))[0])


def decode_float(coded: bytes) -> float:
    return float(struct.unpack(">f", _unsortable(coded))[0])


def _sortable(raw: bytes) -> bytes:
    if raw[0] & 0x80:
        return bytes(byte ^ 0xFF for byte in raw)
    return bytes((raw[0] | 0x80,)) + raw[1:]


def _unsortable(coded: bytes) -> bytes:
    if coded[0] & 0x80:
        return bytes((coded[0] & 0x7F,)) + coded[1:]
    return bytes(byte ^ 0xFF for byte in coded)


def decode_interval_ds(coded: bytes) -> dt.timedelta:
    days, hours, minutes, seconds, nanos = struct.unpack(">IBBBI", coded)
    return dt.timedelta(
        days=days - 0x80000000,
        hours=hours - 60,
        minutes=minutes - 60,
        seconds=seconds - 60,
        microseconds=(nanos - 0x80000000) / 1000,
    )


def decode_interval_ym(coded: bytes) -> int:
    """In months."""
    years, months = struct.unpack(">IB", coded)
    return (years - 0x80000000) * 12 + months - 60
