"""A backfill: every date of a range, each a run of its own under its own path, by one command.

Decides which tables and dates it has. A table's dates are extracted in their order, different tables side by side, all
within the budgets of one run (`statekeeper.run.day`). Complete dates are verified and skipped, so the same command
continues a backfill that was interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.errors import UsageError
from statekeeper.model.manifest import BackfillRange, NextStep
from statekeeper.run.day import DatedRun, extract_all
from statekeeper.run.interruption import Interruption
from statekeeper.run.report import BackfillReport
from statekeeper.run.resume import Reprocess
from statekeeper.run.runner import Runner, Shared
from statekeeper.text.places import with_addresses

_MOST_STEPS = 5
"""So many steps for single dates are shown; the others come with the next backfill."""


@dataclass(frozen=True)
class Backfill:
    """A backfill of `tables` from `first` to `last`, both included. `asked` is what `resume` needs to continue it."""

    runner: Runner
    tables: tuple[ExtractionConfig, ...]
    first: date
    last: date
    asked: BackfillRange
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, runner: Runner, selected: tuple[ExtractionConfig, ...], asked: BackfillRange) -> Backfill:
        """The backfill of those selected tables that are extracted by windows.

        Raises:
            UsageError: the range is empty; no selected table, or not every one that was named, has windows; or the
                run has an id of its own, which many dates cannot share.
        """
        first, last = date.fromisoformat(asked.first), date.fromisoformat(asked.last)
        if first > last:
            raise UsageError(f"the range from {first} to {last} has no date", hint="swap the two dates")
        if not runner.identity.is_default_of(runner.pipeline):
            raise UsageError(
                f"every date of a backfill has its own run, and {runner.identity.run_id!r} can name only one",
                hint="leave out the run id: the runs are named PIPELINE-YYYYMMDD",
            )
        tables = tuple(config for config in selected if config.incremental and not config.is_full_extract)
        whole = tuple(config.table.key for config in selected if config not in tables)
        if whole and (asked.tables or not tables):
            raise UsageError(
                f"expected tables with an incremental_column; found {', '.join(whole)}: a table that is extracted "
                "whole has no earlier dates, only its present rows",
                hint="choose others with --table, or give the table an incremental_column",
            )
        return cls(runner, tables, first, last, asked, left_out=whole)

    def run(self, *, reprocess: Reprocess, interruption: Interruption | None = None) -> BackfillReport:
        """Bring every table of every date to its outcome.

        Raises:
            UsageError, ConfigError: a date belongs to another run.
        """
        interruption = interruption or Interruption()
        runners = [self.runner.at(day) for day in self._dates]
        self.runner.at(self.last).save_last_run(self.asked)
        started = self.runner.clock()

        async def work(shared: Shared, interruption: Interruption) -> list[DatedRun]:
            runs = [runner.dated(shared, self.tables, reprocess) for runner in runners]
            shared.reporter.run_began(len(runs) * len(self.tables))
            days = [run.day for run in runs]
            await extract_all(((config, days) for config in self.tables), interruption)
            return runs

        runs = self.runner.sharing(work, interruption)
        reports = tuple(run.end(interruption) for run in runs)
        signals = [report.interrupted_by for report in reports if report.interrupted_by is not None]
        report = BackfillReport(
            pipeline=self.runner.pipeline.name,
            first_date=self.first.isoformat(),
            last_date=self.last.isoformat(),
            base_path=with_addresses(str(self.runner.pipeline.base_path)),
            runs=reports,
            left_out=self.left_out,
            duration_seconds=(self.runner.clock() - started).total_seconds(),
            interrupted_by=signals[0] if signals else None,
        )
        return report.model_copy(update={"next_steps": self._next_steps(report)})

    @property
    def _dates(self) -> list[date]:
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    def _next_steps(self, report: BackfillReport) -> tuple[NextStep, ...]:
        """What resuming cannot fix, date by date, the first few; then the same command again."""
        if not report.exit_code:
            return ()
        of_dates: list[NextStep] = []
        for run in report.runs:
            if run.exit_code:
                resume = self.runner.at(date.fromisoformat(run.extraction_date)).commands.resume()
                of_dates += [step for step in run.next_steps if step.command != resume]
        again = self.runner.commands.backfill(self.first, self.last, self.asked.tables, self.asked.exclude)
        go_on = NextStep(command=again, when="to go on; what is complete is verified and skipped")
        return (*of_dates[:_MOST_STEPS], go_on)
