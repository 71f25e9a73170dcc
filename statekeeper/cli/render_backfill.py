"""How the result of a backfill is printed: a row per table with its dates counted, then what went wrong, by date."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from statekeeper.cli.render import counted, dated_problem, dated_problems, show_next, show_problems
from statekeeper.cli.screen import Column, Fit, Grid, Screen
from statekeeper.run.report import BackfillReport, TableReport
from statekeeper.text.amounts import count, duration, plural, size

if TYPE_CHECKING:
    from statekeeper.run.backfill_status import BackfillStatus

_PROBLEMS_SHOWN = 10


def show_backfill(report: BackfillReport, screen: Screen) -> None:
    """Show a backfill's result."""
    columns = (
        Column("table", fit=Fit.SHORTEN),
        Column("dates"),
        Column("rows", "right"),
        Column("size", "right"),
        Column("time", "right"),
    )
    by_table: dict[str, list[TableReport]] = {}
    for run in report.runs:
        for table in run.tables:
            by_table.setdefault(table.table.key, []).append(table)
    screen.grid(Grid(columns, tuple(_row(key, reports) for key, reports in by_table.items())))
    _show_what_went_wrong(report, screen)
    screen.line()
    outcomes = Counter(table.outcome.value for run in report.runs for table in run.tables)
    took = f" in {duration(report.duration_seconds)}" if report.duration_seconds else ""
    tables, dates = plural(len(by_table), "table"), plural(len(report.runs), "date")
    screen.line(f"{report.name}: {tables} on {dates}: {counted(outcomes)}{took}")
    if report.left_out:
        screen.line(f"left out, since they are extracted whole: {', '.join(report.left_out)}")
    screen.line(f"files: {report.base_path}")
    show_next(report.next_steps, screen)


def show_backfill_status(status: BackfillStatus, screen: Screen) -> None:
    """Show the status of a backfill: a row per date, failures with hints, and what to type next."""
    columns = (Column("date"), Column("state"), Column("tables"), Column("rows", "right"))
    rows: list[tuple[str, ...]] = [
        (run.extraction_date, run.state, counted(run.counts), count(sum(table.records or 0 for table in run.tables)))
        for run in status.runs
    ]
    rows += [(day, "not begun", "", "") for day in status.not_begun]
    screen.grid(Grid(columns, tuple(sorted(rows))))
    problems = [
        dated_problem(table.key, run.extraction_date, table.failure.message, table.failure.hint)
        for run in status.runs
        for table in run.tables
        if table.failure
    ]
    show_problems(problems[:_PROBLEMS_SHOWN], screen)
    screen.line()
    dates = counted(Counter([*(run.state for run in status.runs), *("not begun" for _ in status.not_begun)]))
    screen.line(f"the backfill from {status.first_date} to {status.last_date} is {status.state}: {dates}")
    show_next(status.next_steps, screen)


def _row(key: str, reports: list[TableReport]) -> tuple[str, ...]:
    return (
        key,
        counted(Counter(table.outcome.value for table in reports)),
        count(sum(table.records or 0 for table in reports)),
        size(sum(table.bytes or 0 for table in reports)),
        duration(sum(table.duration_seconds for table in reports) or None),
    )


def _show_what_went_wrong(report: BackfillReport, screen: Screen) -> None:
    problems = [problem for run in report.runs for problem in dated_problems(run)]
    show_problems(problems[:_PROBLEMS_SHOWN], screen)
    if len(problems) > _PROBLEMS_SHOWN:
        screen.line(f"and {plural(len(problems) - _PROBLEMS_SHOWN, 'further problem')}; --json has all of them")
