"""Rows: a query's result on its way to the client, encoded in blocks and handed out in any number.

The first reading of a query may fill the cache; whoever asks the same of the same versions of the tables later gets
the encoded blocks again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from tests.oracle_server.database.database import RowCache
from tests.oracle_server.database.types import OracleType
from tests.oracle_server.wire import columns, types
from tests.oracle_server.wire.columns import EncodedRows
from tests.oracle_server.wire.types import BindForm

BATCH = 20_000
Encoder = Callable[[pa.Array], pa.Array]
LobKeeper = Callable[["bytes | str", OracleType], tuple[bytes, int, int]]


def encoder(kind: OracleType, define: BindForm | None, keep: LobKeeper, *, always_null: bool = False) -> Encoder:
    """What turns a column of this type into what travels, as a client defined it."""
    if always_null:
        return lambda column: pa.array([b""] * len(column), pa.large_binary())
    if kind.is_lob:
        if define is not None and define.kind in (types.CLOB, types.BLOB):
            return lambda column: columns.locators(column, lambda value: keep(value, kind))
        return _national_longs if kind.name == "NCLOB" and define and define.form == 2 else columns.longs
    if kind.is_number:
        return columns.numbers if kind.fits_decimal else columns.byte_strings
    match kind.name:
        case "LONG" | "LONG RAW":
            return columns.longs
        case "NCHAR" | "NVARCHAR2":
            return columns.national_texts
        case "CHAR" | "VARCHAR2" | "RAW":
            return columns.byte_strings
        case "DATE":
            return columns.dates
        case "TIMESTAMP" | "TIMESTAMP WITH LOCAL TIME ZONE":
            return columns.timestamps
        case "TIMESTAMP WITH TIME ZONE":
            return columns.zoned_timestamps
        case "BINARY_DOUBLE":
            return columns.doubles
        case "BINARY_FLOAT":
            return columns.floats
        case "BOOLEAN":
            return columns.booleans
        case "ROWID":
            return columns.row_ids
        case "UROWID":
            return columns.universal_row_ids
        case "INTERVAL DAY TO SECOND":
            return columns.intervals_ds
        case "INTERVAL YEAR TO MONTH":
            return columns.intervals_ym
        case _:
            return columns.byte_strings


def _national_longs(column: pa.Array) -> pa.Array:
    values = [None if value is None else value.encode("utf-16-be") for value in column.to_pylist()]
    return columns.longs(pa.array(values, pa.large_binary()))


def garble(kind: OracleType) -> Encoder:
    """Half of a surrogate pair in place of each value, which is no text in any character set."""
    encode = columns.longs if kind.is_lob else columns.byte_strings
    return lambda column: encode(pa.array([b"\xd8\x00"] * len(column), pa.large_binary()))


@dataclass(frozen=True)
class Lie:
    """One row that is left out or sent twice; numbers count from 0."""

    row: int
    repeats: bool


def encoded(
    con: duckdb.DuckDBPyConnection, sql: str, encoders: list[Encoder], *, bit_vectors: bool
) -> Iterator[EncodedRows]:
    """Blocks of a DuckDB query, as they are asked for."""
    for batch in con.sql(sql).to_arrow_reader(BATCH):
        if batch.num_rows:
            encoded_columns = [encode(column) for encode, column in zip(encoders, batch.columns, strict=True)]
            yield columns.join_rows(encoded_columns, bit_vectors=bit_vectors)


def remembered(blocks: Iterator[EncodedRows], cache: RowCache, key: object) -> Iterator[EncodedRows]:
    """The same blocks, kept in the cache once the last of them was read."""
    kept = []
    for block in blocks:
        kept.append(block)
        yield block
    cache.put(key, kept)


def lied(blocks: Iterator[EncodedRows], lie: Lie) -> Iterator[EncodedRows]:
    """The blocks with one row omitted or repeated; they must not hold bit vectors."""
    before = 0
    for block in blocks:
        at = lie.row - before
        before += len(block)
        if not 0 <= at < len(block):
            yield block
            continue
        yield _part(block, 0, at + 1 if lie.repeats else at)
        yield _part(block, at if lie.repeats else at + 1, len(block))


def _part(block: EncodedRows, start: int, stop: int) -> EncodedRows:
    return EncodedRows(block.data, block.offsets[start : stop + 1])


class Feed:
    """Hands out rows; knows, one block ahead, whether there are more."""

    def __init__(self, blocks: Iterator[EncodedRows]) -> None:
        self._blocks = (block for block in blocks if len(block))
        self._block = next(self._blocks, None)
        self._at = 0
        self.served = 0

    @property
    def is_done(self) -> bool:
        return self._block is None

    def take(self, count: int) -> tuple[list[memoryview], int]:
        """At most that many rows: pieces of encoded rows, and their number."""
        out, taken = [], 0
        while self._block is not None and taken < count:
            stop = min(len(self._block), self._at + count - taken)
            out.append(self._block.slice(self._at, stop))
            taken += stop - self._at
            self._at = stop
            if self._at == len(self._block):
                self._block, self._at = next(self._blocks, None), 0
        self.served += taken
        return out, taken
