"""A run reports every retry, with the work that is retried."""

from __future__ import annotations

import re

import pytest

from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import WorkerDied
from statekeeper.run.report import Outcome
from tests.unit.small_shop import Heard, Shop

TABLE = {
    "table_name": "orders",
    "columns": {"id": {"type": "int", "ge": 2}},
    "on_violation": "quarantine",
    "unique": ["id"],
    "chunking": {"strategy": "rowid", "target_rows": 2048},
    "retry": {"attempts": 2, "initial_delay": "0s"},
}


class FailingOnce(InlineEngine):
    """An engine whose worker dies at the first job of each kind of work."""

    def __init__(self):
        super().__init__(memory_limit="100MB")
        self.failed = []

    async def run(self, job):
        if job.work.__name__ not in self.failed:
            self.failed.append(job.work.__name__)
            raise WorkerDied("ended by signal 9")
        return await super().run(job)


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    shop = Shop(tmp_path_factory.mktemp("shop"))
    # A bad row in each of two chunks, so that their files of bad rows are merged.
    shop.execute("create table orders as select case when i = 3000 then 0 else i + 1 end as id from range(4096) r(i)")
    engine, heard = FailingOnce(), Heard()
    report = shop.run(TABLE, make_engine=lambda _p: engine, reporter=heard)["orders"]
    assert report.outcome is Outcome.COMPLETED, report.failure
    assert sorted(engine.failed) == [
        "check_keys", "check_part", "count_rows", "extract_chunk", "gather_rejects", "make_plan", "probe_source",
        "split_part",
    ]  # fmt: skip
    return heard


@pytest.mark.parametrize(
    "what",
    [
        "to log in to shop",
        "",
        "of the count",
        r"of chunk \d",
        r"at the check of chunk \d",
        r"at the split of chunk \d",
        "at the file of violating rows",
        "at the check of keys",
    ],
)
def test_a_retry_is_reported_with_the_work_that_is_retried(heard, what):
    said = re.compile(rf"attempt 1{' ' if what else ''}{what} failed \(ended by signal 9\); again in 0\.0 s")
    assert [text for text in heard.warnings if said.fullmatch(text)]
