"""Executors write to a bucket; whatever is killed, the run goes on with the other engine, on another machine.

Nothing here depends on time: the Oracle server holds the queries of chunks until somebody was killed.
"""

from __future__ import annotations

import shutil
import signal
import subprocess

import obstore
import pytest

from tests.object_servers import SECRET, contents, keys_of, running
from tests.spark.modes import CLUSTER, Mode, mode_named
from tests.spark.test_kills import Held, _executor_with_a_worker, assert_read_once, begin
from tests.spark.world import LIMIT, RUN_ID, STATEKEEPER, no_process_left

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def store():
    with running("moto") as server:
        yield server


@pytest.fixture
def held(world):
    world.server.clear_log()
    held = Held(world.server)
    held.expected = len(world.server.fired())
    yield held
    held.let_all_pass()


class Lake:
    """A run whose output is below `s3://lake/<name>`."""

    def __init__(self, world, store, name, mode, **more):
        self.world, self.store, self.name = world, store, name
        events = world.folder / f"events-{name}"
        events.mkdir()
        if "master" in mode.section:  # the log of events has what the web pages of Spark show
            conf = mode.section["conf"] | {"spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri()}
            mode = Mode(mode.name, mode.section | {"conf": conf})
        storage = {**store.storage, "secret_access_key": "${LAKE_SECRET}", "retry_timeout": "1m"}
        self.config = world.configure(name, mode=mode, output={"base_path": f"{store.url}/{name}"}, **more)
        self.config.write_text(f"{self.config.read_text()}storage: {storage}\n")

    @property
    def keys(self):
        return keys_of(self.store.bucket, self.name)

    @property
    def receipts(self):
        return [key for key in self.keys if "/receipts/chunk-" in key]

    def resume_elsewhere(self, folder, *arguments):
        """Resume with nothing but the configuration, what it names, and the environment of another user."""
        home = folder / "home"
        home.mkdir()
        shutil.copytree(self.world.folder / "models", folder / "models")
        shutil.copy(self.world.folder / "shop.duckdb", folder)
        shutil.copy(self.config, folder)
        self.config.unlink()
        done = subprocess.run(
            [*STATEKEEPER, "resume", self.config.name, "--run-id", RUN_ID, *arguments],
            cwd=folder, env=self.world.environment | {"HOME": str(home), "TMPDIR": str(home)},
            capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert SECRET not in done.stdout + done.stderr
        assert not [path for path in home.rglob("*statekeeper-*") if path.is_file()]

    def assert_complete(self, reference, tables):
        """Check rows, that each chunk was read once, and that nothing is left or secret."""
        objects = contents(self.store.bucket, self.name)
        trial = f"{self.name}/_runs/.conditions"  # stays: docs/objects.md
        left = [key for key in objects if any(part.startswith(".") for part in key.split("/")) and key != trial]
        assert left == []
        for source, table in tables:
            day = self.world.day(self.name, source, table)
            prefix = str(day.relative_to(self.world.folder))
            for key, data in objects.items():
                if key.startswith(prefix):
                    path = day / key.removeprefix(f"{prefix}/").replace(".generation-", f".{self.name}-")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(data)
            (dataset,) = day.glob("*.parquet")
            dataset.rename(day / f"{RUN_ID}.parquet")
            ours, theirs = (self.world.published(name, source, table) for name in (self.name, reference))
            assert ours.equals(theirs), table
        assert_read_once(self.world)
        secret = SECRET.encode()
        assert not [key for key, data in objects.items() if secret in data]
        for path in (*self.world.folder.glob("said-*.txt"), *self.world.folder.glob("events-*/**/*")):
            assert not path.is_file() or secret not in path.read_bytes(), path


@pytest.fixture(autouse=True)
def secret(monkeypatch):
    monkeypatch.setenv("LAKE_SECRET", SECRET)


def test_an_executor_and_the_driver_are_killed_and_the_local_engine_goes_on_elsewhere(
    world, reference, held, store, tmp_path
):
    lake = Lake(world, store, "lake-cluster", CLUSTER)
    held.let_pass(2)
    process = begin(world, lake.name)
    with no_process_left(process):
        held.wait_for(2, process=process)
        assert len(lake.receipts) == 2
        held.let_pass(0)
        _executor_with_a_worker(world, process.pid).kill()
        held.wait_for(1, process=process)
        assert any("/_runs/." in key and "/batch-" in key for key in lake.keys)
        assert not [key for key in lake.keys if SECRET.encode() in bytes(obstore.get(store.bucket, key).bytes())]
        process.send_signal(signal.SIGKILL)
    held.let_all_pass()
    lake.resume_elsewhere(tmp_path, "--engine", "local")
    lake.assert_complete(reference, [("ora", "ORDERS")])
    assert list((world.folder / "events-lake-cluster").rglob("*")), "the log of events was looked at"


def test_a_run_begun_by_the_local_engine_goes_on_on_spark_elsewhere(world, reference, held, store, tmp_path):
    with mode_named("connect", world.folder, world.environment) as mode:
        lake = Lake(world, store, "lake-local", mode, execution={"workers": 2})
        held.let_pass(3)
        process = world.begin("run", f"{lake.name}.yml", "--engine", "local")
        with no_process_left(process):
            held.wait_for(2, process=process)
            process.send_signal(signal.SIGKILL)
        held.let_all_pass()
        assert len([key for key in lake.receipts if "/ORDERS/" in key]) == 3
        lake.resume_elsewhere(tmp_path)
    lake.assert_complete(reference, [("ora", "ORDERS"), ("shop", "large"), ("shop", "odd"), ("ora", "NOTHING")])
