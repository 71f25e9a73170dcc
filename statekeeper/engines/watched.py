"""An engine that records what its jobs' tables wait for: first to start, then for the source's answer."""

from __future__ import annotations

from dataclasses import replace

from statekeeper.engines.protocol import Engine, Job, Result
from statekeeper.engines.waiting import WaitKind, Waits


class WatchedEngine:
    """Runs jobs on `engine`, and keeps `waits` up to date for their tables."""

    def __init__(self, engine: Engine, waits: Waits) -> None:
        self._engine = engine
        self._waits = waits

    async def run(self, job: Job[Result]) -> Result:
        with self._waits.on(job.table, *self._engine.why_waiting(job)) as wait:

            def note_work() -> None:
                if job.source:
                    self._waits.change(job.table, wait, WaitKind.ANSWER, f"an answer of {job.source.name}")
                else:
                    self._waits.change(job.table, wait, WaitKind.RESULT, "the result of its work")

            def on_start() -> None:
                note_work()
                if job.on_start:
                    job.on_start()

            def on_rows(rows: int) -> None:
                note_work()
                if job.on_rows:
                    job.on_rows(rows)

            return await self._engine.run(replace(job, on_start=on_start, on_rows=on_rows))

    def expect_chunks(self) -> None:
        self._engine.expect_chunks()

    @property
    def in_flight(self) -> int:
        return self._engine.in_flight

    def why_waiting(self, job: Job[Result]) -> tuple[WaitKind, str]:
        return self._engine.why_waiting(job)

    async def close(self) -> None:
        await self._engine.close()

    def kill(self) -> None:
        self._engine.kill()
