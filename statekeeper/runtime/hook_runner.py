"""Runs the hooks of states in the background."""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import partial

from statekeeper.config.resolved import Hook, Pipeline
from statekeeper.logs import Redactor
from statekeeper.model.hook_event import HookEvent
from statekeeper.model.record import Published, StateRecord
from statekeeper.model.state import Failure, State
from statekeeper.model.table import TableRef
from statekeeper.runtime.hooks import run_hook

_LOG = logging.getLogger("statekeeper.run")


@dataclass
class Hooks:
    """Runs the hooks of states in the background; their failures are logged and change nothing."""

    pipeline: Pipeline
    run_id: str
    extraction_date: date
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    # A pool of their own: slow hooks must not use up the threads that wait for locks.
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, "statekeeper-hook"))

    def entered(self, record: StateRecord, reason: str | None) -> None:
        """Start the hooks of the state that an extraction has entered."""
        self._start(record.table, record.state, reason, record.failure, record.published)

    def failed(self, table: TableRef, failure: Failure, published: Published | None) -> None:
        """Start the hooks of the state `failed` for a table whose own state does not record the failure."""
        self._start(table, State.FAILED, failure.message, failure, published)

    def _start(
        self, table: TableRef, state: State, reason: str | None, failure: Failure | None, published: Published | None
    ) -> None:
        event = HookEvent(
            table=table.key,
            run_id=self.run_id,
            pipeline=self.pipeline.name,
            extraction_date=self.extraction_date.isoformat(),
            state=state,
            reason=reason,
            records=published.records if published else None,
            bytes=published.bytes if published else None,
            output_path=published.output_path if published else None,
            failure=failure.message if failure else None,
            failure_kind=failure.kind if failure else None,
        )
        for hook in self.pipeline.states.hooks(state):
            task = asyncio.get_running_loop().create_task(self._run(hook, event))
            self._running.add(task)
            task.add_done_callback(self._ended)

    async def drain(self) -> None:
        """Wait until every hook has ended; each has its own timeout."""
        await asyncio.gather(*self._running, return_exceptions=True)
        self._threads.shutdown(wait=False)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            _LOG.warning("a hook could not be run: %r", failure)

    async def _run(self, hook: Hook, event: HookEvent) -> None:
        # Relative paths in a command are resolved like all others in the configuration.
        run = partial(run_hook, hook, event, folder=self.pipeline.root)
        result = await asyncio.get_running_loop().run_in_executor(self._threads, run)
        if result.detail:
            passed = (os.environ.get(name, "") for name in hook.pass_env)
            without_secrets = Redactor([*self.pipeline.secrets, *self.pipeline.in_commands, *passed])
            what = without_secrets(f"{result.hook} on entering {event.state}: {result.detail}")
            _LOG.warning("%s", what, extra={"table": event.table})
