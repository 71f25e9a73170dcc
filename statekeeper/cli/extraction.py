"""The commands that extract or show what would be extracted: `run`, `backfill`, `resume` and `plan`.

Each parses, makes one call and renders.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import click

from statekeeper.cli import options, render
from statekeeper.cli.render_backfill import show_backfill
from statekeeper.cli.request import RunRequest, last_backfill
from statekeeper.cli.terminal import Terminal
from statekeeper.logs import LogFormat
from statekeeper.model.manifest import BackfillRange, NextStep
from statekeeper.model.preview import PlanReport
from statekeeper.run.choices import RunChoices


@click.command()
@options.new_run
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be done, as `plan` does, and write nothing.")
@click.option(
    "--force-reprocess", is_flag=True, help="Also extract what is complete; old data stays until the new is valid."
)
@options.placement
@options.output
@options.progress
@click.make_pass_decorator(Terminal)
def run(
    terminal: Terminal,
    *,
    config: Path,
    tables_path: Path | None,
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    day: date | None,
    run_id: str | None,
    is_dry: bool,
    force_reprocess: bool,
    engine: str | None,
    is_databricks: bool,
    workers: int | None,
    is_json: bool,
    log_format: LogFormat,
    no_progress: bool,
) -> int:
    """Extract every table of CONFIG that is not complete yet."""
    choices = RunChoices(tables_path=tables_path, date=day, run_id=run_id, engine=engine, workers=workers)
    request = RunRequest(config, choices, is_databricks=is_databricks)
    with terminal.extractor(request, log_format=log_format, is_live=not (no_progress or is_dry)) as extractor:
        if is_dry:
            plans = extractor.preview(tables=tables, exclude=exclude, force_reprocess=force_reprocess)
            step = NextStep(command=extractor.commands.run_chosen(tables, exclude, is_forced=force_reprocess))
            return _show_plan(terminal, plans, step, is_json=is_json)
        report = extractor.run(tables=tables, exclude=exclude, force_reprocess=force_reprocess, report_interrupt=True)
    return terminal.show_result(report, render.show_run, is_json=is_json)


@click.command()
@options.date_range
@click.option(
    "--force-reprocess",
    is_flag=True,
    help="Also extract dates that are complete; old data stays until the new is valid.",
)
@options.placement
@options.output
@options.progress
@click.make_pass_decorator(Terminal)
def backfill(
    terminal: Terminal,
    *,
    config: Path,
    tables_path: Path | None,
    first: date,
    last: date,
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    force_reprocess: bool,
    engine: str | None,
    is_databricks: bool,
    workers: int | None,
    is_json: bool,
    log_format: LogFormat,
    no_progress: bool,
) -> int:
    """Extract every date of a range that is not complete yet, for the tables of CONFIG with an incremental_column."""
    choices = RunChoices(tables_path=tables_path, date=last, engine=engine, workers=workers)
    request = RunRequest(config, choices, is_databricks=is_databricks)
    asked = BackfillRange(first=first.isoformat(), last=last.isoformat(), tables=tables, exclude=exclude)
    progress = Progress(log_format, is_live=not no_progress)
    return _backfill(terminal, request, asked, progress, is_json=is_json, is_forced=force_reprocess)


@dataclass(frozen=True)
class Progress:
    """How progress is shown: the format of log lines, and whether there is a live display on a terminal."""

    log_format: LogFormat
    is_live: bool


def _backfill(
    terminal: Terminal,
    request: RunRequest,
    asked: BackfillRange,
    progress: Progress,
    *,
    is_json: bool,
    is_forced: bool = False,
) -> int:
    with terminal.extractor(
        request, log_format=progress.log_format, is_live=progress.is_live, has_one_run=False
    ) as extractor:
        report = extractor.backfill(
            from_=asked.first,
            to=asked.last,
            tables=asked.tables,
            exclude=asked.exclude,
            force_reprocess=is_forced,
            report_interrupt=True,
        )
    return terminal.show_result(report, show_backfill, is_json=is_json)


@click.command()
@options.known_run
@options.placement
@options.output
@click.option("--stale", is_flag=True, help="Also extract complete tables whose configuration has changed since.")
@options.progress
@click.make_pass_decorator(Terminal)
def resume(
    terminal: Terminal,
    *,
    config: Path | None,
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    day: date | None,
    run_id: str | None,
    engine: str | None,
    is_databricks: bool,
    workers: int | None,
    is_json: bool,
    stale: bool,
    log_format: LogFormat,
    no_progress: bool,
) -> int:
    """Continue a run of CONFIG: every table that is not complete, or each --table. Without CONFIG: the tables of the
    last run here, or the last backfill.
    """
    if (config, day, run_id, tables, exclude) == (None, None, None, (), ()) and (found := last_backfill()):
        choices = replace(found.request.choices, engine=engine, workers=workers)
        again = replace(found.request, choices=choices, is_databricks=is_databricks)
        return _backfill(terminal, again, found.asked, Progress(log_format, is_live=not no_progress), is_json=is_json)
    request = RunRequest.again(config, day, run_id, engine=engine, workers=workers, is_databricks=is_databricks)
    with terminal.extractor(request, log_format=log_format, is_live=not no_progress) as extractor:
        if config is None and not tables:
            report = extractor.resume_begun(exclude=exclude, stale=stale, report_interrupt=True)
        else:
            report = extractor.resume(tables=tables, exclude=exclude, stale=stale, report_interrupt=True)
    return terminal.show_result(report, render.show_run, is_json=is_json)


@click.command()
@options.new_run
@click.option("--types", "has_types", is_flag=True, help="Show the types of tables that are complete, too.")
@options.output
@click.make_pass_decorator(Terminal)
def plan(
    terminal: Terminal,
    *,
    config: Path,
    tables_path: Path | None,
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    day: date | None,
    run_id: str | None,
    has_types: bool,
    is_json: bool,
) -> int:
    """Show what a run of CONFIG would do with each table, and each column's exact type; writes nothing."""
    request = RunRequest(config, RunChoices(tables_path=tables_path, date=day, run_id=run_id))
    with terminal.extractor(request) as extractor:
        report = extractor.preview(tables=tables, exclude=exclude, all_types=has_types)
        step = NextStep(command=extractor.commands.run_chosen(tables, exclude))
    return _show_plan(terminal, report, step, is_json=is_json)


def _show_plan(terminal: Terminal, report: PlanReport, step: NextStep, *, is_json: bool) -> int:
    code = terminal.show_result(report, render.show_plan, is_json=is_json)
    if not (is_json or code):
        terminal.say_next(step)
    return code
