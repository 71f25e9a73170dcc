"""How many requests a chunk costs on a mounted volume whose round trips take long: counted, not timed.

Partitions are threads of this process, so that nothing but what is asked of the volume takes time. Where the machine
has no FUSE this is skipped; benchmarks/spark/volume.py is the same with a real Spark, and many more chunks.
"""

from __future__ import annotations

import time

import duckdb
import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.runtime.progress import NullReporter
from tests.unit.engines.spark.thread_spark import ThreadSpark
from tests.volume.requests import IS_POSSIBLE, NotAllowed, area_of, mounted

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="needs FUSE: /dev/fuse and libfuse")

ROWS, SEATS = 24 * 2048, 4
DELAY = 0.04
CONFIG = """\
pipeline: volume
sources: {{shop: {{type: duckdb, path: '{folder}/shop.duckdb'}}}}
output: {{base_path: '{folder}/volume'}}
execution: {{engine: spark, workers: 1, memory_limit: 256MiB}}
defaults: {{chunking: {{strategy: rowid, target_rows: {rows}}}}}
tables: [{{table_name: orders}}]
"""


def test_requests_a_chunk(tmp_path):
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute(f"create table orders as select i as id, i * 2 as amount from range({ROWS}) as r(i)")
    config = tmp_path / "volume.yml"
    config.write_text(CONFIG.format(folder=tmp_path, rows=2048))
    try:
        with mounted(tmp_path / "volume", tmp_path / "files", delay=DELAY) as volume:
            began = time.monotonic()
            extractor = StatefulDataExtractor.from_config(
                config, date="2026-01-06", spark=ThreadSpark(slots=SEATS), reporter=NullReporter()
            )
            report = extractor.run()
            seconds, requests = time.monotonic() - began, volume.requests()
    except NotAllowed:
        pytest.skip("this machine does not let us mount")
    assert report.exit_code == 0
    (parts,) = (tmp_path / "files").rglob("volume-20260106.parquet")
    chunks = len(list(parts.iterdir()))
    assert chunks >= 24
    counted = requests.by(area_of)
    by_area = {area: sum(n for (each, _), n in counted.items() if each == area) for area, _ in counted}
    print({area: round(number / chunks, 1) for area, number in by_area.items()}, f"a chunk, {seconds:.0f} s")
    of = {kind: counted["staged parts", kind] for kind in requests.kinds}
    assert (of["create"], of["send"], of["unlink"]) == (chunks, chunks, chunks)
    assert of["open"] <= 2 * chunks + 2, "to check a part, and to copy it"
    assert by_area["staged parts"] <= 12 * chunks
    receipts = {kind: counted["receipts", kind] for kind in requests.kinds}
    assert receipts["open"] <= 4, "all receipts are read from one file"
    assert by_area["receipts"] <= 8 * chunks
    published = {kind: counted["published", kind] for kind in requests.kinds}
    assert (published["create"], published["send"], published["open"]) == (chunks + 2, chunks + 2, chunks), (
        "each copy is made once, and read back once; the metadata go with them, through two slots"
    )
    assert published["getattr"] <= 2 * chunks + 24, "a name is looked up where it is made, and at most once again"
    # Looks into the exchange grow with time, and not with chunks: so few that any of the versions before had more.
    assert by_area["exchange"] <= 6 * chunks + 8 * SEATS * seconds
