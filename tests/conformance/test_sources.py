"""What every source must do, written for the SourceSession protocol and run against every source.

To test another source, add a harness to HARNESSES: it makes tables from plain columns and rows, and opens sessions.
"""

import atexit
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Protocol

import duckdb
import pyarrow as pa
import pytest
from pydantic import SecretStr

from statekeeper.config.sections.chunking import ChunkingPolicy, ChunkingStrategy
from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.config.sections.oracle import OracleSource
from statekeeper.errors import PlanError, SnapshotLost, SourceError
from statekeeper.model.plan import Chunk, NullCount, ReadSpec, Snapshot
from statekeeper.model.table import ExtractionMode, Relation, Scope, Window
from statekeeper.sources.protocol import SourceSession
from statekeeper.sources.registry import open_session
from tests.messages import raises_message
from tests.oracle_server import OracleServer, ServerError
from tests.readings import FULL, planned, reading

START = datetime.fromisoformat("2026-01-05")  # a wall clock's


@dataclass(frozen=True)
class Table:
    """A table to be made: columns have a name and a logical type, as the keys of `DuckdbHarness.types` list them."""

    schema: str
    name: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[object, ...], ...]

    @property
    def relation(self) -> Relation:
        return Relation(schema_name=self.schema, table_name=self.name)


class Harness(Protocol):
    """What the suite needs from a source."""

    cuts_by: frozenset[ChunkingStrategy]
    """The strategies that its plain tables can be cut by, beside auto and none."""
    odd_names: tuple[str, ...]
    """A schema, a table and eight columns, with whatever characters names may have."""

    def spelt(self, name: str) -> str:
        """A name of `Table` as the source spells it."""

    def as_read(self, row: tuple[object, ...]) -> tuple[object, ...]:
        """A row of `Table` as it is read without a model."""

    def make(self, *tables: Table) -> None:
        """Make the tables with their rows; those that are there are replaced."""

    def insert(self, table: Table, row: tuple[object, ...]) -> None:
        """Add a committed row to a table."""

    def session(self) -> SourceSession: ...


