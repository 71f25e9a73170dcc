"""Workers, executors and drivers are killed in mid-run, and runs change engines: no finished chunk is read again.

Nothing here depends on time: the Oracle server holds the queries of chunks until somebody was killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

import psutil
import pytest

from tests.spark.modes import CLUSTER, LOCAL, ConnectServer, Mode
from tests.spark.world import LIMIT, RUN_ID, no_process_left, python_workers, wait_until

pytestmark = pytest.mark.spark

_CHUNK = "AS OF SCN.*CHARTOROWID"
FOREVER = 3600


class Held:
    """The queries of chunks, held by the server."""

    def __init__(self, server):
        self.server = server
        self.expected = 0

    def let_pass(self, number, *, seconds=FOREVER):
        """Let `number` further queries of chunks pass, and hold those after; queries that are held stay held."""
        self.server.clear_faults()
        self.server.fault("delay", match=_CHUNK, seconds=seconds, times=None, skip=number)

    def wait_for(self, further, *, process):
        """Return when so many further queries are held."""
        self.expected += further
        wait_until(
            lambda: len(self.server.fired()) >= self.expected, what=f"{further} queries to be held", process=process
        )

    def let_all_pass(self):
        """Hold no more queries; the sessions of held queries are cut."""
        self.server.clear_faults()
        self.server.kill_sessions(cut=True)


@pytest.fixture
def held(world):
    world.server.clear_log()
    held = Held(world.server)
    held.expected = len(world.server.fired())
    yield held
    held.let_all_pass()


def assert_read_once(world):
    """Check that no chunk that was read to its end was read again."""
    finished = Counter(str(one["binds"]) for one in world.chunk_reads() if one["finished"] and not one["error"])
    assert len(finished) >= 7
    assert set(finished.values()) == {1}


def assert_complete(world, name, reference):
    assert world.published(name, "ora", "ORDERS").equals(world.published(reference, "ora", "ORDERS"))
    assert_read_once(world)
    world.assert_nothing_left(name)
    world.assert_no_secret(name)


def begin(world, name, *arguments):
    return world.begin("run", f"{name}.yml", "--table", "ORDERS", *arguments)


def resume(world, name, *arguments):
    return ("resume", f"{name}.yml", "--run-id", RUN_ID, *arguments)


def kill_python_worker(world, pid):
    workers = python_workers(world.server, pid)
    assert len(workers) == 2
    workers[0].kill()
    wait_until(lambda: not workers[0].is_running(), what="the worker to end")


def jvm_of(pid):
    """The JVM below the driver's process."""
    (jvm,) = [child for child in psutil.Process(pid).children() if child.name() == "java"]
    return jvm


def test_worker_executor_and_driver_of_a_cluster_are_killed(world, reference, held):
    name = "cluster"
    world.configure(name, mode=CLUSTER)
    held.let_pass(2)
    process = begin(world, name)
    with no_process_left(process):
        held.wait_for(2, process=process)
        assert len(world.receipts(name)) == 2
        held.let_pass(1)
        kill_python_worker(world, process.pid)
        held.wait_for(1, process=process)
        assert len(world.receipts(name)) == 3
        held.let_pass(0)
        executor = _executor_with_a_worker(world, process.pid)
        executor.kill()
        held.wait_for(1, process=process)
        assert process.poll() is None, "the run goes on"
        process.send_signal(signal.SIGKILL)
    held.let_all_pass()
    assert world.run(*resume(world, name)) == 0, world.said
    assert_complete(world, name, reference)


def _executor_with_a_worker(world, pid):
    """The process of an executor with a worker that is connected to the server."""
    worker = python_workers(world.server, pid)[0]
    return next(parent for parent in worker.parents() if parent.name() == "java")


def test_worker_jvm_and_driver_of_a_local_session_are_killed_and_the_local_engine_goes_on(world, reference, held):
    name = "jvm"
    world.configure(name, mode=LOCAL)
    held.let_pass(2)
    process = begin(world, name)
    with no_process_left(process):
        held.wait_for(2, process=process)
        held.let_pass(1)
        kill_python_worker(world, process.pid)
        held.wait_for(1, process=process)
        jvm_of(process.pid).kill()
        assert process.wait(LIMIT) == 1, world.said
    failure = world.status(name)["ORDERS"]["failure"]
    assert failure["kind"] == "worker_died", failure
    assert len(world.receipts(name)) == 3
    held.let_pass(1)
    process = world.begin(*resume(world, name))
    with no_process_left(process):
        held.wait_for(2, process=process)
        process.send_signal(signal.SIGKILL)
    held.let_all_pass()
    assert len(world.receipts(name)) == 4
    assert world.run(*resume(world, name, "--engine", "local")) == 0, world.said
    assert_complete(world, name, reference)


