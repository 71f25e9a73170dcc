"""The `statekeeper` command: each command parses, makes one call and renders.

Decides the commands, their options and what is printed where: results on standard output, log lines and errors on
standard error. `statekeeper.cli.invocation` turns errors into exit codes. Commands import database drivers and Arrow
only when they need them, so that `status` and `--help` start fast.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import click

from statekeeper import __version__
from statekeeper.cli import options, render
from statekeeper.cli.check import check
from statekeeper.cli.history import history
from statekeeper.cli.init import init
from statekeeper.cli.invocation import end, invoke
from statekeeper.cli.render_backfill import show_backfill, show_backfill_status
from statekeeper.cli.request import LastBackfill, RunRequest, last_backfill, locate
from statekeeper.cli.schemas import schemas
from statekeeper.cli.terminal import Terminal, Verbosity
from statekeeper.config.reading.references import Unset
from statekeeper.logs import LogFormat
from statekeeper.model.manifest import BackfillRange, NextStep, RunStatus
from statekeeper.model.preview import PlanReport
from statekeeper.run.choices import RunChoices
from statekeeper.run.status import read_status

_WATCH_SECONDS = 1.0
_EXIT_CODES = """Exit codes: 0 all complete; 1 some table failed; 2 wrong config or usage; 3 some table is held by
another runner; 4 a source could not be reached or refused the login; 130 or 143 interrupted, with the state saved.
Where several hold: 130 and 143 over 4 over 1 over 3."""

in_terminal = click.make_pass_decorator(Terminal)


def main() -> None:
    """Run the command line of this process, and exit."""
    end(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code, and never raises."""
    return invoke(app, arguments, program="statekeeper")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_EXIT_CODES)
@click.version_option(__version__, prog_name="statekeeper")
def app() -> None:
    """Extract database tables to validated Parquet; after any interruption, a second run continues the first."""


@app.command()
@options.new_run
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be done, as `plan` does, and write nothing.")
@click.option(
    "--force-reprocess", is_flag=True, help="Also extract what is complete; old data stays until the new is valid."
)
@options.placement
@options.output
@options.progress
@in_terminal
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


@app.command()
@options.date_range
@click.option(
    "--force-reprocess",
    is_flag=True,
    help="Also extract dates that are complete; old data stays until the new is valid.",
)
@options.placement
@options.output
@options.progress
@in_terminal
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


@app.command()
@options.known_run
@options.placement
@options.output
@click.option("--stale", is_flag=True, help="Also extract complete tables whose configuration has changed since.")
@options.progress
@in_terminal
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


@app.command()
@options.known_run
@options.output
@click.option("--failed", "is_failed_only", is_flag=True, help="Only the tables that failed.")
@click.option(
    "--exit-code",
    "has_exit_code",
    is_flag=True,
    help="Exit with 0 if the chosen tables are complete, 3 while the run is running, else 1 or 4: a table failed, or "
    "is not finished.",
)
@click.option("--watch", is_flag=True, help="Show it again every second while the run is running.")
@in_terminal
def status(
    terminal: Terminal,
    *,
    config: Path | None,
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    day: date | None,
    run_id: str | None,
    is_json: bool,
    is_failed_only: bool,
    has_exit_code: bool,
    watch: bool,
) -> int:
    """Show a run's status, read from its files only. Without CONFIG: the last run of this directory, or the last
    backfill.
    """
    if (config, day, run_id, tables, exclude) == (None, None, None, (), ()) and (backfilled := last_backfill()):
        return _show_backfill_status(
            terminal, backfilled, is_json=is_json, is_failed_only=is_failed_only, has_exit_code=has_exit_code
        )
    found = locate(config, day, run_id)
    while True:
        current = _chosen(read_status(found.base_path, found.run_id), tables, exclude)
        if watch and not is_json:
            terminal.screen.clear()
        shown = current.only_failed() if is_failed_only or terminal.verbosity is Verbosity.QUIET else current
        if is_json or terminal.verbosity is Verbosity.NORMAL or shown.tables:
            terminal.show(shown, render.show_status, is_json=is_json)
        if not watch or current.state != "running":
            return current.exit_code if has_exit_code else 0
        sys.stdout.flush()
        time.sleep(_WATCH_SECONDS)


def _show_backfill_status(
    terminal: Terminal, found: LastBackfill, *, is_json: bool, is_failed_only: bool, has_exit_code: bool
) -> int:
    from statekeeper.run.backfill_status import read_backfill_status

    current = read_backfill_status(found.last, found.asked)
    shown = current.only_failed() if is_failed_only else current
    if is_json or terminal.verbosity is Verbosity.NORMAL:
        terminal.show(shown, show_backfill_status, is_json=is_json)
    return current.exit_code if has_exit_code else 0


def _chosen(status: RunStatus, names: tuple[str, ...], exclude: tuple[str, ...]) -> RunStatus:
    """The status of the tables that --table and --exclude select; `state` stays the whole run's."""
    if not (names or exclude):
        return status
    from statekeeper.config.selection import select

    return status.only(select(status.tables, names, exclude=exclude, names_of=lambda table: table.names))


@app.command()
@options.new_run
@click.option("--types", "has_types", is_flag=True, help="Show the types of tables that are complete, too.")
@options.output
@in_terminal
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


@app.command()
@options.known_run
@options.output
@options.progress
@in_terminal
def verify(
    terminal: Terminal,
    *,
    config: Path | None,
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    day: date | None,
    run_id: str | None,
    is_json: bool,
    log_format: LogFormat,
    no_progress: bool,
) -> int:
    """Check everything that a run has published. Without CONFIG: the last run of this directory."""
    request = RunRequest.again(config, day, run_id)
    with terminal.extractor(request, log_format=log_format, is_live=not no_progress, unset=Unset.LEAVE) as extractor:
        report = extractor.verify(tables=tables, exclude=exclude)
    return terminal.show_result(report, render.show_verification, is_json=is_json)


@app.command()
@options.known_run
@click.option("--failed", is_flag=True, help="Reset every table that failed.")
@options.output
@in_terminal
def reset(
    terminal: Terminal,
    *,
    config: Path | None,
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    day: date | None,
    run_id: str | None,
    failed: bool,
    is_json: bool,
) -> int:
    """Make the next run start tables over: --failed, or each --table. Published data stays until then."""
    if failed == bool(tables):
        raise click.UsageError("say which tables: either --failed, or --table PATTERN (several times)")
    with terminal.extractor(RunRequest.again(config, day, run_id), has_workers=False, unset=Unset.LEAVE) as extractor:
        keys = extractor.reset_failed(exclude=exclude) if failed else extractor.reset(tables=tables, exclude=exclude)
        step = NextStep(command=extractor.commands.resume(), when="to extract what was reset")
    if is_json:
        terminal.screen.line(json.dumps({"run_id": extractor.identity.run_id, "reset": keys}, indent=2))
        return 0
    for key in keys:
        terminal.say(f"{key} is reset")
    if keys:
        terminal.say_next(step)
    else:
        terminal.say("no table failed: nothing to reset" if failed else "nothing to reset: not started yet")
    return 0


@app.command()
@in_terminal
def graph(terminal: Terminal) -> None:
    """Print the state machine as a Mermaid diagram."""
    from statekeeper.run.lifecycle import mermaid

    terminal.screen.line(mermaid().rstrip())


app.add_command(check)
app.add_command(history)
app.add_command(init)
app.add_command(schemas)
