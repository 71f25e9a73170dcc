"""Tables: what is stored, with every version that a row ever had.

Behind each Oracle table lies a DuckDB table `t<n>` whose columns are c1, c2, ... and three of ours: `rid`, the row id;
`born` and `died`, the SCNs between which the version is current. A change closes versions and adds others, so reading
`AS OF SCN` reads the past as it was. Changes of an open transaction carry an SCN beyond all others until the commit.
"""

import bisect
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from tests.oracle_server.database.clock import Clock
from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.types import OracleType
from tests.oracle_server.database.values import to_storage

NEVER = (1 << 62) + (1 << 40)  # `died` of what is current
PENDING = 1 << 62  # `born` or `died` by a transaction that is still open, plus its session
FILES = (5, 7)
BLOCK_BYTES = 8192


@dataclass(frozen=True)
class Column:
    """One column; `number` is its physical place, c1 and so on."""

    name: str
    type: OracleType
    nullable: bool = True
    default: str | None = None
    number: int = 0
    hidden: bool = False

    @property
    def stored(self) -> str:
        return f"c{self.number}"


@dataclass(frozen=True)
class Extent:
    """Neighbouring blocks of one file; `first_row` counts within the segment."""

    number: int
    file: int
    block: int
    blocks: int
    first_row: int


@dataclass
class Segment:
    """A heap: a table, one of its partitions, or of a composite partition one of its subpartitions."""

    partition: str | None
    data_object: int
    extents: list[Extent] = field(default_factory=list)
    rows: int = 0
    subpartition: str | None = None

    @property
    def name(self) -> str | None:
        """Of the table's, by which the dictionary of storage knows it."""
        return self.subpartition or self.partition


@dataclass(frozen=True)
class Partitioning:
    """Ranges of one column; the last bound may be None, without limit."""

    column: str
    bounds: tuple[tuple[str, Any], ...]
    subpartitions: int = 0
    """How many each partition has, by a hash."""

    def place(self, value: Any) -> int:
        """Which partition takes this value; NULL goes to the last."""
        for number, (_, bound) in enumerate(self.bounds):
            if bound is None or (value is not None and value < bound):
                return number
        raise OracleError(14400, text="inserted partition key does not map to any partition")


@dataclass
class Table:
    """A table as the dictionary knows it."""

    schema: str
    name: str
    columns: list[Column]
    stored: str
    object_id: int
    created_scn: int
    segments: list[Segment]
    partitioning: Partitioning | None = None
    organization: str = "heap"  # heap | index | external | temporary
    rows_per_block: int = 50
    primary_key: tuple[str, ...] = ()
    ddl_scn: int = 0
    ddl_time: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    changes: list[int] = field(default_factory=list)  # SCNs of commits that touched it
    statistics_rows: int | None = None
    policies: list[str] = field(default_factory=list)
    redacted: list[str] = field(default_factory=list)
    indexes: list[tuple[str, ...]] = field(default_factory=list)
    comments: dict[str | None, str] = field(default_factory=dict)  # of columns; with None, of the table

    def column(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise OracleError(904, f'"{name}"')

    @property
    def indexed(self) -> set[str]:
        """The columns that an index begins with."""
        return {index[0] for index in [*self.indexes, self.primary_key] if index}

    @property
    def indexed_with_nulls(self) -> set[str]:
        """The columns that an index begins with whose other parts, such as a constant, are never all NULL."""
        nullable = {column.name for column in self.columns if column.nullable}
        return {index[0] for index in self.indexes if not set(index) <= nullable}

    def alter(self) -> None:
        """Let LAST_DDL_TIME, which shows whole seconds, be another one."""
        self.ddl_time = max(dt.datetime.now(dt.UTC), self.ddl_time + dt.timedelta(seconds=1))

    def version(self, scn: int) -> int:
        """The last change that a reader at this SCN sees: every SCN up to the next one reads the same."""
        at = bisect.bisect_right(self.changes, scn) - 1
        return self.changes[at] if at >= 0 else 0


@dataclass
class View:
    """A stored query."""

    schema: str
    name: str
    query: str
    object_id: int
    created_scn: int
    columns: list[Column] = field(default_factory=list)
    calls: list[tuple[str, str, str]] = field(default_factory=list)  # owner, name and type of PL/SQL in it
    ddl_time: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))


