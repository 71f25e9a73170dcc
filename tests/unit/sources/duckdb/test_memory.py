"""The memory of a session does not grow with the rows that it has read."""

import duckdb

from statekeeper.sources.duckdb.connection import Connection
from statekeeper.sources.sql import Sql

ROWS = 2_000_000


def _kept(connection):
    ((kept,),) = connection.rows(Sql("SELECT sum(memory_usage_bytes) FROM duckdb_memory()"), "memory")
    return int(kept)


def _opened(tmp_path):
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(f"CREATE TABLE numbers AS SELECT hash(i) AS a, hash(i, 1) AS b FROM range({ROWS}) AS r(i)")
    return Connection.open(str(path), memory_limit="256MiB")


def test_blocks_that_were_read_are_not_kept(tmp_path):
    connection = _opened(tmp_path)
    with connection.reader(Sql("SELECT a, b FROM numbers"), "numbers", batch_rows=16_384) as reader:
        assert sum(batch.num_rows for batch in reader) == ROWS
        assert _kept(connection) > 28 * 2**20  # the whole table: otherwise this shows nothing
    assert _kept(connection) <= 18 * 2**20
    connection.close()


def test_a_concurrent_reader_is_not_disturbed_and_the_limit_stays(tmp_path):
    connection = _opened(tmp_path)
    statement = Sql("SELECT a, b FROM numbers ORDER BY a")
    with connection.reader(statement, "numbers", batch_rows=16_384) as outer:
        rows = outer.read_next_batch().num_rows
        with connection.reader(Sql("SELECT a FROM numbers"), "numbers", batch_rows=16_384) as inner:
            assert sum(batch.num_rows for batch in inner) == ROWS
        rows += sum(batch.num_rows for batch in outer)
    assert rows == ROWS
    assert connection.rows(Sql("SELECT current_setting('memory_limit')"), "limit") == [("256.0 MiB",)]
    connection.close()
