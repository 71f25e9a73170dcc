"""The status of a backfill: that of each date's run, for the tables that the backfill has, read from files alone."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

from statekeeper.errors import ExitCode, worst_exit_code
from statekeeper.hints.next_command import RunCommands, command
from statekeeper.model.base import Frozen
from statekeeper.model.manifest import BackfillRange, LastRun, NextStep, RunStatus
from statekeeper.run.find_run import read_manifest
from statekeeper.run.status import read_status, state_of_tables
from statekeeper.store import layout
from statekeeper.store.registry import reading_disk


class BackfillStatus(Frozen):
    """`status --json` after a backfill: the runs of its dates, and the dates that it has not begun."""

    first_date: str
    last_date: str
    state: str
    runs: tuple[RunStatus, ...]
    not_begun: tuple[str, ...]
    next_steps: tuple[NextStep, ...] = ()

    @property
    def exit_code(self) -> int:
        """As of `status --exit-code`, for all dates."""
        left = ExitCode.FAILED if self.not_begun else ExitCode.COMPLETE
        worst = worst_exit_code((left, *(table.exit_code for run in self.runs for table in run.tables)))
        return int(ExitCode.HELD if worst and self.state == "running" else worst)

    def only_failed(self) -> BackfillStatus:
        """The same with only its failed tables."""
        failed = (run.only_failed() for run in self.runs)
        return self.model_copy(update={"runs": tuple(run for run in failed if run.tables)})


def read_backfill_status(last: LastRun, asked: BackfillRange) -> BackfillStatus:
    """The status of the backfill that was started last. Raises like `read_status`."""
    base_path = Path(last.base_path)
    first, end = date.fromisoformat(asked.first), date.fromisoformat(asked.last)
    disk, runs, not_begun = reading_disk(base_path), list[RunStatus](), list[str]()
    for day, run_id in last.dated_runs:
        if disk.exists(layout.manifest_file(base_path, run_id)):
            runs.append(_of_begun_tables(base_path, run_id))
        else:
            not_begun.append(day.isoformat())
    states: set[str] = {run.state for run in runs}
    state = "incomplete" if not_begun and states <= {"complete"} else _worst(states)
    steps = () if runs else (NextStep(command=command("resume"), when="to begin it"),)
    if state not in {"complete", "running"} and runs:
        manifest = read_manifest(base_path, runs[0].run_id)
        commands = RunCommands.of_manifest(manifest, asked.tables_path, Path.cwd())
        steps = (NextStep(command=commands.backfill(first, end, asked.tables, asked.exclude), when="to go on"),)
    return BackfillStatus(
        first_date=asked.first,
        last_date=asked.last,
        state=state,
        runs=tuple(runs),
        not_begun=tuple(not_begun),
        next_steps=steps,
    )


def _of_begun_tables(base_path: Path, run_id: str) -> RunStatus:
    """A run's status for the tables that it has begun; others of the configuration are none of the backfill's."""
    begun = {table.key for table in read_manifest(base_path, run_id).tables}
    found = read_status(base_path, run_id)
    tables = tuple(table for table in found.tables if table.key in begun)
    state = state_of_tables({table.state for table in tables}, is_running=found.state == "running")
    counts = dict(Counter(table.state for table in tables).most_common())
    return found.only(tables).model_copy(update={"state": state, "counts": counts})


def _worst(states: set[str]) -> str:
    order = ("running", "failed", "incomplete", "pending", "complete")
    return next((state for state in order if state in states), "pending")
