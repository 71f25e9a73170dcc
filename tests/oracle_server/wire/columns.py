"""Columns: whole Arrow columns encoded at once, and joined to rows.

Each column becomes an Arrow array of binary values, length byte included; `pyarrow` then joins them row by row, which
is many times quicker than any loop over values. A row that repeats values of the row above leaves them out and says so
in a bit vector, as a real server does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.oracle_server.wire import rowids, scalars
from tests.oracle_server.wire.primitives import LONGEST_SHORT, clr, dalc, sb, ub

_LENGTH_BYTES = pa.array([bytes((number,)) for number in range(256)], pa.large_binary())
NULL = b"\x00"
LONG_NULL_TAIL = sb(-1) + ub(1405)  # after a LONG: it was null
LONG_TAIL = sb(0) + ub(0)


@dataclass(frozen=True)
class EncodedRows:
    """Rows back to back, ready to be sent; row n is `data[offsets[n]:offsets[n + 1]]`."""

    data: memoryview
    offsets: "np.ndarray[tuple[int], np.dtype[np.int64]]"

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def slice(self, start: int, stop: int) -> memoryview:
        return self.data[int(self.offsets[start]) : int(self.offsets[stop])]


def join_rows(columns: list[pa.Array], *, bit_vectors: bool) -> EncodedRows:
    """Rows of encoded columns, each after its message byte 07."""
    count = len(columns[0])
    if count == 0:
        return EncodedRows(memoryview(b""), np.zeros(1, np.int64))
    if bit_vectors and count > 1:
        heads, columns = _leave_out_repeats(columns, count)
    else:
        heads = pa.scalar(b"\x07", pa.large_binary())
    joined = pc.binary_join_element_wise(heads, *columns, pa.scalar(b"", pa.large_binary()))
    if isinstance(joined, pa.ChunkedArray):
        joined = joined.combine_chunks()
    offsets = np.frombuffer(joined.buffers()[1], np.int64)[joined.offset : joined.offset + count + 1]
    return EncodedRows(memoryview(joined.buffers()[2]), offsets)


def _leave_out_repeats(columns: list[pa.Array], count: int) -> tuple[pa.Array, list[pa.Array]]:
    sent = np.ones((count, len(columns)), bool)
    for number, column in enumerate(columns):
        same = pc.equal(column.slice(1), column.slice(0, count - 1))
        sent[1:, number] = ~same.to_numpy(zero_copy_only=False)
    partial = ~sent.all(axis=1)
    if not partial.any():
        return pa.array([b"\x07"] * count, pa.large_binary()), columns
    empty = pa.scalar(b"", pa.large_binary())
    kept = [pc.if_else(pa.array(sent[:, number]), column, empty) for number, column in enumerate(columns)]
    packed = np.packbits(sent, axis=1, bitorder="little")
    width = packed.shape[1]
    buffer = pa.py_buffer(np.ascontiguousarray(packed))
    which = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), count, [None, buffer]).dictionary_encode()
    heads = []
    for pattern in which.dictionary.to_pylist():
        number = int.from_bytes(pattern, "little").bit_count()
        heads.append(b"\x07" if number == len(columns) else b"\x15" + ub(number) + pattern + b"\x07")
    return pa.array(heads, pa.large_binary()).take(which.indices), kept


def byte_strings(column: pa.Array) -> pa.Array:
    """Byte strings of any length, with theirs before them; null and empty are one zero."""
    column = column.cast(pa.large_binary()).fill_null(b"")
    lengths = pc.binary_length(column)
    if len(column) and pc.max(lengths).as_py() > LONGEST_SHORT:
        return pa.array([clr(value) for value in column.to_pylist()], pa.large_binary())
    heads = _LENGTH_BYTES.take(lengths.cast(pa.int64()))
    return pc.binary_join_element_wise(heads, column, pa.scalar(b"", pa.large_binary()))


def texts(column: pa.Array) -> pa.Array:
    return byte_strings(column)


def national_texts(column: pa.Array) -> pa.Array:
    values = [None if value is None else value.encode("utf-16-be") for value in column.to_pylist()]
    return byte_strings(pa.array(values, pa.large_binary()))


def longs(column: pa.Array) -> pa.Array:
    """LONG and LONG RAW: the value, a null indicator and a return code."""
    tails = pc.if_else(
        pc.is_valid(column), pa.scalar(LONG_TAIL, pa.large_binary()), pa.scalar(LONG_NULL_TAIL, pa.large_binary())
    )
    return pc.binary_join_element_wise(byte_strings(column), tails, pa.scalar(b"", pa.large_binary()))


def numbers(column: pa.Array) -> pa.Array:
    """Integers and decimals as NUMBER; what does not fit 64 bits goes value by value."""
    if pa.types.is_integer(column.type):
        column = column.cast(pa.decimal128(38, 0) if column.type == pa.uint64() else pa.int64())
    if pa.types.is_decimal(column.type):
        scale = column.type.scale
        low, fits = _unscaled(column)
        if not fits:
            return _one_by_one(column, scalars.encode_number)
    else:
        scale, low = 0, np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
    if scale % 2:
        if len(low) and np.abs(low).max() > 9 * 10**17:
            return _one_by_one(column, scalars.encode_number)
        low, scale = low * 10, scale + 1
    return _repeating(low, lambda values: _numbers_of(values, scale), _nulls(column))


def _unscaled(column: pa.Array) -> tuple["np.ndarray[tuple[int], np.dtype[np.int64]]", bool]:
    column = column.cast(pa.decimal128(38, column.type.scale)) if column.type.bit_width != 128 else column
    words = np.frombuffer(column.buffers()[1], np.int64)[2 * column.offset : 2 * (column.offset + len(column))]
    low, high = words[0::2].copy(), words[1::2]
    nulls = _nulls(column)
    low[nulls] = 0
    fits = bool(((high == low >> 63) | nulls).all() and (not len(low) or low.min() > -(2**63)))
    return low, fits


def _nulls(column: pa.Array) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    return np.asarray(pc.is_null(column).to_numpy(zero_copy_only=False), bool)


def _repeating(values: "np.ndarray", encode: Callable[..., pa.Array], nulls: "np.ndarray") -> pa.Array:  # type: ignore[type-arg]
    """Encode each value once where they repeat often; columns of a table mostly do."""
    if len(values) > 1000:
        distinct = pa.array(values).dictionary_encode()
        if len(distinct.dictionary) < len(values) // 2:
            coded = encode(distinct.dictionary.to_numpy())
            taken = coded.take(distinct.indices)
        else:
            taken = encode(values)
    else:
        taken = encode(values)
    return pc.if_else(pa.array(nulls), pa.scalar(NULL, pa.large_binary()), taken) if nulls.any() else taken


def _numbers_of(unscaled: "np.ndarray", scale: int) -> pa.Array:  # type: ignore[type-arg]
    count = len(unscaled)
    negative = unscaled < 0
    size = np.abs(unscaled).astype(np.uint64)
    largest = int(size.max()) if count else 0
    width = max(1, (len(str(largest)) + 1) // 2)  # pairs of digits
    pairs = np.empty((count, width), np.uint8)
    for place in range(width - 1, -1, -1):
        rest = size // np.uint64(100)
        pairs[:, place] = size - rest * np.uint64(100)
        size = rest
    used = pairs != 0
    first = used.argmax(axis=1)
    last = width - 1 - used[:, ::-1].argmax(axis=1)
    length = last - first + 1
    power = (width - first) - scale // 2
    out = np.zeros((count, width + 3), np.uint8)
    has_negative = bool(negative.any())
    for start in np.unique(first):  # numbers of one magnitude together: they shift alike
        rows = np.flatnonzero(first == start)
        block = pairs[rows, start:]
        if has_negative:
            out[rows, 2 : 2 + width - start] = np.where(negative[rows, None], 101 - block, block + 1)
        else:
            out[rows, 2 : 2 + width - start] = block + 1
    out[:, 1] = np.where(negative, 0x3F - power, 0xC0 + power) if has_negative else 0xC0 + power
    total = 1 + length
    if has_negative:
        rows = np.flatnonzero(negative)
        out[rows, 2 + length[rows]] = scalars.NEGATIVE_END
        total[rows] += 1
    zero = np.flatnonzero(unscaled == 0)
    out[zero, 1] = 0x80
    total[zero] = 1
    out[:, 0] = total
    return _ragged(out, total + 1)


def _ragged(table: "np.ndarray", lengths: "np.ndarray") -> pa.Array:  # type: ignore[type-arg]
    """The first `lengths[n]` bytes of each row n."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    data = table[np.arange(table.shape[1]) < lengths[:, None]]
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(lengths), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def _one_by_one(column: pa.Array, encode: Callable[..., bytes]) -> pa.Array:
    values = [NULL if value is None else clr(encode(value)) for value in column.to_pylist()]
    return pa.array(values, pa.large_binary())


