"""Skipping complete extractions in an object store: two requests, and only if nothing at all has changed."""

from __future__ import annotations

import re
from datetime import date

import duckdb
import obstore
import pytest
from obstore.store import MemoryStore

from statekeeper.config.loader import pipeline_of
from statekeeper.engines.inline import InlineEngine
from statekeeper.model.record import StateRecord
from statekeeper.run.report import Outcome
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.runtime.progress import NullReporter
from statekeeper.store.objects import disk as objects_disk
from statekeeper.store.registry import writing_disk

ROWS, DAY = 300, date(2026, 1, 6)


class Requests:
    """obstore's functions, which note what each call asks for."""

    def __init__(self):
        self.made = []

    def __getattr__(self, name):
        function = getattr(obstore, name)

        def noted(store, *arguments, **options):
            self.made.append((name, arguments[0] if arguments else None))
            return function(store, *arguments, **options)

        return noted


class Lake:
    def __init__(self, folder, monkeypatch, layout):
        self.folder, self.layout, self.bucket, self.requests = folder, layout, MemoryStore(), Requests()
        with duckdb.connect(folder / "source.duckdb") as connection:
            connection.execute(f"create table orders as select i as id from range({ROWS}) as r(i)")
        monkeypatch.setattr(objects_disk, "client_of", lambda _bucket, _storage: self.bucket)
        monkeypatch.setattr(objects_disk, "obstore", self.requests)

    def run(self, **keys):
        """The outcome of the table with further keys, and the requests about it."""
        columns = {"id": {"type": "int", "lt": ROWS - 1}}
        pipeline = pipeline_of(
            {
                "pipeline": "skips",
                "sources": {"shop": {"type": "duckdb", "path": "source.duckdb"}},
                "output": {"base_path": "s3://bucket/data", "layout": self.layout},
                "defaults": {"chunking": {"strategy": "rowid", "target_rows": 150}, "verify": "quick"},
                "tables": [{"table_name": "orders", "on_violation": "quarantine", "columns": columns, **keys}],
            },
            root=self.folder,
        )
        runner = Runner(
            pipeline=pipeline,
            identity=RunIdentity("skips-20260106", DAY),
            reporter=NullReporter(),
            disk=writing_disk(pipeline.base_path, pipeline.output.writes),
            make_engine=lambda _pipeline: InlineEngine(memory_limit="256MiB"),
        )
        self.requests.made.clear()
        (report,) = runner.run(pipeline.tables).tables
        assert (report.records, report.failure) == (ROWS - 1, None)
        return report.outcome, [made for made in self.requests.made if made[1] and "/orders" in str(made[1])]

    @property
    def keys(self):
        return {each["path"] for page in obstore.list(self.bucket) for each in page}

    def key(self, end, within=""):
        return min(key for key in self.keys if key.endswith(end) and within in key)

    def put(self, key, data):
        obstore.put(self.bucket, key, data)

    def get(self, key):
        return bytes(obstore.get(self.bucket, key).bytes())


@pytest.fixture(params=["dated", "hive"])
def lake(request, tmp_path, monkeypatch):
    lake = Lake(tmp_path, monkeypatch, request.param)
    assert lake.run()[0] is Outcome.COMPLETED
    return lake


def test_an_unchanged_table_is_skipped_by_its_state_and_a_listing(lake):
    before = lake.keys
    outcome, made = lake.run()
    assert outcome is Outcome.SKIPPED
    assert [name for name, _ in made] == ["get", "list", *(["list"] if lake.layout == "hive" else [])]
    assert {key for key in lake.keys ^ before if "/_runs/" not in key} == set()  # no lock was taken


def _overwritten_in_its_size(lake):
    key = lake.key(".parquet")
    lake.put(key, b"x" * len(lake.get(key)))


def _removed(lake):
    obstore.delete(lake.bucket, lake.key(".parquet"))


def _not_the_commit_record_any_more(lake):
    lake.put(lake.key("_metadata.json"), lake.get(lake.key("_metadata.json")) + b" ")


def _quarantine_removed(lake):
    obstore.delete(lake.bucket, lake.key(".unpublished"))


def _foreign_part(lake):
    lake.put(lake.key(".parquet").rpartition("/")[0] + "/part-9.parquet", b"of another program")


@pytest.mark.parametrize(
    "change",
    [_overwritten_in_its_size, _removed, _not_the_commit_record_any_more, _quarantine_removed, _foreign_part],
)
def test_a_table_of_which_anything_has_changed_is_extracted_again(lake, change):
    change(lake)
    assert lake.run()[0] is Outcome.COMPLETED
    assert lake.run()[0] is Outcome.SKIPPED


def test_leftovers_are_removed_under_the_lock(lake):
    staged = lake.key("_state.json").rpartition("/")[0] + "/.skips-20260106.staging/old/parts/part.unpublished"
    other = re.sub(r"generation-\w{8}", "generation-01234567", lake.key(".parquet"))
    other = re.sub(r"part-.*", "part-00000-01234567.parquet", other)
    lake.put(staged, b"of a dead runner")
    if lake.layout == "dated":  # in a partition, readers would find its rows: that is damage
        lake.put(other, b"of a late copy")
    outcome, made = lake.run()
    assert outcome is Outcome.SKIPPED
    assert len(made) > 3
    assert staged not in lake.keys
    assert other not in lake.keys
    assert len(lake.run()[1]) <= 3


def _without_digest(lake):
    key = lake.key("_state.json")
    state = StateRecord.from_bytes(lake.get(key), where=key)
    published = state.published.model_copy(update={"objects_digest": None})
    lake.put(key, state.model_copy(update={"published": published}).to_bytes())


def _copied_bucket(lake):
    """Every object has another version now."""
    for key in lake.keys:
        lake.put(key, lake.get(key))


@pytest.mark.parametrize("change", [_without_digest, _copied_bucket])
def test_a_digest_that_says_nothing_is_renewed_under_the_lock(lake, change):
    change(lake)
    outcome, made = lake.run()
    assert outcome is Outcome.SKIPPED
    assert len(made) > 3
    assert len(lake.run()[1]) <= 3


@pytest.mark.parametrize(
    ("keys", "outcome"),
    [({"verify": "full"}, Outcome.SKIPPED), ({"unique": ["id"]}, Outcome.COMPLETED)],
    ids=["full verification", "another configuration"],
)
def test_what_a_listing_cannot_decide_is_decided_under_the_lock(lake, keys, outcome):
    found, made = lake.run(**keys)
    assert found is outcome
    assert len(made) > 3
