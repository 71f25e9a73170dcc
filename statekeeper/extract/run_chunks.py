"""The work of `extracting`: the source's count first, then every chunk that has no receipt yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Self
from uuid import uuid4

from statekeeper.engines.context import JobSource
from statekeeper.engines.protocol import Job, Result, Urgency
from statekeeper.errors import RETRYABLE, FailureKind, StatekeeperError
from statekeeper.extract.chunk import ChunkSpec, extract_chunk
from statekeeper.extract.count import CountSpec, count_rows, needs_count
from statekeeper.model.plan import Chunk
from statekeeper.model.receipt import CountReceipt, Receipt
from statekeeper.runtime.active_plan import ActivePlan
from statekeeper.runtime.null_rows import judge_null_rows
from statekeeper.store.documents import load_count, save_count
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.receipts import are_recorded, load_receipts, record_receipts, subfolders_of
from statekeeper.store.staging import subfolder_of


async def run_chunks(active: ActivePlan) -> None:
    """Return when every chunk of the plan has a receipt.

    After the first failure no further chunk starts; running chunks may finish, because their receipts will count.

    Raises:
        DataError: rows have no value in the incremental column, no extraction has them, and `null_rows` is fail.
        StatekeeperError: the first failure that retries did not solve.
    """
    run, plan = active.run, active.plan
    left = await run.threads.disk.do(_Remaining.of, active)
    chunks = len(plan.chunks)
    done = chunks - len(left.places)
    work = _ChunkWork(active, left.subfolders, chunks_done=done, receipts=left.receipts)
    run.reporter.plan_ready(active.key, chunks, left.estimated_rows)
    if left.counted is not None:
        judge_null_rows(active, left.counted)
    count = [_Attempt(work.count, None)] if left.counted is None and needs_count(active.config) else []
    attempts = chain(count, (_Attempt(work.chunk, plan.chunks[place]) for place in left.places))
    await _all_or_first_failure(attempts, at_once=min(run.engine.in_flight, len(count) + len(left.places)))
    await run.threads.disk.do(record_receipts, run.disk, active.staging, plan.plan_id, work.receipts)


@dataclass(frozen=True)
class _Remaining:
    """The remaining work of a plan: the chunks at these positions in it, the largest first, and its count."""

    places: tuple[int, ...]
    counted: CountReceipt | None
    estimated_rows: int
    """Of all chunks."""
    receipts: list[Receipt]
    """The existing receipts, if this kind of disk records them; else empty."""
    subfolders: tuple[str, ...]
    """The folders of the plan for its parts; empty for few chunks, and for a plan of an earlier version."""

    @classmethod
    def of(cls, active: ActivePlan) -> Self:
        run, plan, staging = active.run, active.plan, active.staging
        done = load_receipts(run.disk, staging, plan.plan_id)
        rows = [chunk.estimated_rows for chunk in plan.chunks]
        places = [place for place, chunk in enumerate(plan.chunks) if chunk.chunk_id not in done]
        places.sort(key=lambda place: -rows[place])  # the queue sorts too, but does not see all chunks at once
        counted = load_count(run.disk, staging, plan.plan_id) if needs_count(active.config) else None
        receipts = list(done.values()) if are_recorded(run.disk) else []
        return cls(tuple(places), counted, sum(rows), receipts, subfolders_of(run.disk, staging))


@dataclass
class _Attempt:
    """A piece of work that waits until `has_begun`. With `is_last` it is not tried again if it fails."""

    work: Callable[[_Attempt], Coroutine[object, object, None]]
    chunk: Chunk | None
    has_begun: bool = False
    is_last: bool = False


async def _all_or_first_failure(left: Iterator[_Attempt], *, at_once: int) -> None:
    """Do all attempts, `at_once` at a time. After the first failure, wait for those that have begun, then raise it."""
    running: dict[asyncio.Task[None], _Attempt] = {}
    failures: list[Exception] = []

    def stop_others() -> None:
        for task, attempt in running.items():
            attempt.is_last = True
            if not attempt.has_begun:
                task.cancel()

    async def work_off() -> None:
        task = asyncio.current_task()
        assert task is not None, "this coroutine runs in a task"
        for attempt in left:
            if failures:
                return
            running[task] = attempt
            try:
                await attempt.work(attempt)
            except Exception as error:  # noqa: BLE001 - it is raised once nothing runs any more
                failures.append(error)
                if len(failures) == 1:  # once: a second cancellation would disturb a task that is stopping its work
                    stop_others()
            finally:
                del running[task]

    tasks = [asyncio.create_task(work_off()) for _ in range(at_once)]
    try:
        await asyncio.gather(*tasks, return_exceptions=True)  # if cancelled, it cancels all tasks
    finally:
        await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise failures[0]


@dataclass
class _ChunkWork:
    active: ActivePlan
    subfolders: tuple[str, ...]
    chunks_done: int
    receipts: list[Receipt]
    """The receipts to record, if this kind of disk records them; else empty."""

    @cached_property
    def _compared(self) -> tuple[ExtractionLayout, ...]:
        return self.active.compared_layouts

    async def count(self, attempt: _Attempt) -> None:
        attempt.has_begun = True
        active = self.active
        run, plan = active.run, active.plan
        spec = CountSpec(active.config, plan.plan_id, plan.reading)
        job = Job(active.key, count_rows, spec, source=JobSource.of(active.config))
        receipt = await self._retried(job, attempt)
        await run.threads.disk.do(save_count, run.disk, active.staging, receipt, attempt=uuid4().hex[:12])
        run.reporter.plan_ready(active.key, len(plan.chunks), receipt.rows)
        if warning := judge_null_rows(active, receipt):
            run.reporter.warning(active.key, warning)

    async def chunk(self, attempt: _Attempt) -> None:
        assert attempt.chunk is not None
        active = self.active
        run, plan = active.run, active.plan
        spec = ChunkSpec(
            table=active.key,
            run_id=run.run_id,
            plan_id=plan.plan_id,
            reading=plan.reading,
            chunk=attempt.chunk,
            staging=active.staging_for_workers,
            output=run.pipeline.output,
            disk=run.disk,
            subfolder=subfolder_of(attempt.chunk.chunk_id, len(plan.chunks), self.subfolders),
            compared=self._compared,
        )
        job = Job(
            active.key,
            extract_chunk,
            spec,
            urgency=Urgency.CHUNK,
            source=JobSource.of(active.config),
            size=attempt.chunk.estimated_rows,
            remote_result_type=Receipt,
            on_start=lambda: setattr(attempt, "has_begun", True),
            on_rows=lambda rows: run.reporter.rows_read(active.key, rows),
        )
        receipt: Receipt = await self._retried(job, attempt)
        if are_recorded(run.disk):
            self.receipts.append(receipt)
        self.chunks_done += 1
        run.reporter.chunk_done(active.key, self.chunks_done, len(plan.chunks), receipt.rows, receipt.bytes)

    async def _retried(self, job: Job[Result], attempt: _Attempt) -> Result:
        def before_retry(error: StatekeeperError) -> None:
            if attempt.is_last:
                raise error
            attempt.has_begun = False  # while it waits for its retry it may be cancelled

        active = self.active
        what = "the count" if attempt.chunk is None else f"chunk {attempt.chunk.chunk_id}"
        retryable = RETRYABLE | {FailureKind.UNREACHABLE} if active.config.source.MAY_COME_BACK else RETRYABLE
        return await active.run.jobs.run(
            active.config, job, f"of {what}", retryable=retryable, before_retry=before_retry
        )
