"""The local engine with real processes, which may die at any moment."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb
import psutil
import pytest

from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.config.sections.policies import RetryPolicy
from statekeeper.engines import local, spawning
from statekeeper.engines.context import JobSource
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Job, Urgency
from statekeeper.engines.worker import Begun
from statekeeper.errors import DataError, InternalError, Interrupted, WorkerDied
from statekeeper.runtime.retried_jobs import with_retries
from tests.messages import raises_message, says

from . import jobs

BIG = 5_000_000
"""More bytes than a pipe holds."""


def _run(main, *, workers=2, budgets=None, secrets=()):
    """Run `main(engine)`; no process of the engine may be left when it is closed."""

    async def supervised():
        engine = LocalEngine(workers=workers, budgets=budgets or {}, memory_limit="100MB", secrets=secrets)
        seen = set()
        try:
            result = await asyncio.wait_for(main(engine), 30)
            seen = set(engine.pids)
            return result
        finally:
            seen |= set(engine.pids)
            await engine.close()
            assert not [pid for pid in seen if _lives(pid)]

    return asyncio.run(supervised())


def _lives(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def _until(condition):
    while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
        await asyncio.sleep(0.01)


def _sleep_deaf(seconds):
    """Block the event loop for a while."""
    time.sleep(seconds)


def _wait_for_death(engine):
    """Return when the engine can know that its only worker died."""
    deadline = time.monotonic() + 10
    while _lives(engine.pids[0]):
        assert time.monotonic() < deadline
        time.sleep(0.005)


async def _pid_in(path):
    await _until(path.exists)
    return int(path.read_text())


def test_work_is_done_in_as_many_other_processes_as_asked_for():
    async def main(engine):
        pids = await asyncio.gather(*(engine.run(Job("t", jobs.pid_of, None)) for _ in range(20)))
        return set(pids), set(engine.pids)

    pids, of_engine = _run(main, workers=2)
    assert os.getpid() not in pids
    assert pids <= of_engine
    assert len(of_engine) <= 2


def test_results_and_specs_larger_than_a_pipe_arrive_whole():
    async def main(engine):
        return await asyncio.gather(*(engine.run(Job("t", jobs.echo, bytes([n]) * BIG)) for n in range(4)))

    assert _run(main) == [bytes([n]) * BIG for n in range(4)]


def test_an_error_of_ours_arrives_with_kind_hint_and_code_and_without_secrets():
    async def main(engine):
        with pytest.raises(DataError) as caught:
            await engine.run(Job("t", jobs.refuse, "pa ss/word"))
        return caught.value

    error = _run(main, secrets=("pa ss/word",))
    assert (error.message, error.hint, error.code) == ("column X: ***", "look at ***", "X-1")


def test_an_unexpected_error_arrives_with_its_traceback_and_without_secrets_in_any_form():
    async def main(engine):
        with pytest.raises(InternalError) as caught:
            await engine.run(Job("t", jobs.fail, "it's\na secret"))
        return caught.value.message

    message = _run(main, secrets=("it's\na secret",))
    assert "KeyError" in message
    assert "in fail" in message
    assert "a secret" not in message


def test_rows_are_reported_as_they_are_read():
    told = []

    async def main(engine):
        await engine.run(Job("t", jobs.tell_rows, 20, on_rows=told.append))

    _run(main)
    assert len(told) >= 2
    assert sum(told) <= 200


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_dies_at_work_fails_its_job_and_no_other(number):
    async def main(engine):
        results = await asyncio.gather(
            engine.run(Job("victim", jobs.die, number)),
            *(engine.run(Job("t", jobs.echo, n)) for n in range(10)),
            return_exceptions=True,
        )
        return results[0], results[1:]

    error, others = _run(main)
    assert isinstance(error, WorkerDied)
    assert f"signal {int(number)} during victim" in error.message
    assert others == list(range(10))


def test_a_retry_cures_a_worker_that_died(tmp_path):
    warnings = []

    async def main(engine):
        job = Job("t", jobs.die_once, str(tmp_path / "died"))
        policy = RetryPolicy(attempts=2)
        return await with_retries(
            lambda: engine.run(job), policy, on_retry=lambda error, number, _s: warnings.append((error.kind, number))
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RetryPolicy, "delay", lambda *_: timedelta())
        assert _run(main) == "alive"
    assert [number for _, number in warnings] == [1]


def test_a_worker_that_died_while_idle_fails_no_job():
    async def main(engine):
        for _ in range(5):
            pid = await engine.run(Job("t", jobs.pid_of, None))
            os.kill(pid, signal.SIGKILL)
            _wait_for_death(engine)  # the event loop must not hear of it before the next job
            assert await engine.run(Job("t", jobs.pid_of, None)) != pid

    _run(main, workers=1)


def test_a_worker_that_dies_right_after_its_answer_fails_no_job():
    async def main(engine):
        first = asyncio.create_task(engine.run(Job("t", jobs.pid_of, None)))
        waiting = [asyncio.create_task(engine.run(Job("t", jobs.echo, n))) for n in range(3)]
        await _until(lambda: engine.pids)
        (pid,) = engine.pids
        _sleep_deaf(1)  # its answer is heard by nobody yet
        os.kill(pid, signal.SIGKILL)
        _wait_for_death(engine)
        return await asyncio.gather(first, *waiting)

    pid, *others = _run(main, workers=1)
    assert (pid > 0, others) == (True, [0, 1, 2])


def test_a_worker_that_dies_in_the_middle_of_a_big_answer_fails_its_job(monkeypatch):
    has_begun, is_dead = threading.Event(), threading.Event()
    receive = Connection.recv

    def receive_late(pipe):
        if not has_begun.is_set():
            message = receive(pipe)
            assert isinstance(message, Begun)
            has_begun.set()
            return message
        assert is_dead.wait(20)  # it is in the middle of writing: the pipe is full and nobody reads
        return receive(pipe)

    async def main(engine):
        with monkeypatch.context() as patch:
            patch.setattr(Connection, "recv", receive_late)
            task = asyncio.create_task(engine.run(Job("t", jobs.echo, b"x" * 50_000_000)))
            await _until(has_begun.is_set)
            (pid,) = engine.pids
            await _until(lambda: psutil.Process(pid).status() == psutil.STATUS_SLEEPING)
            os.kill(pid, signal.SIGKILL)
            is_dead.set()
            with pytest.raises(WorkerDied):
                await task
        return await engine.run(Job("t", jobs.echo, 1))

    assert _run(main, workers=1) == 1


def test_a_worker_that_dies_while_it_starts_fails_at_most_its_job():
    async def main(engine):
        task = asyncio.create_task(engine.run(Job("t", jobs.echo, 1)))
        await _until(lambda: engine.pids)
        (pid,) = engine.pids
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(task, return_exceptions=True)
        await _until(lambda: pid not in engine.pids)
        return await engine.run(Job("t", jobs.echo, 2))

    assert _run(main, workers=1) == 2


def test_what_cannot_be_sent_to_a_worker_fails_its_own_job_alone():
    async def main(engine):
        bad, good = await asyncio.gather(
            engine.run(Job("t", jobs.echo, lambda: None)), engine.run(Job("t", jobs.echo, 1)), return_exceptions=True
        )
        return bad, good

    bad, good = _run(main, workers=1)
    assert isinstance(bad, InternalError)
    assert says(bad.message, "engines.work_cannot_be_sent")
    assert good == 1


def test_an_answer_that_cannot_be_sent_is_an_error_and_the_worker_lives():
    async def main(engine):
        before = await engine.run(Job("t", jobs.pid_of, None))
        with raises_message(InternalError, "engines.result_cannot_be_sent"):
            await engine.run(Job("t", jobs.answer_with_what_cannot_be_sent, None))
        return before, await engine.run(Job("t", jobs.pid_of, None))

    before, after = _run(main, workers=1)
    assert before == after


def test_an_answer_that_cannot_be_read_ends_its_worker_and_not_the_engine():
    async def main(engine):
        with pytest.raises(WorkerDied):
            await engine.run(Job("t", jobs.answer_with_what_cannot_be_read, None))
        return await engine.run(Job("t", jobs.echo, 1))

    assert _run(main, workers=1) == 1


def test_a_worker_that_cannot_be_started_is_an_error_that_a_retry_may_cure(monkeypatch):
    async def main(engine):
        with monkeypatch.context() as patch:
            patch.setattr(spawning, "Pipe", _no_more_files)
            with raises_message(WorkerDied, "engines.no_worker_could_be_started") as caught:
                await engine.run(Job("t", jobs.echo, 1))
        assert "ulimit" in caught.value.hint
        return await engine.run(Job("t", jobs.echo, 2))

    assert _run(main) == 2


def _no_more_files(**_options):
    raise OSError(24, "Too many open files")


def test_a_sources_budget_is_never_exceeded_and_its_session_is_used_again(tmp_path):
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute("create table t (i integer)")
    source = JobSource("shop", DuckDBSource(type="duckdb", path=str(tmp_path / "shop.duckdb")))

    async def main(engine):
        work = [
            engine.run(Job("t", jobs.open_session, source.config, source=source, urgency=Urgency.CHUNK, size=n))
            for n in range(12)
        ]
        others = [engine.run(Job("u", jobs.pid_of, None)) for _ in range(12)]
        pids = await asyncio.gather(*work)
        await asyncio.gather(*others)
        return set(pids)

    assert len(_run(main, workers=4, budgets={"shop": 1})) == 1


def test_cancelling_a_caller_removes_its_waiting_job(tmp_path):
    async def main(engine):
        busy = asyncio.create_task(engine.run(Job("t", jobs.leave_pid, str(tmp_path / "busy"))))
        await _pid_in(tmp_path / "busy")
        waiting = asyncio.create_task(engine.run(Job("t", jobs.leave_pid, str(tmp_path / "never"))))
        await asyncio.sleep(0.05)
        for task in (waiting, busy):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await engine.run(Job("t", jobs.echo, 1)) == 1
        assert not (tmp_path / "never").exists()

    _run(main, workers=1)


def test_a_cancelled_caller_stops_its_job_between_two_batches_and_keeps_the_worker(tmp_path):
    async def main(engine):
        task = asyncio.create_task(engine.run(Job("t", jobs.leave_pid, str(tmp_path / "pid"))))
        pid = await _pid_in(tmp_path / "pid")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await engine.run(Job("t", jobs.pid_of, None)) == pid

    _run(main, workers=1)


def test_a_job_that_does_not_stop_is_killed_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.3)

    async def main(engine):
        task = asyncio.create_task(engine.run(Job("t", jobs.leave_pid_and_hear_nothing, str(tmp_path / "pid"))))
        pid = await _pid_in(tmp_path / "pid")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await engine.run(Job("t", jobs.pid_of, None)) != pid

    _run(main, workers=1)


def test_close_stops_workers_that_are_idle_starting_working_or_hung(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "GRACE_SECONDS", 0.3)

    async def main(engine):
        idle = await engine.run(Job("t", jobs.pid_of, None))
        tasks = [
            asyncio.create_task(engine.run(Job("t", jobs.leave_pid, str(tmp_path / "busy")))),
            asyncio.create_task(engine.run(Job("t", jobs.leave_pid_and_hear_nothing, str(tmp_path / "deaf")))),
        ]
        pids = {idle, await _pid_in(tmp_path / "busy"), await _pid_in(tmp_path / "deaf")}
        tasks.append(asyncio.create_task(engine.run(Job("t", jobs.echo, 1))))  # its worker has only just been forked
        tasks.append(asyncio.create_task(engine.run(Job("t", jobs.echo, 2))))  # and this one waits for a worker
        await asyncio.sleep(0)
        pids |= set(engine.pids)
        await engine.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return pids, results

    pids, results = _run(main, workers=3)
    assert not [pid for pid in pids if _lives(pid)]
    assert isinstance(results[0], Interrupted)
    assert isinstance(results[1], WorkerDied)
    assert isinstance(results[-1], Interrupted)


def test_a_closed_engine_takes_no_work_and_may_be_closed_again():
    async def main(engine):
        await engine.close()
        with pytest.raises(Interrupted):
            await engine.run(Job("t", jobs.echo, 1))

    _run(main)


def test_descriptors_do_not_grow_with_workers_that_come_and_go():
    async def main(engine):
        await engine.run(Job("t", jobs.echo, 1))
        counts = []
        for _ in range(15):
            with pytest.raises(WorkerDied):
                await engine.run(Job("t", jobs.die, signal.SIGKILL))
            counts.append(psutil.Process().num_fds())
        return counts

    counts = _run(main, workers=1)
    assert counts[-1] <= counts[0] + 1


def _script(tmp_path, text):
    (tmp_path / "script.py").write_text(textwrap.dedent(text))
    return subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_workers_do_not_run_a_main_script_that_has_no_guard(tmp_path):
    ended = _script(
        tmp_path,
        """
        import asyncio
        from statekeeper.engines.local import LocalEngine
        from statekeeper.engines.protocol import Job
        from tests.unit.engines import jobs

        async def main():
            engine = LocalEngine(workers=1, budgets={}, memory_limit="100MB")
            print("result", await engine.run(Job("t", jobs.echo, 1)))
            await engine.close()

        print("main")
        asyncio.run(main())
        """,
    )
    assert (ended.stdout, ended.stderr) == ("main\nresult 1\n", "")


def test_a_program_that_is_killed_leaves_no_process_and_nothing_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    ended = _script(
        tmp_path,
        """
        import asyncio, os, signal
        from statekeeper.engines.local import LocalEngine
        from statekeeper.engines.protocol import Job
        from statekeeper.engines.spawning import fork_server
        from tests.unit.engines import jobs

        async def main():
            engine = LocalEngine(workers=1, budgets={}, memory_limit="100MB")
            print(await engine.run(Job("t", jobs.pid_of, None)), fork_server().pid, flush=True)
            working = asyncio.create_task(engine.run(Job("t", jobs.leave_pid_and_hear_nothing, "pid")))
            while not os.path.exists("pid"):
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
        """,
    )
    pids = [int(pid) for pid in ended.stdout.split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 10
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process outlives the program"
        time.sleep(0.01)
    assert list((tmp_path / "temp").iterdir()) == []


def test_a_program_that_does_not_close_its_engine_ends(tmp_path):
    ended = _script(
        tmp_path,
        """
        import asyncio
        from statekeeper.engines.local import LocalEngine
        from statekeeper.engines.protocol import Job
        from tests.unit.engines import jobs

        async def main():
            engine = LocalEngine(workers=1, budgets={}, memory_limit="100MB")
            print(await engine.run(Job("t", jobs.pid_of, None)))
            raise KeyboardInterrupt

        asyncio.run(main())
        """,
    )
    pid = int(ended.stdout)
    assert ended.returncode not in {0, None}
    assert not _lives(pid)