def test_worker_server_and_client_of_spark_connect_are_killed_and_late_attempts_ignored(world, reference, held):
    """The job outlives its client. Its workers, whose queries are answered late, come to chunks that others have done.

    (Spark's own speculation never runs a second attempt on the host of the first: it cannot be had on one machine.)
    """
    name = "connect"
    server = ConnectServer(world.folder, world.environment, cores=4)
    server.start()
    try:
        section = {"remote": server.remote, "parallelism": 2}
        world.configure(name, mode=Mode("connect", section), output={"lease_ttl": "2s"})
        held.let_pass(2)
        process = begin(world, name)
        with no_process_left(process):
            held.wait_for(2, process=process)
            held.let_pass(1)
            kill_python_worker(world, server.process.pid)
            held.wait_for(1, process=process)
            server.kill()
            assert process.wait(LIMIT) == 1, world.said
        assert world.status(name)["ORDERS"]["failure"]["kind"] == "worker_died"
        held.let_pass(1, seconds=45)
        asked_at_first = _asked(world)
        server.start()
        process = world.begin(*resume(world, name))
        with no_process_left(process):
            held.wait_for(2, process=process)
            process.send_signal(signal.SIGKILL)
        done = {str(one["binds"]) for one in world.chunk_reads() if one["finished"]}
        assert len(done) == len(world.receipts(name)) == 4
        asked_before = _asked(world)
        late = (asked_before - asked_at_first).keys() - done
        assert len(late) == 2
        held.server.clear_faults()
        assert world.run(*resume(world, name)) == 0, world.said
        published = {path: path.stat().st_mtime_ns for path in (world.folder / name).rglob("*")}
        wait_until(lambda: not python_workers(world.server, server.process.pid), what="the late workers to end")
    finally:
        server.kill()
    assert {path: path.stat().st_mtime_ns for path in (world.folder / name).rglob("*")} == published
    asked_again = _asked(world) - asked_before
    assert done.isdisjoint(asked_again), "what was done is not read again"
    assert late <= asked_again.keys(), "what was held is"
    assert world.published(name, "ora", "ORDERS").equals(world.published(reference, "ora", "ORDERS"))
    world.assert_nothing_left(name)


def _asked(world):
    """How often each chunk was queried."""
    return Counter(str(one["binds"]) for one in world.chunk_reads())


def test_a_run_begun_by_the_local_engine_goes_on_on_spark(world, reference, held):
    name = "begun-local"
    world.configure(name, mode=LOCAL, execution={"workers": 2})
    held.let_pass(3)
    process = begin(world, name, "--engine", "local")
    with no_process_left(process):
        held.wait_for(2, process=process)
        process.send_signal(signal.SIGKILL)
    held.let_all_pass()
    assert len(world.receipts(name)) == 3
    assert world.run(*resume(world, name)) == 0, world.said
    assert_complete(world, name, reference)


def test_ctrl_c_stops_executors_that_do_not_respond_and_leaves_no_temporary_file(world, reference, held):
    name = "ctrl-c"
    world.configure(name, mode=CLUSTER)
    held.let_pass(2)
    process = begin(world, name)
    with no_process_left(process):
        held.wait_for(2, process=process)
        temps = list((world.folder / name).rglob("*.tmp"))
        assert len(temps) == 2, "the workers are in the middle of their parts"
        pressed = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        wait_until(lambda: not python_workers(world.server, process.pid) or process.poll() is not None, what="workers")
        print(f"\nCtrl-C: no worker after {time.monotonic() - pressed:.1f} s", end="")
        assert process.wait(LIMIT) == 130, world.said
        print(f", all over after {time.monotonic() - pressed:.1f} s")
    assert list((world.folder / name).rglob("*.tmp")) == []
    assert len(world.receipts(name)) == 2
    assert world.status(name)["ORDERS"]["state"] == "extracting"
    held.let_all_pass()
    assert world.run(*resume(world, name, "--engine", "local")) == 0, world.said
    assert_complete(world, name, reference)
