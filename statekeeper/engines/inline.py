"""Runs every job in the current process, one after the other: for debuggers, and for tests that kill the process."""

from __future__ import annotations

import asyncio

from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.engines.protocol import Job, Result
from statekeeper.engines.waiting import WaitKind
from statekeeper.errors import StatekeeperError, error_of
from statekeeper.system_errors import as_system_error
from statekeeper.text.privacy import RowValues, text_of


class InlineEngine:
    """An engine without processes."""

    def __init__(self, *, memory_limit: str = "1GiB", private: frozenset[str] = frozenset()) -> None:
        self._private = private
        self._memory_limit = memory_limit
        self._sessions = Sessions(memory_limit)

    async def run(self, job: Job[Result]) -> Result:
        await asyncio.sleep(0)  # a cancelled caller is noticed before its work begins
        if job.on_start:
            job.on_start()
        context = ProcessContext(
            self._sessions,
            memory_limit=self._memory_limit,
            is_stopping=lambda: False,
            report=job.on_rows or (lambda _rows: None),
            source=job.source,
        )
        try:
            return job.work(job.spec, context)
        except Exception as error:
            known = error if isinstance(error, StatekeeperError) else as_system_error(error)
            if known is None:
                raise
            if job.source:
                self._sessions.close(job.source.name)
            text = text_of(known, RowValues.of(job.table, private=self._private))
            raise error_of(known.kind, text, hint=known.hint, code=known.code) from error

    def expect_chunks(self) -> None:
        """Does nothing: there is nothing to start."""

    @property
    def in_flight(self) -> int:
        return 16

    def why_waiting(self, job: Job[Result]) -> tuple[WaitKind, str]:
        del job
        return WaitKind.WORKER, "its turn in this process"

    async def close(self) -> None:
        self._sessions.close_all()

    def kill(self) -> None:
        """Does nothing: there is no other process."""
