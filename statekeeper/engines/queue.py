"""In which order waiting jobs are started, within each source's session budget. Pure: it starts nothing."""

from __future__ import annotations

import heapq
from bisect import insort
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from statekeeper.engines.protocol import Job, Urgency


@dataclass(eq=False)
class Waiting:
    """A job in the queue."""

    job: Job[Any]
    order: int


@dataclass
class JobQueue:
    """Waiting jobs of all tables.

    Control work goes first, in order of arrival. Of the chunks, the largest goes first, so that no large one is left
    for the end; but of every `workers` chunks started, one is of the table with the least left to do, so that small
    tables are not kept waiting for a large one.
    """

    workers: int
    _control: list[Waiting] = field(default_factory=list)
    _chunks: dict[str, list[Waiting]] = field(default_factory=dict)
    _left: Counter[str] = field(default_factory=Counter)
    _arrivals: int = 0
    _started: int = 0

    def add(self, job: Job[Any]) -> Waiting:
        """Put a job in the queue."""
        self._arrivals += 1
        waiting = Waiting(job, self._arrivals)
        if job.urgency is Urgency.CONTROL:
            self._control.append(waiting)
        else:
            insort(self._chunks.setdefault(job.table, []), waiting, key=_largest_first)
            self._left[job.table] += job.size
        return waiting

    def remove(self, waiting: Waiting) -> None:
        """Take a job out, whether it is started or given up."""
        table = waiting.job.table
        if waiting.job.urgency is Urgency.CONTROL:
            self._control.remove(waiting)
            return
        self._chunks[table].remove(waiting)
        self._left[table] -= waiting.job.size
        if not self._chunks[table]:
            del self._chunks[table], self._left[table]

    def take(self, can_start: Mapping[str, bool]) -> Waiting | None:
        """Take the job that is to be started now.

        `can_start` says of a source whether a session with it can be had; a job of a source that is not there can
        start.
        """
        for waiting in self._candidates():
            source = waiting.job.source
            if source is None or can_start.get(source.name, True):
                self._started += waiting.job.urgency is Urgency.CHUNK
                self.remove(waiting)
                return waiting
        return None

    def _candidates(self) -> Iterator[Waiting]:
        yield from list(self._control)
        turns = max(self.workers, 2)
        if self._started % turns == turns - 1:
            for table in sorted(self._chunks, key=lambda name: (self._left[name], name)):
                yield from self._chunks[table]
        else:
            yield from heapq.merge(*self._chunks.values(), key=_largest_first)


def _largest_first(waiting: Waiting) -> tuple[int, int]:
    return (-waiting.job.size, waiting.order)
