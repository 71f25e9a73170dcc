"""What happens between the last chunk and publication when something staged is not what it was."""

from __future__ import annotations

import asyncio

import pyarrow.parquet as pq
import pytest

from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import DataError, FailureKind
from statekeeper.model.state import State
from statekeeper.parquet.integrity import md5_of
from statekeeper.run.report import Outcome
from tests.messages import says
from tests.unit.engines.counting_engine import CountingEngine
from tests.unit.small_shop import Heard, Shop
from tests.unit.store.files.dying_disk import Died, DyingDisk

ROWS = 400
TABLE = {"table_name": "orders", "chunking": {"strategy": "rowid", "target_rows": 100}}


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute(f"create table orders as select i as id, 'note ' || i % 7 as note from range({ROWS}) r(i)")
    return shop


def _die(shop, role, **choices):
    with pytest.raises(Died):
        shop.run(TABLE, disk=DyingDisk(role), **choices)


def _staging(shop):
    return shop.layout().staging(shop.state().plan_id)


def _staged_parts(shop):
    return sorted(_staging(shop).parts.glob("chunk-*.unpublished"))


def _assert_published_truly(shop):
    """Every file is the one that the metadata tells."""
    files = shop.metadata().files
    assert {file.name: (file.md5, file.rows) for file in files} == {
        path.name: (md5_of(path), pq.read_metadata(path).num_rows) for path in shop.layout().output.iterdir()
    }
    assert shop.rows() == ROWS


def test_a_part_damaged_after_the_intent_is_read_again_with_a_new_intent(shop):
    _die(shop, "publish", output={"base_path": str(shop.folder / "data"), "compression": "zstd"})
    assert (shop.state().state, shop.state().intent is not None) == (State.VALIDATING, True)
    _staged_parts(shop)[1].write_bytes(b"PAR1")
    # The same rows make other bytes this time.
    shop.run(TABLE, output={"base_path": str(shop.folder / "data"), "compression": "none"})
    triggers = [entry.trigger for entry in shop.state().history]
    assert (triggers.count("redo"), triggers.count("restart")) == (1, 0)
    _assert_published_truly(shop)


@pytest.mark.parametrize("content", [None, b"", b"{"])
def test_if_the_count_receipt_is_lost_only_the_count_is_repeated(shop, content):
    _die(shop, "intent")
    receipt = _staging(shop).count_receipt
    receipt.unlink() if content is None else receipt.write_bytes(content)
    parts = [path.stat().st_ino for path in _staged_parts(shop)]
    engine = CountingEngine()
    assert shop.run(TABLE, make_engine=lambda _p: engine)["orders"].outcome is Outcome.COMPLETED
    assert (engine.done.count("count_rows"), engine.done.count("extract_chunk")) == (1, 0)
    assert sorted(path.stat().st_ino for path in shop.layout().output.iterdir()) == sorted(parts)


def test_if_a_chunk_receipt_is_lost_only_that_chunk_is_read_again(shop):
    _die(shop, "intent")
    _staging(shop).receipt(2).write_bytes(b"{")
    engine = CountingEngine()
    assert shop.run(TABLE, make_engine=lambda _p: engine)["orders"].outcome is Outcome.COMPLETED
    assert engine.done.count("extract_chunk") == 1
    _assert_published_truly(shop)


def test_a_count_that_differs_fails_the_table_and_the_next_run_restarts(shop):
    _die(shop, "intent")
    other = Shop(shop.folder / "other")
    other.folder.mkdir()
    other.execute("create table orders as select 1 as id, 'x' as note")
    _die(other, "intent")
    plan_id = shop.state().plan_id
    lying = _staging(other).count_receipt.read_text().replace(other.state().plan_id, plan_id)
    from statekeeper.model.receipt import CountReceipt

    told = CountReceipt.model_validate_json(lying)
    _staging(shop).count_receipt.write_bytes(told.to_bytes())
    report = shop.run(TABLE)["orders"]
    assert report.failure.kind is FailureKind.DATA
    assert says(report.failure.message, "validate.counts_differ", counted=1)
    assert shop.run(TABLE)["orders"].outcome is Outcome.COMPLETED
    assert shop.state().published.plan_id != plan_id


def test_after_a_check_that_fails_no_other_part_is_checked(shop):
    failed, late = [], []

    class Engine(InlineEngine):
        async def run(self, job):
            if job.work.__name__ == "check_part":
                await asyncio.sleep(0.01 * len(failed))
                if failed:
                    await asyncio.sleep(0.2)
                    late.append(job)
                failed.append(job)
                raise DataError("cannot be scanned")
            return await super().run(job)

        async def close(self):
            await asyncio.sleep(0.5)
            await super().close()

    heard = Heard()
    shop.run(TABLE, make_engine=lambda _p: Engine(memory_limit="100MB"), reporter=heard)
    assert shop.state().state is State.FAILED
    assert late == []
