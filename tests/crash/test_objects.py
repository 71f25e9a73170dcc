"""A run on an object store dies before, within and after each request that changes something; the next one ends it.

The store is obstore's own in memory, whose conditions are those of S3, or a server of `tests.object_servers`. A death
is played in this process, which cannot be forked once it has used obstore: from the chosen point on, no request of the
dead run reaches the store.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb
import obstore
import pytest
from obstore.store import MemoryStore, ObjectStore

from statekeeper.config.loader import pipeline_of
from statekeeper.engines.inline import InlineEngine
from statekeeper.model.metadata import parse_metadata
from statekeeper.model.record import Owner
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.runtime.progress import NullReporter
from statekeeper.store.files import failpoints
from statekeeper.store.objects import disk as objects_disk
from statekeeper.store.process import host_name
from statekeeper.store.registry import writing_disk
from tests.object_servers import contents, fill, keys_of, running

ROWS, RUN_ID, DAY = 300, "crash-20260106", date(2026, 1, 6)
MEMORY = "memory"
EVERY = {MEMORY: 13, "azurite": 40}
"""The default suite tries every such point on each of these stores, `make sweep` each."""


@dataclass
class Death:
    """Lets one run come to its point `at` (counted from 0), and no further; `points` are those that it came to."""

    at: int | None = None
    is_only_a_lost_answer: bool = False
    points: list[tuple[str, str, str]] = field(default_factory=list)
    is_dead: bool = False

    def __call__(self, step: str, role: str, when: str) -> None:
        if step not in {"put", "upload", "copy", "copy_over", "delete"} or role == "heartbeat":
            return
        if len(self.points) == self.at:
            self.is_dead = not self.is_only_a_lost_answer
            self.points.append((step, role, when))
            raise OSError(errno.EIO, "the store does not answer")
        if self.is_dead:
            raise OSError(errno.EIO, "this process is dead")
        self.points.append((step, role, when))


@dataclass
class Lake:
    """A database file, and a bucket: one in memory, unless it is of a server."""

    folder: Path
    bucket: ObjectStore = field(default_factory=MemoryStore)
    url: str = "s3://bucket"
    storage: dict[str, str] = field(default_factory=dict)
    store: str = MEMORY
    lives: int = 0

    def write_source(self, version: int) -> None:
        (self.folder / "source.duckdb").unlink(missing_ok=True)
        with duckdb.connect(self.folder / "source.duckdb") as connection:
            connection.execute(
                f"create table orders as select i as id, {version} as version from range({ROWS}) as r(i)"
            )

    def run(self, monkeypatch, death: Death, *, layout: str, reprocess: Reprocess = Reprocess.STALE) -> Outcome | None:
        """The table's outcome; None if the run could not even begin or end."""
        self.lives += 1
        # Of this machine, but of an earlier boot: the next one sees that it is dead.
        owner = Owner(host=host_name(), boot_id=f"earlier-{self.lives}", pid=1, started=0.0)
        for module in ("run.runner", "store.locked_change"):
            monkeypatch.setattr(f"statekeeper.{module}.this_process", lambda: owner)
        pipeline = pipeline_of(
            {
                "pipeline": "crash",
                "sources": {"shop": {"type": "duckdb", "path": "source.duckdb"}},
                "output": {"base_path": f"{self.url}/data", "layout": layout},
                "storage": self.storage,
                "defaults": {"chunking": {"strategy": "rowid", "target_rows": 150}, "retry": {"attempts": 1}},
                "tables": [
                    {
                        "table_name": "orders",
                        "on_violation": "quarantine",
                        "columns": {"id": {"type": "int", "lt": ROWS - 1}, "version": {"type": "int"}},
                    }
                ],
            },
            root=self.folder,
        )
        try:
            runner = Runner(
                pipeline=pipeline,
                identity=RunIdentity(RUN_ID, DAY),
                reporter=NullReporter(),
                disk=writing_disk(pipeline.base_path, pipeline.output.writes),
                make_engine=lambda _pipeline: InlineEngine(memory_limit="256MiB"),
            )
            failpoints.install(death)
            return runner.run(pipeline.tables, reprocess=reprocess).tables[0].outcome
        except Exception:  # noqa: BLE001 - whatever a dead run says
            assert death.is_dead
            return None
        finally:
            failpoints.install(None)

    @property
    def keys(self) -> set[str]:
        return keys_of(self.bucket)

    def published(self) -> dict[str, bytes]:
        """The objects that the commit record names, by key; they are whole."""
        record = next((key for key in self.keys if key.endswith("_metadata.json")), None)
        if record is None:
            return {}
        metadata = parse_metadata(bytes(obstore.get(self.bucket, record).bytes()), where=record)
        output = metadata.output_path.removeprefix(f"{self.url}/")
        keys = [f"{output}/{file.name}" if metadata.is_folder else output for file in metadata.files]
        return {key: bytes(obstore.get(self.bucket, key).bytes()) for key in keys}

    def version(self, tmp_path: Path) -> int | None:
        """The version of the source that readers of the commit record see: all its good rows, and nothing else."""
        files = []
        for number, data in enumerate(self.published().values()):
            (tmp_path / f"{number}.parquet").write_bytes(data)
            files.append(str(tmp_path / f"{number}.parquet"))
        if not files:
            return None
        rows = duckdb.execute("select id, version from read_parquet(?) order by id", [files]).fetchall()
        assert [number for number, _ in rows] == list(range(ROWS - 1)), "rows are missing or doubled"
        ((version,),) = {(version,) for _, version in rows}
        return version

    def assert_nothing_left(self) -> None:
        """No object but the dataset, its quarantine, the documents, and locks; nothing else ends in .parquet."""
        data = {key for key in self.keys if key.endswith(".parquet")}
        assert data == set(self.published())
        others = self.keys - data
        assert not [key for key in others if ".staging/" in key or ".probe-" in key]
        assert len([key for key in others if key.endswith(".unpublished")]) == 1


