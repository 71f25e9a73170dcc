"""A publication by copies on a mounted volume whose round trips take long: what goes on beside it, and what stops it.

Only what is published takes long, and partitions of Spark are threads of this process, so that a test has not to wait
for anything else. benchmarks/spark/volume_beside.py and volume_signal.py are the same with a real Spark.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import ExitStack
from itertools import pairwise

import pytest

from statekeeper.engines.choice import SPARK
from statekeeper.engines.protocol import EngineSetup
from statekeeper.model.state import State
from statekeeper.run.report import Outcome
from statekeeper.store.files.disk import WholeFileDisk
from tests.unit.engines.spark.thread_spark import ThreadSpark
from tests.unit.publish.test_part_copy import Order
from tests.unit.run.test_blocking import Pulse
from tests.unit.small_shop import Heard, Shop
from tests.volume.requests import IS_POSSIBLE, NotAllowed, mounted

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="needs FUSE: /dev/fuse and libfuse")

SLOTS = 4
DELAY = 0.04
PUBLISHED = r"\.parquet(/|$)"
PARTS_OF_WIDE = r"/wide/.*\.parquet/part-"
CHUNKS_OF_OTHER = r"/other/.*\.staging/.*\.unpublished$"


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "shop").mkdir()
    return Shop(tmp_path / "shop")


@pytest.fixture
def volume(shop, tmp_path):
    """The shop's `data`, mounted; only what is published there is slow."""
    with ExitStack() as stack:
        try:
            slow = mounted(shop.folder / "data", tmp_path / "files", "--only", PUBLISHED, delay=DELAY)
            yield stack.enter_context(slow)
        except NotAllowed:
            pytest.skip("this machine does not let us mount")


def _table(shop, name, *, chunks, rows=2048):
    shop.execute(f"create table {name} as select i as id from range({chunks * rows}) r(i)")
    return {"table_name": name, "chunking": {"strategy": "rowid", "target_rows": rows}}


def _engine(pipeline):
    return SPARK.start(EngineSetup(pipeline, "slow", spark=ThreadSpark(slots=SLOTS)))


def _choices(**choices):
    return {"disk": WholeFileDisk(), "execution": {"engine": "spark", "workers": 1}, **choices}


def test_while_90_parts_are_copied_another_table_is_read_and_heartbeats_continue(shop, volume):
    tables = [_table(shop, "wide", chunks=90), _table(shop, "other", chunks=24)]
    heard, pulse = Heard(), Pulse()
    choices = _choices(reporter=heard, make_engine=lambda pipeline: pulse.beside(Order(_engine(pipeline))))
    reports = shop.run(*tables, **choices)
    assert {report.outcome for report in reports.values()} == {Outcome.COMPLETED}
    assert heard.warnings == [], "nothing is tried again"
    requests = volume.requests()
    parts, chunks = (requests.times("create", paths) for paths in (PARTS_OF_WIDE, CHUNKS_OF_OTHER))
    assert len(parts) == len(shop.metadata("wide").files) >= 90
    meanwhile = [each for each in chunks if parts[0] < each < parts[-1]]
    assert len(meanwhile) > 10, "chunks waited for copies"
    beats = requests.times("send", r"\.spark-.*/pulse$")
    pauses = [later - earlier for earlier, later in pairwise(beats) if later > parts[0] and earlier < parts[-1]]
    assert max(pauses) < 2 + 2 * pulse.of_machine, "a beat is a second"
    seconds = parts[-1] - parts[0]
    print(
        f"{len(parts)} parts in {seconds:.1f} s, {len(meanwhile)} chunks meanwhile, {max(pauses):.1f} s between beats"
    )


def test_a_signal_takes_effect_at_once_and_no_further_file_is_begun(shop, volume, caplog):
    table, pulse, signalled = _table(shop, "wide", chunks=60), Pulse(), []
    heard = []

    class Hearing(logging.Handler):
        def emit(self, record):
            heard.extend([time.monotonic()] if "SIGTERM: ending cleanly" in record.getMessage() else [])

    def interrupt():
        deadline = time.monotonic() + 60
        while len(volume.requests().times("create", PARTS_OF_WIDE)) < 8 and time.monotonic() < deadline:
            time.sleep(0.02)
        signalled.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    runner = shop.runner(table, **_choices(make_engine=lambda pipeline: pulse.beside(_engine(pipeline))))
    caplog.set_level(logging.WARNING)
    logging.getLogger("statekeeper").addHandler(handler := Hearing())
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    try:
        report = runner.run(runner.pipeline.tables)
    finally:
        logging.getLogger("statekeeper").removeHandler(handler)
        interrupting.join()
    assert report.exit_code == 143
    assert heard[0] - signalled[0] < 0.5 + pulse.of_machine
    made = [each - signalled[0] for each in volume.requests().times("create", PARTS_OF_WIDE)]
    assert max(made) < 0.5 + 2 * pulse.of_machine, "work was begun after the signal"
    assert len(made) < len(shop.state("wide").intent.metadata.files)
    assert shop.state("wide").state is State.VALIDATING
    print(f"heard after {heard[0] - signalled[0]:.2f} s, the last file begun after {max(made):.2f} s")
    assert shop.run(table, **_choices(make_engine=_engine))["wide"].outcome is Outcome.COMPLETED
    assert shop.rows("wide") == 60 * 2048
