import json
import logging
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from statekeeper.config.sections.chunking import ChunkingPolicy
from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.errors import PlanError, SnapshotLost, SourceError, SourceUnreachable, TransientSourceError
from statekeeper.model.plan import Chunk, ChunkKind, PlannedColumn, ReadSpec
from statekeeper.model.table import ExtractionMode, Relation, Scope, Window
from statekeeper.sources.registry import open_session
from tests import readings
from tests.messages import message, raises_message, says
from tests.readings import FULL

WHOLE = Chunk(chunk_id=0)


@pytest.fixture
def path(tmp_path) -> Path:
    database = tmp_path / "company.duckdb"
    write(database, "CREATE SCHEMA shop", "CREATE TABLE shop.orders AS SELECT range AS id FROM range(1000)")
    return database


@pytest.fixture
def opened(path):
    sessions = []

    def open_one(at: Path = path):
        sessions.append(open_session(DuckDBSource(type="duckdb", path=str(at)), memory_limit="256MB"))
        return sessions[-1]

    yield open_one
    for session in sessions:
        session.close()


def write(path: Path, *statements: str) -> None:
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)


def writer(path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Another process that opens the database for writing as `c`."""
    program = f"import duckdb, os\nc = duckdb.connect({str(path)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def reading(session, table: str = "shop.orders", **changes) -> ReadSpec:
    schema, _, name = table.rpartition(".")
    return readings.reading(session, Relation(schema_name=schema or None, table_name=name), **changes)


def rows(session, what: ReadSpec, chunk: Chunk = WHOLE) -> int:
    return sum(batch.num_rows for batch in session.read(what, chunk, batch_rows=500))


# --- opening ---------------------------------------------------------------------------------------------------------


def test_an_absent_file_is_unreachable_by_name(opened, tmp_path):
    with raises_message(SourceUnreachable, "duckdb.does_not_exist", path=tmp_path / "nope.duckdb") as caught:
        opened(tmp_path / "nope.duckdb")
    assert "path" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"not a database" * 2000])
def test_a_file_that_is_no_database_is_unreachable(opened, tmp_path, content):
    junk = tmp_path / "junk.duckdb"
    junk.write_bytes(content)
    with pytest.raises(SourceUnreachable, match="not a valid DuckDB database"):
        opened(junk)


def test_a_folder_is_unreachable(opened, tmp_path):
    with pytest.raises(SourceUnreachable):
        opened(tmp_path)


def test_a_database_held_by_a_writer_is_a_transient_error_that_names_the_process(opened, path):
    program = f"import duckdb\nc = duckdb.connect({str(path)!r})\nprint('open', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(TransientSourceError, match=f"process {process.pid}"):
            opened()
        process.communicate("\n")
    assert opened().identity() == {"path": str(path)}


@pytest.mark.parametrize("name", ["memory.duckdb", "temp.db", "system", 'it\'s "odd".duckdb', ".hidden", "main.duckdb"])
def test_any_file_name_can_be_opened(opened, tmp_path, name):
    write(tmp_path / name, "CREATE TABLE t AS SELECT 1 AS a")
    session = opened(tmp_path / name)
    assert rows(session, reading(session, "t")) == 1


def test_writers_are_refused_while_a_session_reads_the_file_state_repeatedly(opened, path):
    session = opened()
    rows(session, reading(session))
    session.take_snapshot()
    assert "lock" in writer(path, "").stderr
    session.close()
    assert writer(path, "").returncode == 0


# --- the snapshot ----------------------------------------------------------------------------------------------------


def insert_in_place(path: Path) -> None:
    """A committed row, though a session has the file open: this process gives up its lock by closing the file once."""
    os.close(os.open(path, os.O_RDONLY))
    assert writer(path, "c.execute('INSERT INTO shop.orders VALUES (7)')").stderr == ""


def insert_into_log(path: Path) -> None:
    """A committed row that only the write-ahead log has."""
    os.close(os.open(path, os.O_RDONLY))
    assert writer(path, "c.execute('INSERT INTO shop.orders VALUES (7)'); os._exit(0)").stderr == ""
    assert path.with_name(path.name + ".wal").exists()


def replace(path: Path) -> None:
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    write(copy, "INSERT INTO shop.orders VALUES (7)")
    copy.replace(path)


def touch(path: Path) -> None:
    os.utime(path, (1_700_000_000, 1_700_000_000))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (insert_in_place, "header|size"),
        (insert_into_log, "write-ahead log"),
        (replace, "another file"),
        (touch, "written at 2023-11-14"),
        (Path.unlink, "nothing that can be read"),
    ],
)
def test_a_changed_file_is_a_lost_snapshot_that_says_what_changed(opened, path, change, words):
    session = opened()
    what = reading(session)
    change(path)
    for act in (
        lambda: rows(session, what),
        lambda: session.count(what),
        lambda: session.plan_chunks(what.relation, FULL, what.snapshot, ChunkingPolicy()),
    ):
        with pytest.raises(SnapshotLost, match=words):
            act()


@pytest.mark.parametrize("change", [insert_in_place, insert_into_log, replace])
def test_a_new_snapshot_after_a_change_sees_the_new_rows(opened, path, change):
    session = opened()
    old = session.take_snapshot()
    change(path)
    what = reading(session)
    assert what.snapshot.token != old.token
    assert rows(session, what) == session.count(what).rows == 1001


def test_a_session_opened_after_the_change_does_not_serve_the_old_snapshot(opened, path):
    first = opened()
    what = reading(first)
    first.close()
    write(path, "INSERT INTO shop.orders VALUES (7)")
    with raises_message(SnapshotLost, "duckdb.file_was_written_since"):
        rows(opened(), what)


def test_a_change_in_mid_read_is_found_at_the_end(opened, path):
    session = opened()
    batches = session.read(reading(session), WHOLE, batch_rows=10)
    next(batches)
    replace(path)
    with raises_message(SnapshotLost, "duckdb.another_file"):
        list(batches)


def test_an_unchanged_file_has_one_token_in_every_session(opened):
    assert opened().take_snapshot().token == opened().take_snapshot().token


def test_a_session_can_be_used_again_once_the_file_is_back(opened, path):
    session = opened()
    away = path.with_suffix(".away")
    path.rename(away)
    with pytest.raises(SourceUnreachable):
        session.take_snapshot()
    away.rename(path)
    assert rows(session, reading(session)) == 1000


# --- names and queries -----------------------------------------------------------------------------------------------


def test_a_missing_table_is_reported_with_the_existing_ones(opened, path):
    write(path, "CREATE TABLE shop.customers (id INT)")
    session = opened()
    with pytest.raises(SourceError) as near:
        session.describe(Relation(schema_name="shop", table_name="order"))
    assert says(near.value.hint, "config.did_you_mean_table", key="shop.orders or shop.customers")
    with pytest.raises(SourceError) as elsewhere:
        session.describe(Relation(table_name="customers"))
    assert says(elsewhere.value.hint, "config.did_you_mean_table", key="shop.customers")
    with raises_message(SourceError, "duckdb.no_schema", schema="zzz, only shop") as far:
        session.describe(Relation(schema_name="zzz", table_name="qqqqqq"))
    assert "shop.customers, shop.orders" in far.value.hint


def test_a_schema_may_have_the_databases_own_name(opened, tmp_path):
    write(tmp_path / "shop.duckdb", "CREATE SCHEMA shop", "CREATE TABLE shop.shop.orders AS SELECT 1 AS a")
    session = opened(tmp_path / "shop.duckdb")
    assert rows(session, reading(session, "shop.orders")) == 1


def test_names_are_found_regardless_of_case(opened):
    session = opened()
    assert rows(session, reading(session, "SHOP.ORDERS")) == 1000


def test_not_null_columns_of_tables_are_known_and_those_of_views_are_not(opened, path):
    write(path, "CREATE TABLE n (a INT NOT NULL, b INT)", "CREATE VIEW v AS SELECT * FROM n")
    session = opened()
    table, view = (session.describe(Relation(table_name=name)) for name in ("n", "v"))
    assert [column.is_nullable for column in table] == [False, True]
    assert [column.is_nullable for column in view] == [True, True]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM shop.orders;",
        "SELECT id FROM shop.orders -- all of them",
        "SELECT id FROM shop.orders; -- all; of them\n/* ; */ ;",
        "-- ;\nSELECT id FROM shop.orders WHERE ';' <> '' -- ;",
        "WITH q AS (FROM shop.orders) SELECT * FROM q ORDER BY id",
        "FROM shop.orders",
        "(SELECT id FROM shop.orders)",
        "SELECT id FROM company.shop.orders",
    ],
)
def test_a_query_may_end_in_a_semicolon_or_a_comment(opened, query):
    session = opened()
    assert rows(session, readings.reading(session, Relation(query=query))) == 1000


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT 1; SELECT 2", message("duckdb.several_statements", count=2)),
        ("/* nothing */", message("duckdb.several_statements", count=0)),
        ("SELEC 1", message("duckdb.does_not_parse")),
        ("DROP TABLE shop.orders", message("duckdb.is_no_select", type="DROP")),
        ("COPY shop.orders TO 'x'", message("duckdb.is_no_select", type="COPY")),
        ("SELECT ?, ?", message("duckdb.has_parameters", names="$1, $2")),
        ("SELECT 1) AS a, (SELECT 2", message("duckdb.does_not_parse")),
    ],
)
def test_a_query_that_is_not_one_select_is_refused(opened, query, words):
    with raises_message(PlanError, words):
        opened().describe(Relation(query=query))


def test_a_query_with_an_unknown_column_is_refused_with_the_drivers_code(opened):
    with pytest.raises(SourceError, match="nope") as caught:
        opened().describe(Relation(query="SELECT nope FROM shop.orders"))
    assert caught.value.code == "Binder Error"


def test_queries_and_views_cannot_read_other_files(opened, path, tmp_path):
    (tmp_path / "other.csv").write_text("a\n1\n")
    write(path, f"CREATE VIEW outside AS SELECT * FROM read_csv('{tmp_path}/other.csv')")
    session = opened()
    for relation in (Relation(table_name="outside"), Relation(query=f"FROM '{tmp_path}/other.csv'")):
        with pytest.raises(SourceError) as caught:
            session.describe(relation)
        assert says(caught.value.hint, "duckdb.only_the_file_itself")


# --- chunks ----------------------------------------------------------------------------------------------------------


def chunks_of(session, what: ReadSpec, **policy) -> tuple[Chunk, ...]:
    return session.plan_chunks(what.relation, what.scope, what.snapshot, ChunkingPolicy(**policy)).chunks


def test_deleted_rows_leave_even_chunks(opened, path):
    write(path, "DELETE FROM shop.orders WHERE id BETWEEN 100 AND 849")
    session = opened()
    what = reading(session)
    chunks = chunks_of(session, what, target_rows=50)
    sizes = [rows(session, what, chunk) for chunk in chunks]
    assert sum(sizes) == 250
    assert [chunk.estimated_rows for chunk in chunks] == sizes
    assert max(sizes) <= 50
    assert len(sizes) <= 7


def test_auto_uses_rowids_for_large_tables_only(opened):
    session = opened()
    what = reading(session)
    assert [chunk.kind for chunk in chunks_of(session, what, target_rows=1000)] == [ChunkKind.WHOLE]
    assert {chunk.kind for chunk in chunks_of(session, what, target_rows=999)} == {ChunkKind.ROWID}


@pytest.mark.parametrize("relation", [Relation(table_name="v"), Relation(query="FROM shop.orders")])
def test_views_and_queries_have_no_rowids(opened, path, relation):
    write(path, "CREATE VIEW v AS FROM shop.orders")
    session = opened()
    what = readings.reading(session, relation)
    with raises_message(PlanError, "duckdb.no_rowids") as caught:
        chunks_of(session, what, strategy="rowid")
    assert "key" in caught.value.hint
    plan = session.plan_chunks(relation, FULL, what.snapshot, ChunkingPolicy(target_rows=10))
    assert len(plan.chunks) == 1
    assert "one chunk" in plan.notes[0]


def test_a_column_called_rowid_is_not_used_as_rowids(opened, path):
    write(path, 'CREATE TABLE r AS SELECT 5 AS "RowId" FROM range(100)')
    session = opened()
    what = reading(session, "r")
    assert len(chunks_of(session, what, target_rows=10)) == 1
    with raises_message(PlanError, "duckdb.rowids_are_hidden"):
        chunks_of(session, what, strategy="rowid")


KEYS = {
    "BIGINT": "range - 500",
    "HUGEINT": "range::HUGEINT * 100000000000000000000",
    "DECIMAL(38,2)": "range / 7",
    "DATE": "DATE '2026-01-01' + range::INT",
    "TIMESTAMP": "TIMESTAMP '2026-01-01' + to_seconds(range * 61)",
    "TIMESTAMP_NS": "make_timestamp_ns(1767225600000000000 + range)",
    "TIMESTAMPTZ": "TIMESTAMPTZ '2026-01-01 00:00:00+03' + to_hours(range::INT)",
    "VARCHAR": "'it''s ' || (range * 7919 % 1000)",
    "VARCHAR COLLATE NOCASE": "CASE WHEN range % 2 = 0 THEN 'a' ELSE 'A' END || (range // 2)",
    "UUID": "md5(range::VARCHAR)::UUID",
}


@pytest.mark.parametrize("kind", KEYS)
def test_every_kind_of_key_puts_each_row_into_one_chunk(opened, path, kind):
    write(
        path,
        f"CREATE TABLE k (id BIGINT, k {kind})",
        f"INSERT INTO k SELECT range, CASE WHEN range % 10 <> 3 THEN {KEYS[kind]} END FROM range(1000)",
    )
    session = opened()
    snapshot = session.take_snapshot()
    relation = Relation(table_name="k")
    identifier = PlannedColumn(name="id", database_type="BIGINT", read_type="int64", arrow_type="int64")
    what = ReadSpec(relation=relation, snapshot=snapshot, scope=FULL, columns=(identifier,))
    chunks = chunks_of(session, what, strategy="key", column="K", target_rows=100)
    ids = [
        number
        for chunk in chunks
        for batch in session.read(what, chunk, batch_rows=500)
        for number in batch.column(0).to_pylist()
    ]
    assert sorted(ids) == list(range(1000))
    assert len(chunks) == 10
    assert all(chunk.column == "k" for chunk in chunks)


@pytest.mark.parametrize("kind", ["DOUBLE", "BOOLEAN", "BLOB", "INTEGER[]", "JSON"])
def test_a_key_whose_order_is_not_certain_is_refused(opened, path, kind):
    write(path, f"CREATE TABLE k (k {kind})")
    session = opened()
    with raises_message(PlanError, "sources.not_a_chunking_key"):
        session.plan_chunks(
            Relation(table_name="k"), FULL, session.take_snapshot(), ChunkingPolicy(strategy="key", column="k")
        )


def test_a_key_with_one_value_makes_one_chunk_and_says_so(opened, path):
    write(path, "CREATE TABLE k AS SELECT 1 AS k FROM range(1000)")
    session = opened()
    policy = ChunkingPolicy(strategy="key", column="k", target_rows=10)
    plan = session.plan_chunks(Relation(table_name="k"), FULL, session.take_snapshot(), policy)
    assert len(plan.chunks) == 1
    assert says(plan.notes[0], "duckdb.one_chunk_of_few_values")


@pytest.mark.parametrize("kind", ["TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "DATE", "TIMESTAMPTZ"])
def test_windows_are_bound_in_the_columns_own_type(opened, path, kind):
    write(
        path,
        f"CREATE TABLE w (moment {kind})",
        "INSERT INTO w SELECT (TIMESTAMP '2026-01-04 12:00:00' + to_hours(8 * range::INT)) FROM range(8)",
    )
    start = datetime(2026, 1, 5, tzinfo=UTC)
    chosen = Window(column="MOMENT", start=start, end=start + timedelta(days=1), timezone="UTC")
    session = opened()
    snapshot = session.take_snapshot()
    as_day = PlannedColumn(name="moment", database_type="DATE", read_type="date32[day]", arrow_type="date32[day]")
    scope = Scope(mode=ExtractionMode.INCREMENTAL, window=chosen)
    what = ReadSpec(relation=Relation(table_name="w"), snapshot=snapshot, scope=scope, columns=(as_day,))
    assert session.count(what).rows == rows(session, what) == 3


# --- the record of statements ----------------------------------------------------------------------------------------


def test_the_query_log_holds_every_statement_with_its_values(opened, tmp_path, monkeypatch):
    log = tmp_path / "queries.jsonl"
    monkeypatch.setenv("STATEKEEPER_QUERY_LOG", str(log))
    session = opened()
    what = reading(session)
    for chunk in chunks_of(session, what, target_rows=400):
        rows(session, what, chunk)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    reads = [entry for entry in entries if entry["sql"].startswith("SELECT CAST")]
    assert all(entry["pid"] == os.getpid() and datetime.fromisoformat(entry["at"]) for entry in entries)
    assert [entry["params"] for entry in reads] == [["400"], ["400", "800"], ["800"]]


def test_the_ordinary_log_holds_no_values(opened, caplog):
    caplog.set_level(logging.DEBUG, logger="statekeeper.sources")
    session = opened()
    what = reading(session)
    for chunk in chunks_of(session, what, target_rows=400):
        rows(session, what, chunk)
    assert "binds: BIGINT, BIGINT" in caplog.text
    assert "400" not in caplog.text.replace(f"[{os.getpid()}]", "")