class Tables:
    """All tables and views, and the DuckDB database that holds the rows."""

    def __init__(self, clock: Clock, path: str = ":memory:") -> None:
        self.clock = clock
        self.duck = duckdb.connect(path, config={"threads": 2, "preserve_insertion_order": True})
        self.tables: dict[tuple[str, str], Table] = {}
        self.views: dict[tuple[str, str], View] = {}
        self.oldest_snapshot = 0
        self.ddl_settles = 0.0
        """Seconds after a DDL in which every SCN counts as from before it: three or so of a real Oracle."""
        self._objects = 20_000
        self._tables_made = 0
        self._next_block = dict.fromkeys(FILES, 128)

    def new_object(self) -> int:
        self._objects += 1
        return self._objects

    def find(self, schema: str, name: str) -> Table | View | None:
        return self.tables.get((schema, name)) or self.views.get((schema, name))

    def create(
        self,
        schema: str,
        name: str,
        columns: Sequence[Column],
        *,
        partitioning: Partitioning | None = None,
        organization: str = "heap",
        rows_per_block: int = 50,
        primary_key: tuple[str, ...] = (),
    ) -> Table:
        """An empty table; ORA-00955 where the name is taken."""
        with self.clock.lock:
            if self.find(schema, name):
                raise OracleError(955)
            self._tables_made += 1
            stored = f"t{self._tables_made}"
            numbered = [
                Column(c.name, c.type, c.nullable, c.default, number + 1, c.hidden) for number, c in enumerate(columns)
            ]
            declared = "".join(f", {column.stored} {column.type.storage}" for column in numbered)
            self.duck.cursor().execute(f"CREATE TABLE {stored} (rid BIGINT, born BIGINT, died BIGINT{declared})")
            scn = self.clock.tick()
            names = [None] if partitioning is None else [bound[0] for bound in partitioning.bounds]
            table = Table(
                schema, name, numbered, stored, self.new_object(), scn, [], partitioning, organization, rows_per_block,
                primary_key, scn, changes=[scn],
            )  # fmt: skip
            if partitioning is None:
                table.segments = [Segment(None, table.object_id)]
            elif partitioning.subpartitions:
                table.segments = [
                    Segment(part, self.new_object(), subpartition=f"{part}_S{number}")
                    for part in names
                    for number in range(1, partitioning.subpartitions + 1)
                ]
            else:
                table.segments = [Segment(part, self.new_object()) for part in names]
            self.tables[schema, name] = table
            return table

    def drop(self, schema: str, name: str) -> None:
        with self.clock.lock:
            if self.views.pop((schema, name), None):
                return
            table = self.tables.pop((schema, name), None)
            if table is None:
                raise OracleError(942, f'"{schema}"."{name}"')
            self.clock.tick()  # the rows stay for cursors that are open

    def touch_ddl(self, table: Table, *, new_segments: bool = False) -> None:
        """What ALTER TABLE does to readers of the past: their snapshots of this table are lost."""
        with self.clock.lock:
            table.ddl_scn = self.clock.tick()
            table.alter()
            if new_segments:  # MOVE: every row gets a new place
                for segment in table.segments:
                    segment.data_object = self.new_object()
                self._move(table)

    def add_partition(self, table: Table, name: str, bound: Any) -> None:
        """What an INSERT does to an interval-partitioned table: a DDL that takes no snapshot away."""
        with self.clock.lock:
            assert table.partitioning is not None, "only a partitioned table gets partitions"
            bounds = (*table.partitioning.bounds, (name, bound))
            table.partitioning = replace(table.partitioning, bounds=bounds)
            table.segments.append(Segment(name, self.new_object()))
            table.alter()

    def rename_partition(self, table: Table, partition: str, new: str) -> None:
        """A DDL that takes no snapshot away."""
        with self.clock.lock:
            assert table.partitioning is not None, "only a partitioned table has partitions"
            bounds = tuple((new if name == partition else name, bound) for name, bound in table.partitioning.bounds)
            table.partitioning = replace(table.partitioning, bounds=bounds)
            for segment in table.segments:
                segment.partition = new if segment.partition == partition else segment.partition
            table.alter()

    def _move(self, table: Table) -> None:
        con = self.duck.cursor()
        rids = con.execute(f"SELECT rid FROM {table.stored} WHERE died = {NEVER} ORDER BY rid").fetchall()
        kept = con.sql(f"SELECT * FROM {table.stored} WHERE died = {NEVER} ORDER BY rid").to_arrow_table()
        con.execute(f"DELETE FROM {table.stored}")
        for segment in table.segments:
            segment.rows, segment.extents = 0, []
        fresh = self._row_ids(table, kept.slice(0, len(rids)).select([c.stored for c in table.columns]))
        moved = kept.set_column(0, "rid", fresh).set_column(
            1, "born", pa.array([table.ddl_scn] * len(kept), pa.int64())
        )
        con.register("moved", moved)
        con.execute(f"INSERT INTO {table.stored} SELECT * FROM moved")
        table.changes = [table.ddl_scn]

    def insert(self, con: duckdb.DuckDBPyConnection, table: Table, rows: pa.Table, pending: int) -> int:
        """Add rows, columns in the table's order and storage types, under an open transaction."""
        for column, values in zip(table.columns, rows.columns, strict=True):
            if not column.nullable and values.null_count:
                raise OracleError(1400, f'"{table.schema}"."{table.name}"."{column.name}"')
        with self.clock.lock:
            rids = self._row_ids(table, rows)
        count = len(rows)
        born = pa.array(np.full(count, pending), pa.int64())
        died = pa.array(np.full(count, NEVER), pa.int64())
        named = [column.stored for column in table.columns]
        whole = pa.table([rids, born, died, *rows.columns], names=["rid", "born", "died", *named])
        con.register("inserted", whole)
        con.execute(f"INSERT INTO {table.stored} SELECT * FROM inserted")
        con.unregister("inserted")
        return count

    def insert_values(
        self, con: duckdb.DuckDBPyConnection, table: Table, rows: Sequence[Sequence[Any]], pending: int
    ) -> int:
        """Add rows of Python values."""
        columns = [
            to_storage(column.type, [row[at] for row in rows], f'"{table.schema}"."{table.name}"."{column.name}"')
            for at, column in enumerate(table.columns)
        ]
        return self.insert(con, table, pa.table(columns, names=[c.stored for c in table.columns]), pending)

    def _row_ids(self, table: Table, rows: pa.Table) -> pa.Array:
        count = len(rows)
        if table.partitioning is None:
            return pa.array(self._allocate(table, table.segments[0], count), pa.int64())
        key = table.column(table.partitioning.column)
        values = rows.column(table.columns.index(key)).to_pylist()
        places = np.array([table.partitioning.place(value) for value in values], np.int64)
        out = np.zeros(count, np.int64)
        each = max(1, table.partitioning.subpartitions)
        hashed = places * each + np.arange(count) % each
        for number, segment in enumerate(table.segments):
            chosen = hashed == number
            out[chosen] = self._allocate(table, segment, int(chosen.sum()))
        return pa.array(out, pa.int64())

    def _allocate(self, table: Table, segment: Segment, count: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        first, segment.rows = segment.rows, segment.rows + count
        while not segment.extents or self._capacity(table, segment) < segment.rows:
            number = len(segment.extents)
            blocks = 8 if number < 16 else 128 if number < 80 else 1024
            file = FILES[number % len(FILES)]
            start = self._capacity(table, segment)
            segment.extents.append(Extent(number, file, self._next_block[file], blocks, start))
            self._next_block[file] += blocks
        place = np.arange(first, first + count)
        starts = np.array([extent.first_row for extent in segment.extents])
        which = np.searchsorted(starts, place, "right") - 1
        within = place - starts[which]
        block = np.array([extent.block for extent in segment.extents])[which] + within // table.rows_per_block
        files = np.array([extent.file for extent in segment.extents], np.int64)[which]
        slot = within % table.rows_per_block
        return np.int64(segment.data_object << 48) | files << 38 | block << 16 | slot

    @staticmethod
    def _capacity(table: Table, segment: Segment) -> int:
        if not segment.extents:
            return 0
        last = segment.extents[-1]
        return last.first_row + last.blocks * table.rows_per_block

    def commit(self, con: duckdb.DuckDBPyConnection, touched: set[str], pending: int) -> int:
        """End a transaction: its changes get one new SCN and become visible at it."""
        with self.clock.lock:
            scn = self.clock.scn + 1
            for stored in touched:
                con.execute(f"UPDATE {stored} SET born = {scn} WHERE born = {pending}")
                con.execute(f"UPDATE {stored} SET died = {scn} WHERE died = {pending}")
            con.execute("COMMIT")
            self.clock.tick()
            for table in self.tables.values():
                if table.stored in touched:
                    table.changes.append(scn)
            return scn

    def scan(self, table: Table, scn: int | None) -> str:
        """A DuckDB query of one version of a table: `rid`, c1, c2, ...; None reads what is current, even pending."""
        named = ", ".join(["rid", *(column.stored for column in table.columns)])
        if scn is None:
            return f"SELECT {named} FROM {table.stored} WHERE died = {NEVER}"
        if scn > self.clock.scn:
            raise OracleError(8181)
        if scn < self.oldest_snapshot:
            raise OracleError(1555)
        settled = table.ddl_time + dt.timedelta(seconds=self.ddl_settles)
        if scn < table.ddl_scn or (self.ddl_settles and self.clock.time_of(scn) < settled):
            raise OracleError(1466)
        version = table.version(scn)
        return f"SELECT {named} FROM {table.stored} WHERE born <= {version} AND died > {version}"

    def rows(self, schema: str, name: str, scn: int | None = None) -> pa.Table:
        """The rows as stored, in row id order: `rid` and the columns by their Oracle names."""
        table = self.tables[schema, name]
        found = self.duck.cursor().sql(f"{self.scan(table, scn)} ORDER BY rid").to_arrow_table()
        return found.rename_columns(["ROWID", *(column.name for column in table.columns)])
