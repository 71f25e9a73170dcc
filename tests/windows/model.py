"""A lake in memory: plays a history's commands with the product's own decisions, and reads rows as a source would.

What is decided, by the product: what a run does first (`decide_resume`), which window it takes (`kept_scope`,
`decide_scope`), what earlier extractions have taken (`Coverage`), and what is said of the rest (`uncovered_rows`). What
stands for it here: the state file, `_windows.json` and the commit records are values in memory, and a source is a list
of versions. `test_histories` holds this model against the real program.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from statekeeper.config.resolved import ExtractionConfig, LateCommits, NullRows, OnGap
from statekeeper.errors import PlanError
from statekeeper.hints.next_command import RunCommands
from statekeeper.model.column import SourceColumn
from statekeeper.model.manifest import run_id_of
from statekeeper.model.plan import Plan
from statekeeper.model.receipt import CountReceipt
from statekeeper.model.record import Published, StateRecord, Trigger
from statekeeper.model.state import State
from statekeeper.model.table import Scope, Window
from statekeeper.model.windows import TakenWindow
from statekeeper.plan.coverage import Coverage, Interval
from statekeeper.plan.dates import missing_dates, why_nothing_is_left
from statekeeper.plan.history import kept_scope
from statekeeper.plan.window import decide_scope, note_on_end
from statekeeper.plan.window_index import taken_window
from statekeeper.plan.window_source import time_axis
from statekeeper.run.resume import Reprocess, decide_resume, first_record
from statekeeper.run.uncovered import uncovered_rows
from statekeeper.runtime.active_plan import ActivePlan
from statekeeper.runtime.context import Run
from statekeeper.runtime.fingerprint import fingerprint_of, kept_fingerprint
from statekeeper.runtime.null_rows import judge_null_rows, untaken_null_rows
from statekeeper.sources.protocol import SourceSession
from statekeeper.sources.scope import wall_time
from statekeeper.store.files.disk import Disk, Writes
from statekeeper.store.layouts import layout_of

from .histories import Backfill, Column, Death, History, OldRun, RunDay, Settings, Version
from .lakes import PIPELINE, STAMP, Dataset, Ended, RowVersion, old_scope, table_in_model

_COLUMNS = {
    Column.ZONED: SourceColumn(name=STAMP, database_type="TIMESTAMP WITH TIME ZONE", read_type="timestamp[us, tz=UTC]"),
    Column.WALL: SourceColumn(name=STAMP, database_type="TIMESTAMP", read_type="timestamp[us]"),
    Column.SECONDS: SourceColumn(name=STAMP, database_type="DATE", read_type="timestamp[us]"),
    Column.DAYS: SourceColumn(name=STAMP, database_type="DATE", read_type="date32[day]"),
}


class NoFiles:
    """A disk on which nothing lies."""

    writes = Writes.RENAME

    def read(self, path: Path) -> bytes:
        raise FileNotFoundError(path)


@dataclass
class _Extraction:
    """What lies in the folder of a date: the state, what is staged for its plan, and what is published."""

    record: StateRecord
    snapshot: datetime | None = None
    """The true time of the plan's snapshot."""
    taken_nulls: int | None = None
    dataset: Dataset | None = None


