"""What was read leaves nothing in the process: a service that extracts for months reads another text every time."""

from __future__ import annotations

import gc
import sys
from datetime import UTC, datetime
from uuid import uuid4

from statekeeper.config.loader import pipeline_of
from statekeeper.model.receipt import CountReceipt

ROUNDS = 500


def _blocks_kept(read):
    """How many blocks of memory are in use after many rounds that were not before; as many rounds fill free lists."""
    for _ in range(ROUNDS):
        read()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(ROUNDS):
        read()
    gc.collect()
    return sys.getallocatedblocks() - before


def test_a_document_that_was_read_leaves_none_of_its_texts():
    def read():
        plan_id, ended_at = uuid4().hex, datetime.now(UTC)
        document = CountReceipt(plan_id=plan_id, rows=1, ended_at=ended_at)
        CountReceipt.from_bytes(document.to_bytes(), where="receipt")

    assert _blocks_kept(read) < ROUNDS / 2


def test_a_config_that_was_read_leaves_none_of_its_texts():
    def read():
        sources = {"shop": {"type": "duckdb", "path": f"{uuid4().hex}.duckdb"}}
        pipeline_of({"pipeline": "p", "sources": sources, "tables": [{"table_name": f"t_{uuid4().hex}"}]})

    assert _blocks_kept(read) < ROUNDS / 2
