"""How reports are printed: columns, words and the lines below a table; and their JSON.

Decides the wording only: the values come from reports, and `statekeeper.cli.screen` draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import assert_never

from statekeeper.cli.screen import Column, Fit, Grid, Screen
from statekeeper.model.manifest import NextStep, ProcessStatus, RunStatus
from statekeeper.model.preview import PlanReport, TablePlan
from statekeeper.model.table import Position, position_text
from statekeeper.run.report import Outcome, RunReport
from statekeeper.runtime.progress import without_name
from statekeeper.text.amounts import count, duration, moment, plural, size

_AT_WORK = ("extracting", "validating")
_ORDER = ("failed", "damaged", *_AT_WORK, "pending", "complete")
_AROUND_TABLES = 8
"""Terminal lines reserved for what is above and below the rows of tables."""
_TABLES_NAMED = 5


@dataclass(frozen=True)
class Problem:
    """A failure or a note to show below a table of results."""

    table: str
    message: str
    hint: str | None


def show_run(report: RunReport, screen: Screen) -> None:
    """Show a run's result: a row per table, failures with hints, and where the files are."""
    _show_outcomes(report, screen, {outcome: outcome.value for outcome in Outcome})


def show_verification(report: RunReport, screen: Screen) -> None:
    """Show a verification's result: a table that a run would skip is called verified."""
    _show_outcomes(report, screen, {outcome: outcome.value for outcome in Outcome} | {Outcome.SKIPPED: "verified"})


def _show_outcomes(report: RunReport, screen: Screen, words: Mapping[Outcome, str]) -> None:
    columns = (
        Column("table", fit=Fit.SHORTEN),
        Column("result"),
        Column("rows", "right"),
        Column("size", "right"),
        Column("time", "right"),
        Column("where", fit=Fit.DROP),
        *_through_column(table.covered_through for table in report.tables),
    )
    has_through = any(table.covered_through is not None for table in report.tables)
    rows = tuple(
        (
            table.table.key,
            words[table.outcome],
            count(table.records),
            size(table.bytes),
            duration(table.duration_seconds or None),
            table.output_path or "",
            *((moment(table.covered_through),) if has_through else ()),
        )
        for table in report.tables
    )
    screen.grid(Grid(columns, rows))
    failed = [
        Problem(table.table.key, table.failure.message, table.failure.hint) for table in report.tables if table.failure
    ]
    _show_remarks(
        ((table.table.key, table.remarks) for table in report.tables if table.outcome is Outcome.COMPLETED), screen
    )
    stale = [
        Problem(table.table.key, f"stale: its {' and '.join(table.stale)} changed since it was extracted", None)
        for table in report.tables
        if table.stale
    ]
    reasons = [
        Problem(table.table.key, f"{table.outcome}: {table.reason}", None)
        for table in report.tables
        if table.reason and not table.failure and table.outcome is not Outcome.SKIPPED
    ]
    show_problems([*failed, *reasons, *stale], screen)
    for earlier in report.earlier:
        screen.line()
        outcomes = counted(Counter(words[table.outcome] for table in earlier.tables))
        screen.line(f"before it, {earlier.run_id}: {outcomes}")
        show_problems(dated_problems(earlier), screen)
    screen.line()
    outcomes = counted(Counter(words[table.outcome] for table in report.tables))
    took = f" in {duration(report.duration_seconds)}" if report.duration_seconds else ""
    screen.line(f"{report.run_id}: {outcomes}{took}")
    screen.line(f"files: {report.base_path}")
    show_next(report.next_steps, screen)


def dated_problems(report: RunReport) -> list[Problem]:
    """What went wrong in a run that is shown among those of other dates: each table is named with its date."""
    return [
        dated_problem(
            table.table.key,
            report.extraction_date,
            table.failure.message if table.failure else f"{table.outcome}: {table.reason}",
            table.failure.hint if table.failure else None,
        )
        for table in report.tables
        if table.outcome in {Outcome.FAILED, Outcome.HELD}
    ]


def dated_problem(key: str, day: str, message: str, hint: str | None) -> Problem:
    """A problem of a table on one of several dates."""
    return Problem(f"{key} of {day}", without_name(key, message), hint)


def show_status(status: RunStatus, screen: Screen) -> None:
    """Show a run's status: failed tables, then active ones, then the rest; reasons, counts, and what to type next.

    A terminal with fewer lines than tables shows the rest only as a count.
    """
    tables = sorted(status.tables, key=lambda table: _ORDER.index(table.state))
    if screen.is_terminal and len(tables) > screen.height - _AROUND_TABLES:
        tables = [table for table in tables if table.has_failed or table.state in _AT_WORK]
    columns = (
        Column("table", fit=Fit.SHORTEN),
        Column("state"),
        Column("chunks", "right"),
        Column("rows", "right"),
        Column("size", "right"),
        Column("attempts", "right"),
        Column("time", "right"),
        Column("where", fit=Fit.DROP),
        *_through_column(table.covered_through for table in tables),
    )
    has_through = any(table.covered_through is not None for table in tables)
    rows = tuple(
        (
            table.key,
            table.state,
            f"{table.chunks.done}/{table.chunks.total}" if table.chunks.total else "",
            count(table.records),
            size(table.bytes),
            count(table.attempts or None),
            duration(table.duration_seconds),
            table.output_path or "",
            *((moment(table.covered_through),) if has_through else ()),
        )
        for table in tables
    )
    screen.grid(Grid(columns, rows))
    _show_remarks(((table.key, table.remarks) for table in tables), screen)
    show_problems(
        [Problem(table.key, table.failure.message, table.failure.hint) for table in tables if table.failure],
        screen,
    )
    _show_waits(status, screen, now=datetime.now(UTC))
    if rows:
        screen.line()
    states = counted(status.counts)
    screen.line(f"{status.run_id} of {status.extraction_date} is {status.state}: {states}")
    for process in status.processes:
        screen.line(_process(process))
    show_next(status.next_steps, screen)


