"""The order in which waiting jobs are started, within each source's session budget. Pure: it starts nothing.

The cost of a call grows with the number of waiting tables and sources, not with their chunks. A job that is removed is
only marked; it is dropped when it comes to the head of its heap.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from statekeeper.engines.protocol import Job, Urgency


@dataclass(eq=False)
class Waiting:
    """A job in the queue; `is_gone` marks one that was taken or removed."""

    job: Job[Any]
    order: int
    is_gone: bool = False

    @property
    def source(self) -> str | None:
        return self.job.source.name if self.job.source else None


_Heap = list[tuple[int, int, Waiting]]
"""A heap with the largest job first; of jobs of equal size, the one that came first."""


@dataclass
class JobQueue:
    """The waiting jobs of all tables.

    Control jobs go first, in order of arrival. Then the largest chunk goes first, so that no large one is left for the
    end. But one of every `workers` chunks (at least 2) is from the table with the fewest rows left, so that small
    tables do not wait for a large one.
    """

    workers: int
    _control: defaultdict[str | None, _Heap] = field(default_factory=lambda: defaultdict(list))
    _chunks: defaultdict[tuple[str | None, str], _Heap] = field(default_factory=lambda: defaultdict(list))
    """By source and table."""
    _left: Counter[str] = field(default_factory=Counter)
    _arrivals: int = 0
    _started: int = 0

    def add(self, job: Job[Any]) -> Waiting:
        """Put a job in the queue."""
        self._arrivals += 1
        waiting = Waiting(job, self._arrivals)
        self._put(waiting)
        return waiting

    def put_back(self, waiting: Waiting) -> None:
        """Put a job that was taken but could not be started back in its old place."""
        waiting.is_gone = False
        self._put(waiting)

    def remove(self, waiting: Waiting) -> None:
        """Take a job out of the queue, because it starts or is cancelled. A second call does nothing."""
        if waiting.is_gone:
            return
        waiting.is_gone = True
        if waiting.job.urgency is Urgency.CHUNK:
            self._left[waiting.job.table] -= waiting.job.size

    @property
    def sources(self) -> frozenset[str]:
        """The sources that waiting jobs read."""
        sources = (*self._control, *(source for source, _ in self._chunks))
        return frozenset(source for source in sources if source is not None)

    def take(self, can_start: Mapping[str, bool]) -> Waiting | None:
        """Take the job that should start now; None if none can.

        `can_start` says for each source whether a session is available. Sources that it does not name have no limit.
        """
        waiting = self._first_control(can_start) or self._first_chunk(can_start)
        if waiting is not None:
            self._started += waiting.job.urgency is Urgency.CHUNK
            self.remove(waiting)
        return waiting

    def _put(self, waiting: Waiting) -> None:
        job = waiting.job
        if job.urgency is Urgency.CONTROL:
            heapq.heappush(self._control[waiting.source], (0, waiting.order, waiting))
            return
        heapq.heappush(self._chunks[waiting.source, job.table], (-job.size, waiting.order, waiting))
        self._left[job.table] += job.size

    def _first_control(self, can_start: Mapping[str, bool]) -> Waiting | None:
        heads = [
            head
            for source in list(self._control)
            if source is None or can_start.get(source, True)
            for head in _head(self._control, source)
        ]
        return min(heads)[2] if heads else None

    def _first_chunk(self, can_start: Mapping[str, bool]) -> Waiting | None:
        heads = [
            head
            for source, table in list(self._chunks)
            if source is None or can_start.get(source, True)
            for head in _head(self._chunks, (source, table))
        ]
        if not heads:
            return None
        turns = max(self.workers, 2)
        if self._started % turns == turns - 1:
            return min(heads, key=lambda head: (self._left[head[2].job.table], head[2].job.table, head[:2]))[2]
        return min(heads)[2]


def _head(heaps: dict[Any, _Heap], key: object) -> Iterator[tuple[int, int, Waiting]]:
    """The first job of a heap, if there is one. Jobs that are gone are dropped, and so is an empty heap."""
    heap = heaps[key]
    while heap and heap[0][2].is_gone:
        heapq.heappop(heap)
    if heap:
        yield heap[0]
    else:
        del heaps[key]
