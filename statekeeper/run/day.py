"""The tables of one extraction date, in a process that may work on several dates.

Decides when a date's run begins, in which order a table's dates are extracted, and what a failed date means for the
later ones. `statekeeper.run.table_task` runs a single table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.errors import StatekeeperError
from statekeeper.model.manifest import RunManifest
from statekeeper.model.state import Failure, State
from statekeeper.model.table import TableRef
from statekeeper.plan.coverage import Coverage
from statekeeper.plan.dates import why_nothing_is_left
from statekeeper.plan.plan_spec import windows_of
from statekeeper.run.interruption import Interruption
from statekeeper.run.report import Outcome, RunReport, TableReport
from statekeeper.run.resume import Reprocess, recall
from statekeeper.run.table_task import run_table_task
from statekeeper.run.wait_watch import watched
from statekeeper.runtime.context import Run


@dataclass
class Day:
    """The run of one date: begun when the first of its `tables` is reached. `begin` saves the run's manifest.

    With `skips_covered` a table is skipped whose rows of this date are all in other extractions; otherwise its plan is
    refused.
    """

    run: Run
    tables: tuple[ExtractionConfig, ...]
    reprocess: Reprocess
    begin: Callable[[], RunManifest]
    skips_covered: bool = False
    manifest: RunManifest | None = None
    _reports: dict[TableRef, TableReport] = field(default_factory=dict)
    _beginning: asyncio.Lock = field(default_factory=asyncio.Lock)
    _refusal: StatekeeperError | None = None
    _at_work: int = 0
    _watch: asyncio.Task[None] | None = None

    @property
    def reports(self) -> tuple[TableReport, ...]:
        """A report of each table, also if the run was interrupted."""
        reason = "interrupted; what is done is saved"
        return tuple(
            self._reports.get(config.table)
            or TableReport(table=config.table, outcome=Outcome.INTERRUPTED, reason=reason)
            for config in self.tables
        )

    async def extract(self, config: ExtractionConfig) -> TableReport:
        """Bring a table to its outcome.

        Raises:
            asyncio.CancelledError: the run was interrupted; no other error leaves this function.
        """
        await self._begin_once()
        report = self._refused(config) or await self._skipped(config)
        if report is None:
            async with self._watched():
                report = await run_table_task(config, self.run, self.reprocess)
        else:
            self._end(config, report)
        self._reports[config.table] = report
        return report

    def leave(self, config: ExtractionConfig, *, earlier: Day) -> None:
        """Do not start a table whose window begins where that of an earlier date must end first."""
        cause = earlier._reports[config.table].outcome
        outcome = Outcome.HELD if cause is Outcome.HELD else Outcome.PENDING
        reason = f"it comes after {earlier.run.extraction_date}, which is {cause}"
        self._reports[config.table] = report = TableReport(table=config.table, outcome=outcome, reason=reason)
        self._end(config, report)

    async def has_taken_window(self, config: ExtractionConfig) -> bool:
        """Whether the table's window of this date is written down, so that later dates leave it alone."""
        return any(window.extraction == self._extraction for window in (await self._coverage(config)).taken)

    @property
    def _extraction(self) -> tuple[str, str]:
        return self.run.extraction_date.isoformat(), self.run.run_id

    def _end(self, config: ExtractionConfig, report: TableReport) -> None:
        self.run.extracted.end(config.table)
        self.run.reporter.table_ended(config.table.key, report.end)

    async def _begin_once(self) -> None:
        async with self._beginning:
            if self.manifest is not None or self._refusal is not None:
                return
            try:
                self.manifest = await self.run.threads.locks.do(self.begin)
            except StatekeeperError as error:
                self._refusal = error
                return
            await recall(self.run, self.manifest, tables=self.tables, reprocess=self.reprocess)
            self.run.extracted.begin(config.table for config in self.tables)

    def _refused(self, config: ExtractionConfig) -> TableReport | None:
        if self._refusal is None:
            return None
        failure = Failure.of(self._refusal, failed_in=State.PENDING)
        return TableReport(table=config.table, outcome=Outcome.FAILED, reason=failure.message, failure=failure)

    async def _skipped(self, config: ExtractionConfig) -> TableReport | None:
        """The report of a table whose rows of this date are all in other extractions, as far as that can be known."""
        if not self.skips_covered or await self.run.threads.disk.do(self._exists, config):
            return None
        others = (await self._coverage(config)).without(self._extraction)  # its own files may be gone
        why = why_nothing_is_left(config, self.run.extraction_date, others)
        return TableReport(table=config.table, outcome=Outcome.SKIPPED, reason=why) if why else None

    def _exists(self, config: ExtractionConfig) -> bool:
        layout = self.run.layout_of(config)
        return self.run.disk.exists(layout.state) or self.run.disk.exists(layout.metadata)

    async def _coverage(self, config: ExtractionConfig) -> Coverage:
        """What the table's extractions have taken; nothing if that cannot be read, which its plan reports."""
        try:
            return await self.run.threads.disk.do(windows_of(config, self.run).coverage)
        except StatekeeperError:
            return Coverage()

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Report what the date's tables wait for while any of them is at work."""
        self._at_work += 1
        if self._watch is None:
            self._watch = asyncio.create_task(watched(self.run))
        try:
            yield
        finally:
            self._at_work -= 1
            if not self._at_work:
                watch, self._watch = self._watch, None
                watch.cancel()
                await asyncio.wait([watch])


@dataclass(frozen=True)
class DatedRun:
    """A day of several that a process works on; `end` records its end, and returns its report."""

    day: Day
    end: Callable[[Interruption], RunReport]


async def extract_all(chosen: Iterable[tuple[ExtractionConfig, Sequence[Day]]], interruption: Interruption) -> None:
    """Bring each table to its outcome on each of its days: in their order for a table, side by side over tables."""
    pairs = tuple(chosen)
    tasks = [asyncio.create_task(_extract_in_order(config, days)) for config, days in pairs]
    interruption.cancels(tasks)
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
    for day in {id(day): day for _, days in pairs for day in days}.values():
        await day.run.hooks.drain()


async def _extract_in_order(config: ExtractionConfig, days: Sequence[Day]) -> None:
    """Extract a table's dates. After a failed one, the rest are left, unless its window is known to be its own.

    Otherwise the next date would take the rows of the failed one.
    """
    for number, day in enumerate(days):
        report = await day.extract(config)
        later = days[number + 1 :]
        if later and not report.is_good and not await day.has_taken_window(config):
            for each in later:
                each.leave(config, earlier=day)
            return
