"""A requested run, and the ways to wait for it: a call, an `await`, a stream of events.

Decides what an interruption does to the caller; `statekeeper.run.interruption` decides how it ends the run.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from statekeeper.api.events import RunEvents, wait_until_ended
from statekeeper.config.resolved import ExtractionConfig
from statekeeper.errors import Interrupted
from statekeeper.run.interruption import Interruption, hand_on, start_in_thread
from statekeeper.run.report import RunReport
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import Runner
from statekeeper.runtime.events import EventReporter, ProgressEvent
from statekeeper.store.registry import writing_disk


def _unchanged(report: RunReport) -> RunReport:
    return report


@dataclass(frozen=True, kw_only=True)
class RunCall:
    """A requested run. `finish` adds to its report what the run itself cannot know."""

    runner: Runner
    tables: tuple[ExtractionConfig, ...]
    reprocess: Reprocess
    finish: Callable[[RunReport], RunReport] = _unchanged

    def report(self, *, report_interrupt: bool = False) -> RunReport:
        """Run, and return the report. If a signal ended the run, it is returned only if the caller asks for that."""
        interruption = Interruption()
        report = self._run(self.runner, interruption)
        if not report_interrupt:
            interruption.hand_on()
        return self.finish(report)

    async def awaited(self) -> RunReport:
        """Run in a separate thread, and return the report.

        Raises:
            CancelledError: the waiting task was cancelled; the run has ended cleanly, with its state saved.
        """
        interruption = Interruption()
        started = start_in_thread(lambda: self.finish(self._run(self.runner, interruption)))
        ended = asyncio.wrap_future(started)
        await wait_until_ended(ended, interruption)
        return ended.result()

    def events(self, *, report_interrupt: bool = False) -> RunEvents:
        """The events of the run, which starts with the iteration."""

        def run(send: Callable[[ProgressEvent], None], interruption: Interruption) -> RunReport:
            reporter = EventReporter(send, also=self.runner.reporter)
            return self.finish(self._run(dataclasses.replace(self.runner, reporter=reporter), interruption))

        return RunEvents(run, report_interrupt=report_interrupt)

    def _run(self, runner: Runner, interruption: Interruption) -> RunReport:
        return on_its_disk(runner).run(self.tables, reprocess=self.reprocess, interruption=interruption)


def reprocess_of(force_reprocess: bool) -> Reprocess:  # noqa: FBT001 - the word that users know
    """The meaning of `force_reprocess`."""
    return Reprocess.ALL if force_reprocess else Reprocess.STALE


def on_its_disk(runner: Runner) -> Runner:
    """The runner with a disk that can write: of the kind that the output folder is on."""
    pipeline = runner.pipeline
    return dataclasses.replace(runner, disk=writing_disk(pipeline.base_path, pipeline.output.writes))


@contextmanager
def signals_handed_on() -> Iterator[None]:
    """Let a signal that interrupts the block have its usual effect."""
    try:
        yield
    except Interrupted as error:
        hand_on(error.exit_code - 128)
        raise