class DuckdbHarness:
    cuts_by = frozenset({ChunkingStrategy.ROWID, ChunkingStrategy.KEY})
    odd_names = (
        'we"ird schema',
        "group by",
        "select",
        "MiXed",
        "with space",
        'with "quotes"',
        "\u00fcber",
        "a.b",
        "q",
        "\u540d",
    )
    types: ClassVar[dict[str, str]] = {
        "int": "BIGINT",
        "decimal": "DECIMAL(38,10)",
        "text": "VARCHAR",
        "timestamp": "TIMESTAMP",
        "instant": "TIMESTAMPTZ",
        "day": "DATE",
        "bytes": "BLOB",
        "double": "DOUBLE",
    }

    def __init__(self, folder: Path) -> None:
        self.path = folder / "source.duckdb"

    def spelt(self, name: str) -> str:
        return name

    def as_read(self, row: tuple[object, ...]) -> tuple[object, ...]:
        return row

    @contextmanager
    def writer(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(str(self.path)) as connection:
            yield connection

    def make(self, *tables: Table) -> None:
        with self.writer() as connection:
            for table in tables:
                columns = ", ".join(f"{_quoted(name)} {self.types[kind]}" for name, kind in table.columns)
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_quoted(table.schema)}")
                name = f"{_quoted(table.schema)}.{_quoted(table.name)}"
                connection.execute(f"CREATE OR REPLACE TABLE {name} ({columns})")
                if table.rows:
                    values = [pa.array(column) for column in zip(*table.rows, strict=True)]
                    connection.register("rows", pa.table(values, names=[f"c{n}" for n in range(len(values))]))
                    connection.execute(f"INSERT INTO {name} SELECT * FROM rows")

    def insert(self, table: Table, row: tuple[object, ...]) -> None:
        """Into a copy that takes the file's place, since DuckDB keeps writers out while a session has the file open."""
        copy = self.path.with_suffix(".copy")
        copy.write_bytes(self.path.read_bytes())
        with duckdb.connect(str(copy)) as connection:
            marks = ", ".join("?" for _ in row)
            connection.execute(f"INSERT INTO {_quoted(table.schema)}.{_quoted(table.name)} VALUES ({marks})", list(row))
        copy.replace(self.path)

    def session(self) -> SourceSession:
        return open_session(DuckDBSource(type="duckdb", path=str(self.path)), memory_limit="256MB")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class OracleHarness:
    """The unpatched driver over TCP against `tests.oracle_server`; plain names are upper case there."""

    cuts_by = frozenset({ChunkingStrategy.ROWID, ChunkingStrategy.KEY})
    odd_names = ("weird schema", "group by", "select", "MiXed", "with space", "it's", "\u00fcber", "a.b", "q", "\u540d")
    types: ClassVar[dict[str, str]] = {
        "int": "NUMBER(19)",
        "decimal": "NUMBER(38,10)",
        "text": "VARCHAR2(4000)",
        "timestamp": "TIMESTAMP(6)",
        "instant": "TIMESTAMP(6) WITH TIME ZONE",
        "day": "DATE",
        "bytes": "RAW(2000)",
        "double": "BINARY_DOUBLE",
    }
    _server: ClassVar[OracleServer | None] = None

    def __init__(self, folder: Path) -> None:
        if OracleHarness._server is None:
            with ExitStack() as stack:
                OracleHarness._server = stack.enter_context(OracleServer.start(users={"READER": "secret"}))
                atexit.register(stack.pop_all().close)
        self.server = OracleHarness._server

    def spelt(self, name: str) -> str:
        return name.upper() if name.isascii() and name.isidentifier() and name.islower() else name

    def as_read(self, row: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(datetime.combine(value, time.min) if type(value) is date else value for value in row)

    def make(self, *tables: Table) -> None:
        for table in tables:
            schema, name, columns = self._names(table)
            with suppress(ServerError):
                self.server.sql(f"DROP TABLE {_quoted(schema)}.{_quoted(name)}")
            typed = [(column, self.types[kind]) for column, (_, kind) in zip(columns, table.columns, strict=True)]
            self.server.create_table(schema, name, typed, [self.as_read(row) for row in table.rows])

    def insert(self, table: Table, row: tuple[object, ...]) -> None:
        schema, name, _ = self._names(table)
        self.server.insert(schema, name, [self.as_read(row)])

    def session(self) -> SourceSession:
        server = self.server
        login = {"user": "READER", "password": SecretStr("secret")}
        return open_session(
            OracleSource(
                type="oracle", host=server.host, port=server.port, service=server.service, count_nulls=True, **login
            )
        )

    def _names(self, table: Table) -> tuple[str, str, list[str]]:
        return self.spelt(table.schema), self.spelt(table.name), [self.spelt(name) for name, _ in table.columns]


HARNESSES: dict[str, Callable[[Path], Harness]] = {"duckdb": DuckdbHarness, "oracle": OracleHarness}


@pytest.fixture(params=HARNESSES.values(), ids=HARNESSES.keys())
def source(request, tmp_path) -> Harness:
    return request.param(tmp_path)


@contextmanager
def opened(source: Harness) -> Iterator[SourceSession]:
    session = source.session()
    try:
        yield session
    finally:
        session.close()


def rows_of(session: SourceSession, what: ReadSpec, chunk: Chunk | None = None) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for batch in session.read(what, chunk or Chunk(chunk_id=0), batch_rows=1000):
        rows.extend(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return rows


def window(column: str, *, days: int = 1, timezone: str = "UTC", start: datetime | None = START) -> Scope:
    aware = START.replace(tzinfo=UTC)
    began = None if start is None else aware
    chosen = Window(column=column, start=began, end=aware + timedelta(days=days), timezone=timezone)
    return Scope(mode=ExtractionMode.INCREMENTAL, window=chosen)


EVENTS = Table(
    "shop",
    "events",
    (("id", "int"), ("kind", "int"), ("at", "timestamp"), ("name", "text")),
    tuple(
        (
            number,
            None if number % 11 == 0 else (7 if number % 3 else number % 50),
            None if number % 13 == 0 else START + timedelta(minutes=7 * number - 3000),
            f"n{number}",
        )
        for number in range(1000)
    ),
)
EVERYTHING = Table(
    "shop",
    "everything",
    (
        ("i", "int"),
        ("d", "decimal"),
        ("t", "text"),
        ("ts", "timestamp"),
        ("tz", "instant"),
        ("day", "day"),
        ("b", "bytes"),
        ("f", "double"),
    ),
    (
        (
            -(2**63),
            Decimal("-9999999999999999999999999999.9999999999"),
            "\u4e2d\u6587 \U0001f600 \u00fc\u0627\u0644",
            datetime.fromisoformat("0001-01-01"),
            datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
            date(1, 1, 1),
            b"\x00\xff",
            1e308,
        ),
        (
            2**63 - 1,
            Decimal("0.0000000001"),
            " 'quoted' \"twice\"\n",
            datetime.fromisoformat("9999-12-31 23:59:59.999999"),
            datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            date(9999, 12, 31),
            b"'",
            -0.1,
        ),
        (None, None, None, None, None, None, None, None),
    ),
)
EMPTY = Table("shop", "nothing", EVENTS.columns, ())


def test_values_arrive_exactly(source):
    source.make(EVERYTHING)
    with opened(source) as session:
        assert rows_of(session, reading(session, EVERYTHING.relation)) == [
            source.as_read(row) for row in EVERYTHING.rows
        ]


def test_columns_are_described_in_order_with_a_type_to_read(source):
    source.make(EVERYTHING)
    with opened(source) as session:
        described = session.describe(EVERYTHING.relation)
    assert [one.name for one in described] == [source.spelt(name) for name, _ in EVERYTHING.columns]
    assert all(one.read_type is not None and one.refusal is None and one.is_nullable for one in described)


def test_batches_have_the_planned_types_and_no_more_rows_than_asked_for(source):
    source.make(EVENTS)
    with opened(source) as session:
        what = reading(session, EVENTS.relation)
        batches = list(session.read(what, Chunk(chunk_id=0), batch_rows=64))
    assert sum(batch.num_rows for batch in batches) == 1000
    assert max(batch.num_rows for batch in batches) <= 64
    for batch in batches:
        assert [str(field.type) for field in batch.schema] == [column.read_type for column in what.columns]


def test_an_empty_table_has_one_chunk_and_no_rows(source):
    source.make(EMPTY)
    with opened(source) as session:
        what = reading(session, EMPTY.relation)
        plan = session.plan_chunks(what.relation, FULL, what.snapshot, ChunkingPolicy())
        assert [rows_of(session, what, chunk) for chunk in plan.chunks] == [[]]
        assert session.count(what).rows == 0


def test_a_missing_table_is_refused_with_the_near_names(source):
    source.make(EVENTS)
    with opened(source) as session, pytest.raises(SourceError, match=r"shop\.evnets") as caught:
        session.describe(Relation(schema_name="shop", table_name="evnets"))
    assert "events" in (caught.value.hint or "").lower()
    assert caught.value.code


@pytest.mark.parametrize("target", [5, 37, 999, 1000])
@pytest.mark.parametrize(
    ("strategy", "column"),
    [("auto", None), ("none", None), ("rowid", None), ("key", "id"), ("key", "kind"), ("key", "at"), ("key", "name")],
)
def test_chunks_cover_every_row_once(source, strategy, column, target):
    source.make(EVENTS)
    policy = ChunkingPolicy(strategy=strategy, column=column, target_rows=target)
    if policy.strategy not in source.cuts_by | {ChunkingStrategy.AUTO, ChunkingStrategy.NONE}:
        pytest.skip("the source does not cut by it")
    with opened(source) as session:
        what = reading(session, EVENTS.relation)
        chunks = session.plan_chunks(what.relation, FULL, what.snapshot, policy).chunks
        got = Counter(row for chunk in chunks for row in rows_of(session, what, chunk))
    assert got == Counter(EVENTS.rows)
    assert [chunk.chunk_id for chunk in chunks] == list(range(len(chunks)))
    assert chunks[0].lower is None
    assert chunks[-1].upper is None
    if strategy in {"rowid", "key"} and target == 37 and column != "kind":
        assert len(chunks) > 20


def test_chunks_survive_being_written_as_json(source):
    source.make(EVENTS)
    policy = ChunkingPolicy(strategy="key", column="at", target_rows=100)
    with opened(source) as session:
        what = reading(session, EVENTS.relation)
        chunks = session.plan_chunks(what.relation, FULL, what.snapshot, policy).chunks
        again = [Chunk.model_validate_json(chunk.model_dump_json()) for chunk in chunks]
        kept = ReadSpec.model_validate_json(what.model_dump_json())
    with opened(source) as other:
        assert Counter(row for chunk in again for row in rows_of(other, kept, chunk)) == Counter(EVENTS.rows)


def test_a_key_that_does_not_exist_is_refused(source):
    source.make(EVENTS)
    with opened(source) as session:
        what = reading(session, EVENTS.relation)
        policy = ChunkingPolicy(strategy="key", column="nope")
        with pytest.raises(PlanError, match="nope"):
            session.plan_chunks(what.relation, FULL, what.snapshot, policy)


def test_strategies_that_a_source_does_not_know_are_refused(source):
    source.make(EVENTS)
    unknown = set(ChunkingStrategy) - source.cuts_by - {ChunkingStrategy.AUTO, ChunkingStrategy.NONE}
    with opened(source) as session:
        what = reading(session, EVENTS.relation)
        for strategy in unknown:
            with pytest.raises(PlanError, match=strategy):
                session.plan_chunks(what.relation, FULL, what.snapshot, ChunkingPolicy(strategy=strategy))


@pytest.mark.parametrize("policy", [ChunkingPolicy(), ChunkingPolicy(target_rows=30)])
def test_a_window_is_half_open_in_every_chunk_and_nulls_are_counted(source, policy):
    scope = window("at")
    end = START + timedelta(days=1)
    edges = ((2000, 1, START, "first"), (2001, 1, end, "next day"), (2002, 1, end - timedelta(microseconds=1), "last"))
    table = Table(EVENTS.schema, EVENTS.name, EVENTS.columns, EVENTS.rows + edges)
    source.make(table)
    expected = Counter(row for row in table.rows if row[2] is not None and START <= row[2] < end)
    with opened(source) as session:
        what = reading(session, table.relation, scope=scope)
        plan = session.plan_chunks(what.relation, scope, what.snapshot, policy)
        chunks = plan.chunks
        got = Counter(row for chunk in chunks for row in rows_of(session, what, chunk))
        counted = session.count(what.model_copy(update={"null_count": plan.null_count}))
        uncounted = session.count(what)
    assert got == expected
    assert counted.rows == expected.total()
    assert counted.null_incremental_rows == sum(row[2] is None for row in table.rows)
    assert (uncounted.rows, uncounted.null_incremental_rows) == (counted.rows, None)
    assert sum(chunk.estimated_rows for chunk in chunks) == expected.total()


def test_a_window_without_a_start_includes_everything_before_its_end_and_rows_without_a_value(source):
    source.make(EVENTS)
    end = START + timedelta(days=1)
    with opened(source) as session:
        what = reading(session, EVENTS.relation, scope=window("at", start=None))
        got = rows_of(session, what)
        counted = session.count(what.model_copy(update={"null_count": NullCount.COUNTED}))
    assert Counter(got) == Counter(row for row in EVENTS.rows if row[2] is None or row[2] < end)
    assert (counted.rows, counted.null_incremental_rows) == (len(got), sum(row[2] is None for row in got))


def test_a_window_of_whole_numbers_is_half_open_and_ends_above_the_greatest_one(source):
    source.make(EVENTS)
    with opened(source) as session:
        what = reading(session, EVENTS.relation)
        greatest = session.greatest_number(what.relation, "id", what.snapshot)
        assert greatest == 999
        scope = Scope(mode=ExtractionMode.INCREMENTAL, window=Window(column="id", start=990, end=greatest, timezone=""))
        what = what.model_copy(update={"scope": scope})
        plan = session.plan_chunks(what.relation, scope, what.snapshot, ChunkingPolicy(target_rows=3))
        got = [row[0] for chunk in plan.chunks for row in rows_of(session, what, chunk)]
        assert sorted(got) == list(range(990, 999))
        assert session.count(what).rows == 9
        scope = Scope(mode=ExtractionMode.FULL, window=Window(column="kind", start=None, end=-(10**38), timezone=""))
        nulls = rows_of(session, what.model_copy(update={"scope": scope}))
        assert sorted(row[0] for row in nulls) == [row[0] for row in EVENTS.rows if row[1] is None]
        with raises_message(PlanError, "sources.no_whole_numbers"):
            session.plan_chunks(
                what.relation,
                Scope(mode=ExtractionMode.INCREMENTAL, window=Window(column="name", start=1, end=2, timezone="")),
                what.snapshot,
                ChunkingPolicy(),
            )


def test_an_empty_table_has_no_greatest_number(source):
    table = Table(EVENTS.schema, EVENTS.name, EVENTS.columns, ())
    source.make(table)
    with opened(source) as session:
        what = reading(session, table.relation)
        assert session.greatest_number(what.relation, "id", what.snapshot) is None


def test_a_wall_clock_column_is_compared_in_the_windows_time_zone(source):
    at = START + timedelta(hours=12)  # 2026-01-05T00:00Z is 13:00 there
    rows = ((1, 1, at, "before"), (2, 1, at + timedelta(hours=1), "first"), (3, 1, at + timedelta(hours=25), "next"))
    table = Table("shop", "events", EVENTS.columns, rows)
    source.make(table)
    with opened(source) as session:
        what = reading(session, table.relation, scope=window("at", timezone="Pacific/Auckland"))
        assert [row[3] for row in rows_of(session, what)] == ["first"]


def test_a_column_with_a_zone_is_compared_as_instants(source):
    start = START.replace(tzinfo=UTC)
    rows = tuple((number, start + timedelta(hours=number)) for number in (-1, 0, 23, 24))
    table = Table("shop", "moments", (("id", "int"), ("at", "instant")), rows)
    source.make(table)
    with opened(source) as session:
        what = reading(session, table.relation, scope=window("at", timezone="Pacific/Auckland"))
        assert [row[0] for row in rows_of(session, what)] == [0, 23]


def test_a_day_column_is_compared_as_midnights(source):
    rows = tuple((number, START.date() + timedelta(days=number)) for number in range(-1, 3))
    table = Table("shop", "days", (("id", "int"), ("day", "day")), rows)
    source.make(table)
    with opened(source) as session:
        what = reading(session, table.relation, scope=window("day"))
        assert [row[0] for row in rows_of(session, what)] == [0]
        # 13:00 on the 5th until 13:00 on the 6th, there: the midnight in between is the 6th's
        there = reading(session, table.relation, scope=window("day", timezone="Pacific/Auckland"))
        assert [row[0] for row in rows_of(session, there)] == [1]


@pytest.mark.parametrize("column", ["name", "id", "absent"])
def test_a_window_over_an_unfit_column_is_refused(source, column):
    source.make(EVENTS)
    scope = window(column)
    with opened(source) as session:
        what = reading(session, EVENTS.relation, scope=scope)
        with pytest.raises(PlanError, match=column):
            session.plan_chunks(what.relation, scope, what.snapshot, ChunkingPolicy())


def test_two_sessions_read_at_one_snapshot(source):
    source.make(EVENTS)
    with opened(source) as first, opened(source) as second:
        what = reading(first, EVENTS.relation)
        assert first.identity() == second.identity() == what.snapshot.identity
        assert rows_of(second, what) == rows_of(first, what)


@pytest.mark.parametrize("session_from", ["before the change", "after the change"])
def test_a_change_gives_the_old_rows_or_a_lost_snapshot_and_never_the_new_rows(source, session_from):
    source.make(EVENTS)
    with opened(source) as session:
        what = reading(session, EVENTS.relation)
        source.insert(EVENTS, (5000, 1, START, "new"))
        late = source.session() if session_from == "after the change" else session
        for act in (lambda: rows_of(late, what), lambda: [late.count(what)]):
            try:
                found = act()
            except SnapshotLost:
                continue
            assert len(found) == len(EVENTS.rows) or found[0].rows == len(EVENTS.rows)
        late.close()


def test_a_new_snapshot_sees_what_was_committed_before_it(source):
    source.make(EVENTS)
    with opened(source) as session:
        old = reading(session, EVENTS.relation)
        source.insert(EVENTS, (5000, 1, START, "new"))
        new = reading(session, EVENTS.relation)
        assert new.snapshot.token != old.snapshot.token
        assert session.count(new).rows == len(EVENTS.rows) + 1
        assert (5000, 1, START, "new") in rows_of(session, new)


def test_tables_that_join_one_snapshot_are_read_at_it_in_any_session(source):
    source.make(EVENTS, EVERYTHING)
    with opened(source) as first:
        snapshot = first.take_run_snapshot()
    query = Relation(query="select id, name from shop.events")
    with opened(source) as session:
        for relation, rows in ((EVENTS.relation, EVENTS.rows), (EVERYTHING.relation, EVERYTHING.rows), (query, None)):
            joined = session.join_snapshot(relation, snapshot)
            assert joined.is_same_moment(snapshot)
            own = ReadSpec(relation=relation, snapshot=joined, scope=FULL, columns=planned(session.describe(relation)))
            assert session.count(own).rows == len(rows or EVENTS.rows)
            assert Counter(rows_of(session, own)) == Counter(
                map(source.as_read, rows) if rows else ((row[0], row[3]) for row in EVENTS.rows)
            )


def test_a_table_that_joins_a_snapshot_late_sees_the_old_rows_or_says_that_it_is_lost(source):
    source.make(EVENTS)
    with opened(source) as session:
        snapshot = session.take_run_snapshot()
        source.insert(EVENTS, (5000, 1, START, "new"))
        try:
            joined = session.join_snapshot(EVENTS.relation, snapshot)
        except SnapshotLost:
            return
        columns = planned(session.describe(EVENTS.relation))
        own = ReadSpec(relation=EVENTS.relation, snapshot=joined, scope=FULL, columns=columns)
        assert session.count(own).rows == len(rows_of(session, own)) == len(EVENTS.rows)


def test_no_table_joins_the_snapshot_of_another_database(source):
    source.make(EVENTS)
    with opened(source) as session:
        own = session.take_run_snapshot()
        other = own.model_copy(update={"identity": {"path": "elsewhere"}})
        with pytest.raises(SnapshotLost):
            session.join_snapshot(EVENTS.relation, other)


def test_a_snapshot_of_another_database_is_lost(source, tmp_path):
    source.make(EVENTS)
    with opened(source) as session:
        what = reading(session, EVENTS.relation)
        own = what.snapshot
        other = Snapshot(kind=own.kind, token=own.token, taken_at=own.taken_at, identity={"path": "elsewhere"})
        with pytest.raises(SnapshotLost):
            rows_of(session, what.model_copy(update={"snapshot": other}))


def test_a_query_is_described_split_and_read_like_a_table(source):
    source.make(EVENTS)
    relation = Relation(query="select id, name from shop.events where id < 500")
    policy = ChunkingPolicy(strategy="key", column="id", target_rows=100)
    with opened(source) as session:
        what = reading(session, relation)
        chunks = session.plan_chunks(relation, FULL, what.snapshot, policy).chunks
        got = Counter(row for chunk in chunks for row in rows_of(session, what, chunk))
        assert session.count(what).rows == 500
    assert len(chunks) >= 4
    assert got == Counter((row[0], row[3]) for row in EVENTS.rows if row[0] < 500)


def test_names_of_any_kind_are_read(source):
    schema, name, *names = source.odd_names
    table = Table(schema, name, tuple((name, "int") for name in names), (tuple(range(8)),))
    source.make(table)
    with opened(source) as session:
        what = reading(session, table.relation)
        assert [column.name for column in what.columns] == [source.spelt(name) for name in names]
        for name in names:
            policy = ChunkingPolicy(strategy="key", column=name, target_rows=1)
            (chunk,) = session.plan_chunks(table.relation, FULL, what.snapshot, policy).chunks
            assert rows_of(session, what, chunk) == [tuple(range(8))]


def test_an_abandoned_read_leaves_the_session_usable(source):
    source.make(EVENTS)
    with opened(source) as session:
        what = reading(session, EVENTS.relation)
        batches = session.read(what, Chunk(chunk_id=0), batch_rows=10)
        next(batches)
        assert session.count(what).rows == 1000
        del batches
        assert len(rows_of(session, what)) == 1000


def test_closing_twice_is_no_error(source):
    source.make(EVENTS)
    session = source.session()
    session.close()
    session.close()