def _date_parts(micros: "np.ndarray") -> "np.ndarray":  # type: ignore[type-arg]
    """Eight columns: length, century, year, month, day, hour, minute, second, each as Oracle writes it."""
    moments = micros.astype("datetime64[us]")
    months = moments.astype("datetime64[M]")
    days = moments.astype("datetime64[D]")
    year = moments.astype("datetime64[Y]").astype(np.int64) + 1970
    seconds = (moments - days).astype(np.int64) // 1_000_000
    out = np.empty((len(micros), 8), np.uint8)
    out[:, 0] = 7
    year = np.where(year <= 0, year - 1, year)  # Oracle has no year 0
    sign = np.sign(year)
    out[:, 1] = sign * (np.abs(year) // 100) + 100
    out[:, 2] = sign * (np.abs(year) % 100) + 100
    out[:, 3] = months.astype(np.int64) % 12 + 1
    out[:, 4] = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
    out[:, 5] = seconds // 3600 + 1
    out[:, 6] = seconds // 60 % 60 + 1
    out[:, 7] = seconds % 60 + 1
    return out


def _ticks(column: pa.Array) -> tuple["np.ndarray", "np.ndarray"]:  # type: ignore[type-arg]
    """Microseconds since 1970, and the nanoseconds within the second."""
    raw = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column)].copy()
    raw[_nulls(column)] = 0
    if column.type.unit == "ns":
        return raw // 1000, raw % 1_000_000_000
    factor = {"s": 1_000_000, "ms": 1_000, "us": 1}[column.type.unit]
    micros = raw * factor
    return micros, micros % 1_000_000 * 1000


