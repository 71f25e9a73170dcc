"""Sessions with tables that are files, through the source of docs/extending.md."""

from __future__ import annotations

import os

import pyarrow as pa
import pytest

from statekeeper.config.sections.chunking import ChunkingPolicy, ChunkingStrategy
from statekeeper.errors import DataError, PlanError, SnapshotLost, SourceError
from statekeeper.model.plan import Chunk
from statekeeper.model.table import ExtractionMode, Relation, Scope, Window
from tests.messages import message, raises_message
from tests.readings import FULL, reading
from tests.test_extending import block

ORDERS = Relation(table_name="orders")
AUTO = ChunkingPolicy()
WHOLE = Chunk(chunk_id=0)


@pytest.fixture
def module():
    names: dict[str, object] = {"__name__": "statekeeper_csv"}
    exec(compile(block("python", "class CsvSession"), "statekeeper_csv.py", "exec"), names)
    return names


@pytest.fixture
def session(module, tmp_path):
    for name in ("b", "a"):
        write(tmp_path, name, "id,word\n" + "".join(f"{name}{n},{'x' * 10}\n" for n in range(100)))
    return module["CsvSession"](tmp_path)


def write(folder, name, text, encoding="utf-8"):
    (folder / "orders").mkdir(exist_ok=True)
    (folder / "orders" / f"{name}.csv").write_text(text, encoding=encoding)


def read(session, asked, chunk=None, **limits):
    chunks = session.plan_chunks(ORDERS, FULL, asked.snapshot, AUTO).chunks if chunk is None else (chunk,)
    return [batch for one in chunks for batch in session.read(asked, one, **limits)]


def test_each_file_is_a_chunk_and_no_row_is_in_two(session):
    asked = reading(session, ORDERS)
    rows = pa.Table.from_batches(read(session, asked))["id"].to_pylist()
    assert rows == [f"{name}{n}" for name in "ab" for n in range(100)]
    assert session.count(asked).rows == 200
    (whole,) = session.plan_chunks(ORDERS, FULL, asked.snapshot, ChunkingPolicy(strategy=ChunkingStrategy.NONE)).chunks
    assert sum(batch.num_rows for batch in session.read(asked, whole)) == 200


def test_batches_are_bounded_by_rows_and_by_bytes(session):
    asked = reading(session, ORDERS)
    assert {batch.num_rows for batch in read(session, asked, batch_rows=30)} == {30, 10}
    assert max(batch.num_rows for batch in read(session, asked, batch_bytes=200)) < 20


def test_only_the_requested_columns_and_chunks_are_read(session):
    asked = reading(session, ORDERS)
    columns, left = asked.columns[1:], asked.columns[:1]
    fewer = asked.model_copy(update={"columns": columns, "left_out": left})
    with raises_message(DataError, "files.other_columns", found="id, word", planned="word, id"):
        read(session, fewer)
    fewer = asked.model_copy(update={"columns": asked.columns[:1], "left_out": asked.columns[1:]})
    assert {tuple(batch.schema.names) for batch in read(session, fewer)} == {("id",)}


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write(folder, "c", "id,word\n"),
        lambda folder: (folder / "orders" / "a.csv").unlink(),
        lambda folder: write(folder, "a", "id,word\n1,x\n"),
        lambda folder: os.utime(folder / "orders" / "a.csv", (1, 1)),
        lambda folder: [each.unlink() for each in (folder / "orders").iterdir()],
    ],
    ids=["one more", "one less", "written", "touched", "none left"],
)
def test_files_that_changed_are_a_lost_snapshot(session, tmp_path, change):
    asked = reading(session, ORDERS)
    change(tmp_path)
    with raises_message(SnapshotLost, "files.files_are_others", table="orders"):
        list(session.read(asked, WHOLE))
    with pytest.raises(SnapshotLost):
        session.count(asked)


def test_a_file_that_is_written_during_a_read_is_a_lost_snapshot(session, tmp_path):
    asked = reading(session, ORDERS)
    batches = session.read(asked, WHOLE)
    next(batches)
    write(tmp_path, "b", "id,word\nonly one\n")
    with pytest.raises(SnapshotLost):
        list(batches)


def test_a_snapshot_of_another_folder_is_refused(session, module, tmp_path):
    other = tmp_path / "other"
    (tmp_path / "orders").rename(tmp_path / "kept")
    other.mkdir()
    (tmp_path / "kept").rename(other / "orders")
    with pytest.raises(SnapshotLost):
        list(session.read(reading(module["CsvSession"](other), ORDERS), WHOLE))


@pytest.mark.parametrize(
    ("text", "encoding", "why"),
    [
        (
            "id,word,more\n1,2,3\n",
            "utf-8",
            message("files.other_columns", file="...c.csv", found="id, word, more", planned="id, word"),
        ),
        ("word,id\n1,2\n", "utf-8", message("files.other_columns", file="...c.csv", found="word, id")),
        (
            "id,word\n1,2,3\n",
            "utf-8",
            message("files.cannot_be_read", file="...c.csv", error="CSV parse error: Expected 2 columns, got 3..."),
        ),
        (
            "id,word\n1,\u00fc\n",
            "latin-1",
            message("files.cannot_be_read", file="...c.csv", error="...invalid UTF8..."),
        ),
        ("", "utf-8", message("files.cannot_be_read", file="...c.csv", error="Empty CSV file")),
    ],
)
def test_a_file_that_is_not_like_the_others_fails(session, tmp_path, text, encoding, why):
    write(tmp_path, "c", text, encoding)
    asked = reading(session, ORDERS)
    with raises_message(DataError, why):
        read(session, asked)


def test_features_that_files_do_not_have_are_refused(session):
    asked = reading(session, ORDERS)
    window = Window(column="id", start=None, end=asked.snapshot.taken_at, timezone="UTC")
    with raises_message(PlanError, "files.no_windows"):
        session.plan_chunks(ORDERS, Scope(mode=ExtractionMode.INCREMENTAL, window=window), asked.snapshot, AUTO)
    with raises_message(PlanError, "sources.no_earlier_time"):
        session.take_snapshot(ORDERS, at=asked.snapshot.taken_at)
    with raises_message(PlanError, "files.own_snapshot"):
        session.join_snapshot(ORDERS, asked.snapshot)
    with raises_message(SourceError, "files.no_custom_query"):
        session.describe(Relation(query="select 1"))
    with raises_message(SourceError, "files.no_files", table="gone"):
        session.advise(Relation(table_name="gone"))
