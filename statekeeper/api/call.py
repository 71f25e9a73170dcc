"""A run that is asked for, and the ways to wait for it: a call, an `await`, a stream of events.

Decides what an interruption does to the caller; how it ends the run is `statekeeper.run.interruption`.
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
    """A run that is asked for. `finish` adds to its report what the run itself cannot know."""

    runner: Runner
    tables: tuple[ExtractionConfig, ...]
    reprocess: Reprocess
    finish: Callable[[RunReport], RunReport] = _unchanged

    def report(self, *, report_interrupt: bool = False) -> RunReport:
        """The report, once the run has ended; if a signal ended it, only where the caller asks for that."""
        interruption = Interruption()
        report = self._run(self.runner, interruption)
        if not report_interrupt:
            interruption.hand_on()
        return self.finish(report)

    async def awaited(self) -> RunReport:
        """The report, once the run has ended in a thread of its own.

        Raises:
            CancelledError: the task that waits was cancelled; the run has ended cleanly, its state is saved.
        """
        interruption = Interruption()
        begun = start_in_thread(lambda: self.finish(self._run(self.runner, interruption)))
        ended = asyncio.wrap_future(begun)
        await wait_until_ended(ended, interruption)
        return ended.result()

    def events(self, *, report_interrupt: bool = False) -> RunEvents:
        """The events of the run, which begins when they are iterated over."""

        def run(tell: Callable[[ProgressEvent], None], interruption: Interruption) -> RunReport:
            reporter = EventReporter(tell, also=self.runner.reporter)
            return self.finish(self._run(dataclasses.replace(self.runner, reporter=reporter), interruption))

        return RunEvents(run, report_interrupt=report_interrupt)

    def _run(self, runner: Runner, interruption: Interruption) -> RunReport:
        return on_its_disk(runner).run(self.tables, reprocess=self.reprocess, interruption=interruption)


def reprocess_of(force_reprocess: bool) -> Reprocess:  # noqa: FBT001 - the word that users know
    """What `force_reprocess` means."""
    return Reprocess.ALL if force_reprocess else Reprocess.STALE


def on_its_disk(runner: Runner) -> Runner:
    """The runner, able to write: with the disk that the output folder proves to be."""
    pipeline = runner.pipeline
    return dataclasses.replace(runner, disk=writing_disk(pipeline.base_path, pipeline.output.writes))


@contextmanager
def signals_handed_on() -> Iterator[None]:
    """Let a signal that interrupts the block do what it does otherwise."""
    try:
        yield
    except Interrupted as error:
        hand_on(error.exit_code - 128)
        raise