def dates(column: pa.Array) -> pa.Array:
    micros, _ = _ticks(column)
    return _repeating(micros, lambda values: _ragged(_date_parts(values), np.full(len(values), 8)), _nulls(column))


def timestamps(column: pa.Array) -> pa.Array:
    micros, nanos = _ticks(column)
    out = np.hstack((_date_parts(micros), nanos.astype(">u4").view(np.uint8).reshape(-1, 4)))
    lengths = np.where(nanos == 0, 8, 12)
    nulls = _nulls(column)
    lengths[nulls] = 1
    out[:, 0] = lengths - 1
    return _ragged(out, lengths)


def zoned_timestamps(column: pa.Array) -> pa.Array:
    """A struct of the UTC instant and the offset in minutes."""
    instant, offset = column.field(0), column.field(1)
    nulls = _nulls(column) | _nulls(instant)
    micros, nanos = _ticks(instant)
    minutes = np.asarray(offset.fill_null(0).to_numpy(zero_copy_only=False), np.int64)
    sign = np.sign(minutes)
    zone = np.stack((sign * (np.abs(minutes) // 60) + 20, sign * (np.abs(minutes) % 60) + 60), axis=1)
    fraction = nanos.astype(">u4").view(np.uint8).reshape(-1, 4)
    out = np.hstack((_date_parts(micros), fraction, zone.astype(np.uint8)))
    lengths = np.full(len(out), 14)
    lengths[nulls] = 1
    out[:, 0] = lengths - 1
    return _ragged(out, lengths)


def _floats(column: pa.Array, dtype: str, unsigned: str, width: int) -> pa.Array:
    nulls = _nulls(column)
    values = np.frombuffer(column.buffers()[1], dtype)[column.offset : column.offset + len(column)]
    bits = values.view(unsigned)
    sign = bits.dtype.type(1) << bits.dtype.type(8 * width - 1)
    coded = np.where(bits & sign, ~bits, bits | sign).astype(f">u{width}").view(np.uint8).reshape(-1, width)
    out = np.hstack((np.full((len(values), 1), width, np.uint8), coded))
    lengths = np.full(len(out), width + 1)
    out[nulls, 0] = 0
    lengths[nulls] = 1
    return _ragged(out, lengths)


def doubles(column: pa.Array) -> pa.Array:
    return _floats(column, "<f8", "<u8", 8)


def floats(column: pa.Array) -> pa.Array:
    return _floats(column, "<f4", "<u4", 4)


def booleans(column: pa.Array) -> pa.Array:
    coded = {None: NULL, True: b"\x02\x01\x01", False: b"\x01\x00"}
    return pa.array([coded[value] for value in column.to_pylist()], pa.large_binary())


def intervals_ds(column: pa.Array) -> pa.Array:
    """Microseconds as INTERVAL DAY TO SECOND; every part carries the sign."""
    out = []
    for value in column.to_pylist():
        if value is None:
            out.append(NULL)
            continue
        sign = -1 if value < 0 else 1
        seconds, micros = divmod(abs(value), 1_000_000)
        days, seconds = divmod(seconds, 86400)
        parts = (seconds // 3600, seconds // 60 % 60, seconds % 60)
        coded = (0x80000000 + sign * days).to_bytes(4, "big") + bytes(60 + sign * part for part in parts)
        out.append(clr(coded + (0x80000000 + sign * micros * 1000).to_bytes(4, "big")))
    return pa.array(out, pa.large_binary())


def intervals_ym(column: pa.Array) -> pa.Array:
    """Months as INTERVAL YEAR TO MONTH."""
    out = []
    for value in column.to_pylist():
        if value is None:
            out.append(NULL)
            continue
        sign = -1 if value < 0 else 1
        years, months = divmod(abs(value), 12)
        out.append(clr((0x80000000 + sign * years).to_bytes(4, "big") + bytes((60 + sign * months,))))
    return pa.array(out, pa.large_binary())


def row_ids(column: pa.Array) -> pa.Array:
    """64-bit row ids: object, file, block and slot."""
    out = []
    for value in column.to_pylist():
        if value is None:
            out.append(NULL)
            continue
        parts = ub(value >> 48) + ub(value >> 38 & 0x3FF) + b"\x00" + ub(value >> 16 & 0x3FFFFF) + ub(value & 0xFFFF)
        out.append(b"\x0e" + parts)
    return pa.array(out, pa.large_binary())


def universal_row_ids(column: pa.Array) -> pa.Array:
    """Universal row ids from their texts; the value's length comes twice."""
    texts_of = column.to_pylist()
    coded = [NULL if text is None else dalc(rowids.universal_bytes(text)) for text in texts_of]
    return pa.array(coded, pa.large_binary())


def locators(column: pa.Array, keep: Callable[[bytes | str], tuple[bytes, int, int]]) -> pa.Array:
    """LOB locators; `keep` files the value and returns locator, size and chunk size."""
    out = []
    for value in column.to_pylist():
        if value is None:
            out.append(NULL)
            continue
        locator, size, chunk = keep(value)
        out.append(ub(len(locator)) + ub(size) + ub(chunk) + clr(locator))
    return pa.array(out, pa.large_binary())