@dataclass
class ModelLake:
    """The extractions of one table. `keeps_snapshots`: its source can be read at an earlier snapshot again."""

    history: History

    keeps_snapshots: bool
    settings: Settings = field(init=False)
    config: ExtractionConfig = field(init=False)
    _extractions: dict[date, _Extraction] = field(default_factory=dict)
    _taken: tuple[TakenWindow, ...] | None = None

    def __post_init__(self) -> None:
        self.configure(self.history.settings)

    # --- what a reader sees

    @property
    def datasets(self) -> dict[date, Dataset]:
        """What is published, by date."""
        return {day: each.dataset for day, each in self._extractions.items() if each.dataset is not None}

    # --- commands

    def lose_index(self) -> None:
        """`_windows.json` is gone."""
        self._taken = None

    def configure(self, settings: Settings) -> None:
        """From now on the table is configured like this."""
        self.settings, self.config = settings, table_in_model(settings)

    def run(self, command: RunDay) -> tuple[Ended, ...]:
        """`run --date`: how each date ended, the earlier ones that `on_gap: backfill` extracts first."""
        earlier = tuple(replace(command, day=day) for day in self._missing_dates(command.day))
        return self._in_order((*earlier, command), own=command)

    def backfill(self, command: Backfill) -> tuple[Ended, ...]:
        """`backfill --from --to`: how each date ended, in their order."""
        return self._in_order(tuple(RunDay(command.at, day, death=command.death) for day in command.days), own=None)

    def run_old(self, command: OldRun) -> None:
        """A run with the window that the command has."""
        self._run(RunDay(command.at, command.day), [], decided=old_scope(command, self.settings))

    def _in_order(self, runs: tuple[RunDay, ...], own: RunDay | None) -> tuple[Ended, ...]:
        """As `run.day` has it: each date after the earlier one; `own` is that of a run, which is refused if covered."""
        ends: list[Ended] = []
        for number, run in enumerate(runs):
            told: list[str] = []
            try:
                if run is not own and self._is_covered(run.day):
                    ends.append(Ended(run.day, "skipped"))
                    continue
                outcome = self._run(run, told)
            except _Killed:
                before = (
                    text for end in ends if end.outcome != "failed" for text in end.told
                )  # no report, no failures
                return (Ended((own or runs[-1]).day, "killed", (*before, *told)),)
            ends.append(Ended(run.day, outcome, tuple(told)))
            if outcome == "failed" and not self._has_taken_window(run.day):
                return (*ends, *(Ended(left.day, "pending") for left in runs[number + 1 :]))
        return tuple(ends)

    def _missing_dates(self, day: date) -> tuple[date, ...]:
        if self.config.on_gap is not OnGap.BACKFILL or self._has_taken_window(day):
            return ()
        return missing_dates(self.config, day, self._coverage())

    def _has_taken_window(self, day: date) -> bool:
        return any(window.date == day for window in self._coverage().taken)

    def _is_covered(self, day: date) -> bool:
        return day not in self._extractions and why_nothing_is_left(self.config, day, self._coverage()) is not None

    def _run(self, command: RunDay, told: list[str], *, decided: Scope | None = None) -> str:
        """The outcome of one date; `told` gets what is told on the way, also if the run is killed."""
        day, at, death = command.day, command.at, command.death
        fingerprint = fingerprint_of(self.config, None)
        found = self._extractions.setdefault(day, _Extraction(self._first_record(day, fingerprint)))
        reprocess = Reprocess.ALL if command.is_forced else Reprocess.STALE
        first = decide_resume(found.record, fingerprint=fingerprint, reprocess=reprocess, damage=None)
        if first.trigger is None and found.record.state is State.COMPLETE:
            return "skipped"
        if first.trigger is Trigger.RESTART:
            found.record = _in_state(found.record.without_plan(is_snapshot_lost=False), State.PENDING)
        elif found.record.state is State.FAILED:  # it was refused before it had a plan
            found.record = _in_state(found.record.with_new_attempt(), State.PENDING)
        if found.record.state is State.EXTRACTING and not self._can_be_read_again(found, at):
            found.record = _in_state(found.record.without_plan(is_snapshot_lost=True), State.PENDING)
        if found.record.state is State.PENDING:
            try:
                self._plan(found, command, fingerprint, decided, told)
            except PlanError as error:
                found.record = _in_state(found.record, State.FAILED)
                told.extend((error.message, error.hint or ""))
                return "failed"
            _die(death, Death.PLANNED)
        if found.record.state is State.EXTRACTING:
            told.extend(self._judge_nulls(found))
            found.record = _in_state(found.record, State.VALIDATING)
            _die(death, Death.READ)
        if not self._is_in_place(found):
            found.dataset = self._read(found)
        _die(death, Death.PUBLISHED)
        published = Published.model_construct(fingerprint=found.record.fingerprint)
        found.record = _in_state(found.record.model_copy(update={"published": published}), State.COMPLETE)
        return "completed"

    # --- planning

    def _plan(
        self, found: _Extraction, command: RunDay, fingerprint: str, decided: Scope | None, told: list[str]
    ) -> None:
        day, at = command.day, command.at
        run = self._run_of(day)
        layout = layout_of(
            run.pipeline.output.layout,
            base_path=Path("data"),
            table=self.config.table,
            extraction_date=day,
            run_id=run.run_id,
        )
        scope = kept_scope(cast("Disk", NoFiles()), layout, self.config, found.record, fingerprint)
        others = self._coverage().without((day.isoformat(), run.run_id))
        if scope is not None and others.leaves_hole_before(scope.covered):
            others = replace(others, claimed=Interval(scope.covered, scope.watermark))
            scope = None
        if scope is None and decided is not None:
            scope = decided
        incremental, shown = self.config.incremental, self.history.clock.at(at)
        assert incremental is not None
        axis = time_axis(self.config, (_COLUMNS[self.history.column],), cast("SourceSession", None), others)
        assert axis is not None
        if scope is None:
            since = self.history.open_since(at) if self.config.late_commits is LateCommits.WAIT else None
            scope = decide_scope(
                self.config,
                extraction_date=day,
                snapshot_time=shown,
                coverage=others,
                axis=axis,
                open_since=since,
            )
            if note := note_on_end(scope, snapshot_time=shown, axis=axis, open_since=since):
                told.append(note)
        taken = taken_window(scope, run.run_id, day, incremental.column)
        assert taken is not None
        now_taken = Coverage.of((*others.taken, taken))
        self._taken = now_taken.taken
        told.extend(uncovered_rows(now_taken, self.config, run))
        _die(command.death, Death.CLAIMED)
        plan_id = f"{at:%Y%m%d%H%M%S%f}"
        kept = kept_fingerprint(fingerprint, policies=frozenset())
        planned = found.record.planned(plan_id=plan_id, chunks_total=1, scope=scope, fingerprint=kept, at=at)
        found.record, found.snapshot = _in_state(planned, State.EXTRACTING), at
        found.taken_nulls = self._taken_nulls(others)

    def _coverage(self) -> Coverage:
        """As `WindowIndex` has it, whose document is `_taken`."""
        if self._taken is None:
            return Coverage.of(self._recorded())
        planning = {window.date for window in self._taken if not window.is_complete}
        kept = (window for window in self._taken if window.is_complete and window.date not in planning)
        again = (each for window in self._taken if not window.is_complete for each in self._with_planned(window))
        return Coverage.of((*kept, *again))

    def _recorded(self) -> Iterator[TakenWindow]:
        for day, each in self._extractions.items():
            if each.record.plan_id is not None and each.record.scope is not None:
                yield from self._with_planned(_window_of(each.record.scope, day, is_complete=False))
            elif each.dataset is not None:
                yield _window_of(each.dataset.scope, day, is_complete=True)

    def _with_planned(self, planned: TakenWindow) -> Iterator[TakenWindow]:
        dataset = self._extractions[planned.date].dataset
        complete = dataset and _window_of(dataset.scope, planned.date, is_complete=True)
        if complete:
            yield complete
        if complete is None or (complete.start, complete.end) != (planned.start, planned.end):
            yield planned

    def _run_of(self, day: date) -> Run:
        commands = RunCommands(config=f"{PIPELINE}.yml", tables_file=None, extraction_date=day, run_id=None)
        pipeline = SimpleNamespace(name=PIPELINE, output=SimpleNamespace(layout="dated"))
        run_id = run_id_of(PIPELINE, day)
        return cast("Run", SimpleNamespace(pipeline=pipeline, run_id=run_id, extraction_date=day, commands=commands))

    def _first_record(self, day: date, fingerprint: str) -> StateRecord:
        return first_record(self.config, self._run_of(day), fingerprint=fingerprint)

    # --- reading

    def _can_be_read_again(self, found: _Extraction, at: datetime) -> bool:
        assert found.snapshot is not None
        return self.keeps_snapshots or not any(
            found.snapshot < version.committed <= at for version in self.history.versions
        )

    def _is_in_place(self, found: _Extraction) -> bool:
        return found.dataset is not None and found.dataset.plan_id == found.record.plan_id

    def _read(self, found: _Extraction) -> Dataset:
        scope, at, plan_id = found.record.scope, found.snapshot, found.record.plan_id
        assert scope is not None
        assert scope.window is not None
        assert at is not None
        assert plan_id is not None
        rows = self.history.current(at).values()
        return Dataset(
            plan_id=plan_id,
            scope=scope,
            snapshot=at,
            rows=frozenset(_named(row) for row in rows if is_in_window(self.history, row, scope.window)),
            nulls=self._counted_nulls(found),
            untaken_nulls=untaken_null_rows(*self._nulls(found)),
        )

    def _judge_nulls(self, found: _Extraction) -> Iterator[str]:
        plan, counted = self._nulls(found)
        active = SimpleNamespace(config=self.config, plan=plan, key=self.config.table.key)
        if warning := judge_null_rows(cast("ActivePlan", active), counted):
            yield warning

    def _nulls(self, found: _Extraction) -> tuple[Plan, CountReceipt]:
        """What the product's judgement of rows without a stamp wants of a plan and of a count."""
        count = self._counted_nulls(found)
        plan = SimpleNamespace(reading=SimpleNamespace(scope=found.record.scope), taken_null_rows=found.taken_nulls)
        return cast("Plan", plan), cast("CountReceipt", SimpleNamespace(null_incremental_rows=count))

    def _counted_nulls(self, found: _Extraction) -> int | None:
        assert found.snapshot is not None
        if self.config.null_rows is NullRows.IGNORE:
            return None
        return sum(row.stamped is None for row in self.history.current(found.snapshot).values())

    def _taken_nulls(self, others: Coverage) -> int | None:
        """As `WindowIndex.taken_null_rows` has it."""
        complete = [window for window in others.taken if window.is_complete]
        newest = max(complete, key=lambda window: window.end, default=None)
        looked_at = [window.date for window in complete if window is newest or window.start is None]
        last = max(
            (self.datasets[day] for day in looked_at), key=lambda one: self.history.clock.at(one.snapshot), default=None
        )
        return None if last is None or last.nulls is None else last.nulls - (last.untaken_nulls or 0)


def is_in_window(history: History, version: Version, window: Window) -> bool:
    """Whether a window's condition selects a version, by the column's own comparison."""
    value = history.value(version)
    if value is None:
        return window.start is None
    return (window.start is None or bound(history, window.start, window) <= value) and (
        value < bound(history, window.end, window)
    )


def bound(history: History, instant: datetime, window: Window) -> datetime:
    """A bound as the column's values are compared with it."""
    if history.column is Column.ZONED:
        return instant
    return wall_time(instant, window, history.column.unit)


class _Killed(Exception):
    """The process is killed here."""


def _die(death: Death | None, here: Death) -> None:
    if death is here:
        raise _Killed


def _named(version: Version) -> RowVersion:
    return RowVersion(version.row, version.number)


def _in_state(record: StateRecord, state: State) -> StateRecord:
    return record.model_copy(update={"state": state})


def _window_of(scope: Scope, day: date, *, is_complete: bool) -> TakenWindow:
    taken = taken_window(scope, run_id_of(PIPELINE, day), day)
    assert taken is not None
    return taken.model_copy(update={"is_complete": is_complete})
