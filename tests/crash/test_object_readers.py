"""Readers on S3 while a table is extracted again and again: what docs/objects.md promises each of them.

Through the commit record a reader sees one generation, whole. A reader of the table's folder may see a part of the new
one, or both; but never a row that was not checked, and never another than those of the last two generations.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import obstore
import pyarrow.dataset as ds
import pytest
from pyarrow.fs import S3FileSystem

from statekeeper.model.metadata import parse_metadata
from statekeeper.run.report import Outcome

from .lake import DAY, ROWS, RUN_ID, Lake

WHOLE = list(range(ROWS - 1))
"""The ids that are valid: the last row is in the quarantine."""


@dataclass
class Readers:
    """Two readers, each in a thread, until the end; `began` and `ended` are the versions being published, or there."""

    store: Any
    bucket: S3FileSystem
    prefix: str
    began: int = 1
    ended: int = 1
    is_over: threading.Event = field(default_factory=threading.Event)
    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @contextmanager
    def at_work(self):
        threads = [threading.Thread(target=self._read, args=(read,)) for read in (self.by_record, self.by_folder)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.is_over.set()
            for thread in threads:
                thread.join()

    def _read(self, read):
        while not self.is_over.is_set() and not self.wrong:
            try:
                read()
            except OSError:  # an object was replaced before it was opened, or while it was read; pyarrow has many words
                self.seen[f"{read.__name__}: an object was gone"] += 1
            except Exception as error:  # noqa: BLE001 - a thread's error is the test's
                self.wrong.append(f"{read.__name__}: {error!r}")

    def by_record(self):
        oldest = self.ended
        record = f"{self.prefix.partition('/')[2]}/_statekeeper/shop/orders/{DAY}/{RUN_ID}_metadata.json"
        metadata = parse_metadata(bytes(obstore.get(self.store, record).bytes()), where=record)  # one request: see docs
        output = metadata.output_path.removeprefix("s3://")
        table = ds.dataset([f"{output}/{file.name}" for file in metadata.files], filesystem=self.bucket).to_table()
        versions = set(table["version"].to_pylist())
        if sorted(table["id"].to_pylist()) != WHOLE or len(versions) != 1:
            self.wrong.append(f"through the record: {table.num_rows} rows of the versions {versions}")
        elif not oldest <= min(versions) <= self.began:
            self.wrong.append(f"through the record: version {versions} after {oldest}")
        self.seen["through the record, one whole generation"] += 1

    def by_folder(self):
        oldest = self.ended
        table = ds.dataset(f"{self.prefix}/shop/orders", filesystem=self.bucket, partitioning="hive").to_table()
        rows = Counter(zip(table["id"].to_pylist(), table["version"].to_pylist(), strict=True))
        versions = {version for _, version in rows}
        if max(rows.values(), default=1) > 1 or not {number for number, _ in rows} <= set(WHOLE):
            self.wrong.append("in the folder: rows that are doubled in one generation, or were not checked")
        elif not versions <= set(range(oldest, self.began + 1)):
            self.wrong.append(f"in the folder: the versions {versions} after {oldest}")
        is_whole = len(rows) == len(WHOLE) and len(versions) == 1
        self.seen[f"in the folder, {'one whole generation' if is_whole else 'a part of one, or two'}"] += 1


@pytest.mark.parametrize("times", [5, pytest.param(200, marks=pytest.mark.sweep)])
def test_readers_see_what_is_documented(tmp_path, seaweed, times, record_property):
    prefix = f"readers-{os.getpid()}-{tmp_path.name}"
    lake = Lake(tmp_path, f"{seaweed.url}/{prefix}", "hive", storage=seaweed.storage)
    lake.write_source(1)
    assert lake.do("run") == [Outcome.COMPLETED]
    bucket = S3FileSystem(
        endpoint_override=f"127.0.0.1:{seaweed.port}",
        scheme="http",
        region="us-east-1",
        access_key=seaweed.key,
        secret_key=seaweed.secret,
    )
    readers = Readers(seaweed.bucket, bucket, f"lake/{prefix}")
    with readers.at_work():
        for version in range(2, times + 2):
            lake.write_source(version)
            readers.began = version
            assert lake.do("force") == [Outcome.COMPLETED]
            readers.ended = version
            assert not readers.wrong, readers.wrong
    assert not readers.wrong, readers.wrong
    assert readers.seen["through the record, one whole generation"] > 0
    assert readers.seen["in the folder, one whole generation"] > 0
    said = "; ".join(f"{what}: {count}" for what, count in sorted(readers.seen.items()))
    record_property("sweep", f"readers during {times} forced extractions: {said}")
    print(f"\nreaders during {times} forced extractions: {said}")
