from __future__ import annotations

from statekeeper.engines.context import JobSource
from statekeeper.engines.protocol import Job, Urgency
from statekeeper.engines.queue import JobQueue


def _job(table, size=0, *, urgency=Urgency.CHUNK, source=None):
    return Job(table, work=print, spec=None, urgency=urgency, size=size, source=source)


def _drain(queue, can_start=None):
    taken = []
    while (waiting := queue.take(can_start or {})) is not None:
        taken.append((waiting.job.table, waiting.job.size))
    return taken


def test_control_work_goes_before_chunks_in_order_of_arrival():
    queue = JobQueue(workers=4)
    queue.add(_job("chunk", 100))
    queue.add(_job("first", urgency=Urgency.CONTROL))
    queue.add(_job("second", urgency=Urgency.CONTROL))
    assert [table for table, _ in _drain(queue)] == ["first", "second", "chunk"]


def test_largest_chunks_go_first():
    queue = JobQueue(workers=10)
    for size in (10, 30, 20):
        queue.add(_job("t", size))
    assert [size for _, size in _drain(queue)] == [30, 20, 10]


def test_one_of_as_many_chunks_as_workers_is_of_the_table_with_the_least_left():
    queue = JobQueue(workers=3)
    for _ in range(20):
        queue.add(_job("large", 1000))
    queue.add(_job("small", 1))
    tables = [table for table, _ in _drain(queue)]
    assert tables.index("small") == 2
    assert tables.count("large") == 20


def test_one_worker_takes_turns_between_large_and_small():
    queue = JobQueue(workers=1)
    for _ in range(5):
        queue.add(_job("large", 1000))
    queue.add(_job("small", 1))
    assert [table for table, _ in _drain(queue)][1] == "small"


def test_a_source_without_a_free_session_waits_and_others_go_on():
    queue = JobQueue(workers=2)
    queue.add(_job("a", 100, source=JobSource("busy", None)))
    queue.add(_job("b", 1, source=JobSource("free", None)))
    assert _drain(queue, {"busy": False, "free": True}) == [("b", 1)]
    assert _drain(queue, {"busy": True}) == [("a", 100)]


def test_a_removed_job_is_never_taken():
    queue = JobQueue(workers=2)
    keep, drop = _job("t", 1), _job("t", 2)
    queue.add(keep)
    queue.remove(queue.add(drop))
    assert _drain(queue) == [("t", 1)]


def test_ten_thousand_chunks_are_taken_without_sorting_them_again_each_time():
    queue = JobQueue(workers=4)
    for number in range(10_000):
        queue.add(_job(f"t{number % 7}", number))
    assert len(_drain(queue)) == 10_000
