"""Memory is bounded by bytes: rows a batch follow from what rows weigh, row groups have a bound of their own."""

import os

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from statekeeper.config.resolved import OutputConfig
from statekeeper.config.sections.quantities import format_size, parse_size
from statekeeper.errors import DataError, OutOfMemory
from statekeeper.model.plan import Chunk, PlannedColumn
from statekeeper.model.table import Relation
from statekeeper.parquet.batch_size import UNSEEN, BatchSize, MemoryBudget, check_values_fit, pieces, rows_within
from statekeeper.parquet.writer import RowGroups
from statekeeper.sources.duckdb.session import DuckdbSession
from tests.messages import says, text_of
from tests.readings import reading

MIB = 2**20


def _blobs(*sizes):
    return [pa.array([b"x" * size for size in sizes], pa.large_binary())]


def _batch(*sizes):
    return pa.record_batch({"DOC": pa.array([b"x" * size for size in sizes], pa.binary())})


def test_type_without_bound_starts_with_one_row_and_grows_only_as_far_as_unseen_values_would_fit():
    size = BatchSize(widest_row=None, max_rows=16_384, max_bytes=32 * MIB)
    seen = []
    for _ in range(12):
        seen.append(size.rows)
        size.weigh(_blobs(*[10] * size.rows))
    assert seen == [1, 2, 4, 8, 16, 32, 64, 128, 128, 128, 128, 128]
    assert 128 * UNSEEN == 32 * MIB


def test_next_batch_has_as_many_rows_as_fit_by_the_heaviest_row_of_the_last():
    size = BatchSize(widest_row=None, max_rows=16_384, max_bytes=32 * MIB)
    for _ in range(5):
        size.weigh(_blobs(10))
    assert size.rows == 32
    size.weigh(_blobs(10, 4 * MIB, 10))
    assert size.rows == 8
    size.weigh(_blobs(20 * MIB))
    assert size.rows == 1


def test_one_heavy_row_does_not_slow_the_rest_of_a_table_down():
    size = BatchSize(widest_row=None, max_rows=16_384, max_bytes=32 * MIB)
    size.weigh(_blobs(40 * MIB))
    for _ in range(12):
        size.weigh(_blobs(*[10] * size.rows))
    assert size.rows == 128


def test_bounded_types_start_with_what_fits_at_their_widest_and_grow_by_what_rows_really_weigh():
    size = BatchSize(widest_row=50 * 4000, max_rows=16_384, max_bytes=32 * MIB)
    assert size.rows == size.steady == 167
    for _ in range(10):
        size.weigh(_blobs(*[100] * size.rows))
    assert size.rows == 16_384


def test_shares_of_the_memory_limit():
    assert MemoryBudget.of("512MiB") == MemoryBudget(32 * MIB, 64 * MIB, 512 * MIB)


def test_value_too_large_even_alone_is_named_with_its_size_and_what_to_do():
    columns = (PlannedColumn(name="DOC", database_type="BLOB", read_type="binary", arrow_type="binary"),)
    check_values_fit(_batch(3 * MIB, 3 * MIB), columns, MemoryBudget.of("4MiB"))
    with pytest.raises(DataError) as raised:
        check_values_fit(_batch(3 * MIB, 5 * MIB), columns, MemoryBudget.of("4MiB"))
    assert raised.value.message == text_of(
        "parquet.value_is_larger_than_the_memory", column="DOC", type="BLOB", size="5MiB", limit="4MiB"
    )
    assert says(raised.value.hint, "parquet.raise_memory_limit", limit="10MiB")


@pytest.mark.parametrize(("number", "text"), [(0, "0KiB"), (1, "1KiB"), (MIB, "1MiB"), (MIB + 1, "2MiB")])
def test_sizes_are_written_so_that_they_can_be_read_and_never_too_small(number, text):
    assert format_size(number) == text
    assert parse_size(text) >= number


def test_batch_that_is_too_heavy_is_cut_without_a_copy():
    batch = _batch(*[100] * 10)
    cut = list(pieces(batch, 300))
    assert all(piece.nbytes <= 300 or piece.num_rows == 1 for piece in cut)
    assert pa.Table.from_batches(cut) == pa.Table.from_batches([batch])
    assert {piece.column(0).buffers()[2].address for piece in cut} == {batch.column(0).buffers()[2].address}


def test_row_groups_are_bounded_by_bytes_whatever_the_batches_are():
    groups = RowGroups(_batch().schema, OutputConfig(), MemoryBudget.of("8MiB"))
    full = [group for size in (1, 40, 3) for group in groups.add(_batch(*[100_000] * size))]
    full.append(groups.rest())
    assert sum(group.num_rows for group in full) == 44
    assert max(group.nbytes for group in full) <= MIB


def test_heavy_parts_are_scanned_few_rows_at_a_time_and_light_ones_are_not(tmp_path):
    pq.write_table(pa.table({"DOC": [os.urandom(MIB) for _ in range(8)]}), tmp_path / "heavy", row_group_size=4)
    pq.write_table(pa.table({"N": range(100)}), tmp_path / "light")
    budget = MemoryBudget.of("64MiB")
    assert rows_within(pq.read_metadata(tmp_path / "heavy"), budget) == 3
    assert rows_within(pq.read_metadata(tmp_path / "light"), budget) == 10_000


def test_duckdb_that_needs_more_than_its_limit_says_which_columns_have_no_bound(tmp_path):
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute(
            "CREATE TABLE docs AS SELECT i AS id, repeat(md5(i::VARCHAR), 65536) AS doc FROM range(40) r(i)"
        )
    session = DuckdbSession(str(tmp_path / "shop.duckdb"), memory_limit="32MiB")
    docs = reading(session, Relation(table_name="docs"))
    with pytest.raises(OutOfMemory) as raised:
        list(session.read(docs, Chunk(chunk_id=0)))
    session.close()
    assert raised.value.kind == "memory"
    assert says(raised.value.message, "duckdb.cannot_be_read", relation="docs")
    assert says(raised.value.hint, "duckdb.raise_memory_limit")
    assert "doc (VARCHAR)" in raised.value.hint
    assert "id (" not in raised.value.hint