@pytest.fixture
def store():
    """The store of `lake`, where no test says which."""
    return MEMORY


@pytest.fixture
def lake(store, tmp_path, monkeypatch):
    if store == MEMORY:
        lake = Lake(tmp_path)
        monkeypatch.setattr(objects_disk, "client_of", lambda _bucket, _storage: lake.bucket)
        lake.write_source(1)
        yield lake
        return
    with running(store) as server:
        lake = Lake(tmp_path, server.bucket, server.url, server.storage, store)
        lake.write_source(1)
        yield lake


@pytest.mark.parametrize("store", EVERY)
@pytest.mark.parametrize(("layout", "is_forced"), [("dated", False), ("hive", True)], ids=["first", "forced"])
def test_the_next_run_ends_what_a_dead_one_began(lake, tmp_path, monkeypatch, layout, is_forced, record_property):
    every = EVERY[lake.store]
    points, tried = _sweep(lake, tmp_path, monkeypatch, layout=layout, is_forced=is_forced, every=every)
    record_property("sweep", f"{lake.store}, {layout}: died at {tried} of {points} points")


@pytest.mark.sweep
@pytest.mark.parametrize("store", EVERY)
@pytest.mark.parametrize("layout", ["dated", "hive"])
@pytest.mark.parametrize("is_forced", [False, True], ids=["first", "forced"])
def test_the_same_at_every_point(lake, tmp_path, monkeypatch, layout, is_forced):
    points, tried = _sweep(lake, tmp_path, monkeypatch, layout=layout, is_forced=is_forced, every=1)
    print(f"{lake.store}, {layout}, {'forced' if is_forced else 'first'}: died at {tried} of {points} points")


def _sweep(lake, tmp_path, monkeypatch, *, layout, is_forced, every):
    before = _bucket_before(lake, monkeypatch, layout, is_forced)
    reprocess = Reprocess.ALL if is_forced else Reprocess.STALE
    fill(lake.bucket, before)
    whole = Death()
    assert lake.run(monkeypatch, whole, layout=layout, reprocess=reprocess) is Outcome.COMPLETED
    lake.assert_nothing_left()
    tried = range(0, len(whole.points), every)
    for at in tried:
        fill(lake.bucket, before)
        death = Death(at)
        lake.run(monkeypatch, death, layout=layout, reprocess=reprocess)
        assert death.is_dead, "the points of a run are the same each time"
        where = f"after a death at {at}, {death.points[at]}"
        seen = lake.version(tmp_path)
        assert seen in ({1, 2} if is_forced else {None, 2}), where
        assert lake.run(monkeypatch, Death(), layout=layout) in {Outcome.COMPLETED, Outcome.SKIPPED}, where
        if is_forced and lake.version(tmp_path) == 1:  # it died before the restart was saved: nothing is left to resume
            assert seen == 1
        else:
            assert lake.version(tmp_path) == 2, where
        lake.assert_nothing_left()
    return len(whole.points), len(tried)


def test_a_lost_answer_is_no_failure(lake, monkeypatch):
    whole, layout = Death(), "dated"
    before = _bucket_before(lake, monkeypatch, layout, is_forced=False)
    fill(lake.bucket, before)
    lake.run(monkeypatch, whole, layout=layout)
    answers = [at for at, (_, _, when) in enumerate(whole.points) if when == "middle"]
    assert len(answers) > 10
    for at in answers[::5]:
        fill(lake.bucket, before)
        outcome = lake.run(monkeypatch, Death(at, is_only_a_lost_answer=True), layout=layout)
        assert outcome is Outcome.COMPLETED, f"the answer to {whole.points[at]} was lost"
        lake.assert_nothing_left()


def _bucket_before(lake, monkeypatch, layout, is_forced):
    """What the bucket has before the run that dies: nothing, or version 1 of the table. The source then has 2."""
    if is_forced:
        assert lake.run(monkeypatch, Death(), layout=layout) is Outcome.COMPLETED
    lake.write_source(2)
    return contents(lake.bucket)
