"""The command `status`: the state of a run or of a backfill, read from files alone."""

from __future__ import annotations

import sys
import time
from datetime import date
from pathlib import Path

import click

from statekeeper.cli import options, render
from statekeeper.cli.render_backfill import show_backfill_status
from statekeeper.cli.request import LastBackfill, last_backfill, locate
from statekeeper.cli.terminal import Terminal, Verbosity
from statekeeper.model.manifest import RunStatus
from statekeeper.run.status import read_status

_WATCH_SECONDS = 1.0


@click.command()
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
@click.make_pass_decorator(Terminal)
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
