"""In which order waiting jobs are started, within each source's session budget. Pure: it starts nothing.

What one call costs grows with the tables and sources that wait, and not with their chunks: jobs that leave out of turn
are only marked, and dropped when they come to the head of their line.
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
    """A job in the queue, until it `is_gone`."""

    job: Job[Any]
    order: int
    is_gone: bool = False

    @property
    def source(self) -> str | None:
        return self.job.source.name if self.job.source else None


_Line = list[tuple[int, int, Waiting]]
"""A heap: the largest job first, of equal ones the first that came."""


@dataclass
class JobQueue:
    """Waiting jobs of all tables.

    Control work goes first, in order of arrival. Of the chunks, the largest goes first, so that no large one is left
    for the end; but of every `workers` chunks started, one is of the table with the least left to do, so that small
    tables are not kept waiting for a large one.
    """

    workers: int
    _control: defaultdict[str | None, _Line] = field(default_factory=lambda: defaultdict(list))
    _chunks: defaultdict[tuple[str | None, str], _Line] = field(default_factory=lambda: defaultdict(list))
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
        """Put a job in the queue again, which was taken and could not be started, in its old place."""
        waiting.is_gone = False
        self._put(waiting)

    def remove(self, waiting: Waiting) -> None:
        """Take a job out, whether it is started or given up; one that is gone stays so."""
        if waiting.is_gone:
            return
        waiting.is_gone = True
        if waiting.job.urgency is Urgency.CHUNK:
            self._left[waiting.job.table] -= waiting.job.size

    @property
    def sources(self) -> frozenset[str]:
        """The sources that waiting jobs read."""
        lines = (*self._control, *(source for source, _ in self._chunks))
        return frozenset(source for source in lines if source is not None)

    def take(self, can_start: Mapping[str, bool]) -> Waiting | None:
        """Take the job that is to be started now.

        `can_start` says of a source whether a session with it can be had; a job of a source that is not there can
        start.
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


def _head(lines: dict[Any, _Line], key: object) -> Iterator[tuple[int, int, Waiting]]:
    """The first of a line, if there is one; those that are gone are dropped, and so is a line that is empty."""
    line = lines[key]
    while line and line[0][2].is_gone:
        heapq.heappop(line)
    if line:
        yield line[0]
    else:
        del lines[key]
