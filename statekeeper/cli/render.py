"""What the reports look like: which columns, which words, what stands under them; and their JSON twins.

Decides the wording only: the values come as reports, and `statekeeper.cli.screen` draws.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from statekeeper.amounts import count, duration, plural, size
from statekeeper.cli.screen import Column, Fit, Grid, Screen
from statekeeper.model.manifest import RunStatus, TableStatus
from statekeeper.model.preview import PlanReport, TablePlan
from statekeeper.report import Outcome, RunReport


@dataclass(frozen=True)
class _Trouble:
    """A failure as it is shown under a table of results."""

    table: str
    message: str
    hint: str | None


def show_run(report: RunReport, screen: Screen) -> None:
    """A run's result: a row per table, failures with hints, and where the files are."""
    _show_outcomes(report, screen, {outcome: outcome.value for outcome in Outcome})


def show_run_without_config(report: RunReport, screen: Screen) -> None:
    """The same of a run that no configuration describes: it cannot be resumed by its name alone."""
    _show_outcomes(report, screen, {outcome: outcome.value for outcome in Outcome}, again="the same command")


def show_verification(report: RunReport, screen: Screen) -> None:
    """The same of a verification, which extracts nothing: what a run would skip is verified."""
    _show_outcomes(report, screen, {outcome: outcome.value for outcome in Outcome} | {Outcome.SKIPPED: "verified"})


def _show_outcomes(
    report: RunReport, screen: Screen, words: Mapping[Outcome, str], *, again: str = "`statekeeper resume`"
) -> None:
    columns = (
        Column("table", fit=Fit.SHORTEN),
        Column("result"),
        Column("rows", "right"),
        Column("size", "right"),
        Column("time", "right"),
        Column("where", fit=Fit.DROP),
    )
    rows = tuple(
        (
            table.table.key,
            words[table.outcome],
            count(table.records),
            size(table.bytes),
            duration(table.duration_seconds or None),
            table.output_path or "",
        )
        for table in report.tables
    )
    screen.grid(Grid(columns, rows))
    failed = [
        _Trouble(table.table.key, table.failure.message, table.failure.hint) for table in report.tables if table.failure
    ]
    _show_remarks(
        ((table.table.key, table.remarks) for table in report.tables if table.outcome is Outcome.COMPLETED), screen
    )
    told = {table.table for table in report.tables if table.failure}
    others = [
        _Trouble(table.table.key, f"{table.outcome}: {table.reason}", None)
        for table in report.tables
        if table.reason and table.table not in told and table.outcome is not Outcome.SKIPPED
    ]
    _show_troubles([*failed, *others], screen)
    screen.line()
    counted = _counted(words[table.outcome] for table in report.tables)
    took = f" in {duration(report.duration_seconds)}" if report.duration_seconds else ""
    screen.line(f"{report.run_id}: {counted}{took}")
    screen.line(f"files: {report.base_path}")
    if report.exit_code != 0:
        screen.line(f"next: {again} goes on from here; `statekeeper status` shows it again")


def run_json(report: RunReport) -> str:
    """The JSON twin of `show_run`."""
    return report.model_dump_json(indent=2)


def show_status(status: RunStatus, screen: Screen) -> None:
    """How a run stands: a row per table, failures with hints, and the state of the whole."""
    columns = (
        Column("table", fit=Fit.SHORTEN),
        Column("state"),
        Column("chunks", "right"),
        Column("rows", "right"),
        Column("size", "right"),
        Column("attempts", "right"),
        Column("time", "right"),
        Column("where", fit=Fit.DROP),
    )
    rows = tuple(
        (
            _key(table),
            table.state,
            f"{table.chunks.done}/{table.chunks.total}" if table.chunks.total else "",
            count(table.records),
            size(table.bytes),
            count(table.attempts or None),
            duration(table.duration_seconds),
            table.output_path or "",
        )
        for table in status.tables
    )
    screen.grid(Grid(columns, rows))
    _show_remarks(((_key(table), table.remarks) for table in status.tables), screen)
    _show_troubles(
        [_Trouble(_key(table), table.failure.message, table.failure.hint) for table in status.tables if table.failure],
        screen,
    )
    _show_waits(status, screen, now=datetime.now(UTC))
    screen.line()
    counted = _counted(table.state for table in status.tables)
    screen.line(f"{status.run_id} of {status.extraction_date} is {status.state}: {counted}")


def _show_waits(status: RunStatus, screen: Screen, *, now: datetime) -> None:
    for table in status.tables:
        if table.waiting:
            waited = duration((now - table.waiting.since).total_seconds())
            screen.line(f"{_key(table)} has waited {waited} for {table.waiting.what}")


def status_json(status: RunStatus) -> str:
    """The JSON twin of `show_status`."""
    return status.model_dump_json(indent=2)


def show_plan(report: PlanReport, screen: Screen) -> None:
    """What a run would do: per table the verdict and why, then each column's database type and the file's type."""
    for table in report.tables:
        _show_table_plan(table, screen)
    screen.line(f"{report.run_id} would: {_counted(table.verdict.value for table in report.tables)}")
    screen.line(f"files: {report.base_path}")


def show_connections(report: PlanReport, screen: Screen) -> None:
    """What `check --connect` found: per table whether it can be read, and why not."""
    for table in report.tables:
        if table.failure is None:
            screen.line(f"{table.table.key}: readable, {plural(len(table.columns), 'column')}, each of an exact type")
            for note in table.notes:
                screen.line(f"  note: {note}")
        else:
            _show_trouble(_Trouble(table.table.key, table.failure.message, table.failure.hint), screen)


def plan_json(report: PlanReport) -> str:
    """The JSON twin of `show_plan`."""
    return report.model_dump_json(indent=2)


def _show_table_plan(table: TablePlan, screen: Screen) -> None:
    facts = [table.verdict.value]
    if table.scope is not None:
        window = table.scope.window
        facts.append(table.scope.mode.value)
        if window is not None:
            start = window.start.isoformat() if window.start else "the beginning"
            facts.append(f"{window.column} from {start} to before {window.end.isoformat()}")
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
        _show_trouble(_Trouble(table.table.key, table.failure.message, table.failure.hint), screen)
    screen.line()


def _show_remarks(remarks: Iterable[tuple[str, tuple[str, ...]]], screen: Screen) -> None:
    for table, sentences in remarks:
        for sentence in sentences:
            screen.line(f"{table}: {sentence}")


def _show_troubles(troubles: list[_Trouble], screen: Screen) -> None:
    for trouble in troubles:
        screen.line()
        _show_trouble(trouble, screen)


def _show_trouble(trouble: _Trouble, screen: Screen) -> None:
    is_named = trouble.table in trouble.message
    screen.line(trouble.message if is_named else f"{trouble.table}: {trouble.message}")
    if trouble.hint:
        screen.line(f"  hint: {trouble.hint}")


def _key(table: TableStatus) -> str:
    return ".".join(part for part in (table.source_name, table.schema_name, table.table_name) if part)


def _counted(words: Iterable[str]) -> str:
    """`5 complete, 1 failed`, the most frequent first."""
    return ", ".join(f"{number} {word}" for word, number in Counter(words).most_common()) or "no tables"
