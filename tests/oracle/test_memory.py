"""The memory for LOBs is bounded by bytes: from the wire to the file, in the scan and in the split."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from statekeeper.errors import FailureKind
from statekeeper.model.plan import Chunk
from statekeeper.model.table import Relation
from tests.messages import says
from tests.oracle.pipelines import opened, serving
from tests.readings import reading

MIB = 2**20
COLUMNS = [("ID", "NUMBER(9)"), ("DOC", "BLOB")]
MEASURED = """
import json, sys
from statekeeper.run.runner import Runner
from statekeeper.engines.inline import InlineEngine
from statekeeper.api import StatefulDataExtractor
from statekeeper.runtime.progress import NullReporter
import duckdb, pyarrow.parquet, statekeeper.sources.oracle.session
import statekeeper.validate.scan, statekeeper.validate.split_writer

def peak():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

Runner._engine = lambda self: InlineEngine(memory_limit=f"{self.pipeline.execution.memory_limit}B")
extractor = StatefulDataExtractor.from_config(sys.argv[1], date="2026-01-06", reporter=NullReporter())
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = peak()
(table,) = extractor.run().tables
print(json.dumps({"outcome": table.outcome, "reason": table.reason, "held": peak() - before}))
"""
"""Runs a pipeline in one process, and prints by how much its memory grew at most."""


@pytest.fixture(scope="module")
def server():
    with serving("DMS") as server:
        yield server


def _documents(server, name, values):
    server.create_table("DMS", name, COLUMNS, list(enumerate(values)), primary_key=["ID"])
    return {"schema_name": "DMS", "table_name": name}


def _measured(lake, entry, *, memory_limit):
    config = lake.configure(entry, execution={"memory_limit": memory_limit})
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(config)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["outcome"] == "completed", told
    return told["held"]


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak can be measured on Linux only")
def test_rows_of_megabytes_are_read_written_checked_and_split_within_the_memory_limit(lake):
    schema = {"ID": {"type": "int", "ge": 3}, "DOC": {"type": "bytes", "max_length": 10 * MIB}}
    entry = _documents(lake.server, "SCANS", [os.urandom(4 * MIB) for _ in range(24)])
    entry |= {"columns": schema, "on_violation": "quarantine"}
    held = _measured(lake, entry, memory_limit="64MB")
    assert lake.published("SCANS").num_rows == 21
    assert held < 5 * 64_000_000  # of 96 MiB; it was ten times the limit


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak can be measured on Linux only")
def test_rows_heavier_than_a_batch_are_held_one_by_one(lake):
    entry = _documents(lake.server, "FILMS", [os.urandom(20 * MIB) for _ in range(8)])
    held = _measured(lake, entry, memory_limit="64MB")
    assert held < 4 * 5 * 20 * MIB, "four batches, of each of which the driver alone holds five copies"


def test_the_size_of_a_batch_depends_on_the_one_before(server):
    sizes = [10] * 70 + [2 * MIB] * 6 + [10] * 70
    _documents(server, "MIXED", [b"x" * size for size in sizes])
    with opened(server) as session:
        what = reading(session, Relation(schema_name="DMS", table_name="MIXED"))
        batches = list(session.read(what, Chunk(chunk_id=0), batch_bytes=4 * MIB))
    assert [len(value) for batch in batches for value in batch.column("DOC").to_pylist()] == sizes
    rows = [batch.num_rows for batch in batches]
    assert rows[:5] in ([0, 2, 4, 8, 16], [1, 2, 4, 8, 16])  # where there are LOBs the driver fetches none at first
    assert max(rows) == 16, "more would not fit if one that is still unseen has 256 KiB"
    assert 1 in rows[5:], "after rows of half a batch each, one is asked for"
    assert rows[-2] > 4, "and more again once they are light"


def test_value_larger_than_the_memory_limit_is_named(lake):
    lake.configure(_documents(lake.server, "HUGE", [b"x", b"x" * 9 * MIB]), execution={"memory_limit": "8MiB"})
    (report,) = lake.run().tables
    assert report.failure.kind is FailureKind.DATA
    assert says(
        report.failure.message,
        "parquet.value_is_larger_than_the_memory",
        column="DOC",
        type="BLOB",
        size="9MiB",
        limit="8MiB",
    )
    assert says(report.failure.hint, "parquet.raise_memory_limit", limit="18MiB")