def show_next(steps: Iterable[NextStep], screen: Screen) -> None:
    """Show what to type next, one line per step."""
    for step in steps:
        screen.line(f"next: {step.command}" if step.when is None else f"next, {step.when}: {step.command}")


def _process(process: ProcessStatus) -> str:
    where = f"process {process.pid} on {process.host}"
    match process.liveness:
        case "alive":
            return f"running: {where}" + (f" since {_moment(process.since)}" if process.since else "")
        case "dead":
            return f"not running: {where} ended without finishing (it was killed, or the machine restarted)"
        case "unknown":
            return f"perhaps running: {where}, which is another machine and cannot be checked from here"
        case _ as never:
            assert_never(never)


def _through_column(found: Iterable[Position | None]) -> tuple[Column, ...]:
    """The column of how far windows cover a table, if any table has windows."""
    return (Column("covered to", fit=Fit.DROP),) if any(one is not None for one in found) else ()


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _show_waits(status: RunStatus, screen: Screen, *, now: datetime) -> None:
    for table in status.tables:
        if table.waiting:
            waited = duration((now - table.waiting.since).total_seconds())
            screen.line(f"{table.key} has waited {waited} for {table.waiting.what}")


def show_plan(report: PlanReport, screen: Screen) -> None:
    """Show what a run would do with each table and why, then each column's types in the database and in the file."""
    for table in report.tables:
        _show_table_plan(table, screen)
    screen.line(f"{report.run_id} would: {counted(Counter(table.verdict.value for table in report.tables))}")
    screen.line(f"files: {report.base_path}")


def show_connections(report: PlanReport, screen: Screen) -> None:
    """Show the result of `check --connect`: for each table whether it can be read, and why not."""
    for table in report.tables:
        if table.failure is None:
            screen.line(f"{table.table.key}: readable, {plural(len(table.columns), 'column')}, each of an exact type")
            for note in table.notes:
                screen.line(f"  note: {note}")
        else:
            _show_problem(Problem(table.table.key, table.failure.message, table.failure.hint), screen)


def _show_table_plan(table: TablePlan, screen: Screen) -> None:
    facts = [table.verdict.value]
    if table.scope is not None:
        window = table.scope.window
        facts.append(table.scope.mode.value)
        if window is not None:
            start = "the beginning" if window.start is None else position_text(window.start)
            facts.append(f"{window.column} from {start} to before {position_text(window.end)}")
    if table.chunks is not None:
        facts.append(plural(table.chunks, "chunk"))
    if table.estimated_rows is not None:
        facts.append(f"about {plural(table.estimated_rows, 'row')}")
    screen.line(f"{table.table.key}: {', '.join(facts)}" + (f" ({table.reason})" if table.reason else ""))
    columns = (
        Column("column", fit=Fit.SHORTEN),
        Column("database type", fit=Fit.SHORTEN),
        Column("file type"),
        Column("null"),
    )
    rows = tuple(
        (column.name, column.database_type, column.arrow_type, "yes" if column.is_nullable else "no")
        for column in table.columns
    )
    screen.grid(Grid(columns, rows, indent=2))
    for note in table.notes:
        screen.line(f"  note: {note}")
    if table.failure is not None:
        _show_problem(Problem(table.table.key, table.failure.message, table.failure.hint), screen)
    screen.line()


def _show_remarks(remarks: Iterable[tuple[str, tuple[str, ...]]], screen: Screen) -> None:
    for table, sentences in remarks:
        for sentence in sentences:
            screen.line(f"{table}: {sentence}")


def show_problems(problems: list[Problem], screen: Screen) -> None:
    """Show each failure once, with all tables that have it."""
    equal: dict[tuple[str, str | None], list[Problem]] = {}
    for problem in problems:
        equal.setdefault((problem.message.replace(problem.table, ""), problem.hint), []).append(problem)
    for first, *others in equal.values():
        screen.line()
        _show_problem(first, screen)
        if others:
            named = ", ".join(problem.table for problem in others[:_TABLES_NAMED])
            more = f" and {plural(len(others) - _TABLES_NAMED, 'further table')}" if len(others) > _TABLES_NAMED else ""
            screen.line(f"  the same for {named}{more}")


def _show_problem(problem: Problem, screen: Screen) -> None:
    is_named = problem.table in problem.message
    screen.line(problem.message if is_named else f"{problem.table}: {problem.message}")
    if problem.hint:
        screen.line(f"  hint: {problem.hint}")


def counted(words: Mapping[str, int]) -> str:
    """`5 complete, 1 failed`, the most frequent first."""
    return ", ".join(f"{number} {word}" for word, number in Counter(words).most_common()) or "no tables"
