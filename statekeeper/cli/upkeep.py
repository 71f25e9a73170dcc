"""The commands for what runs have left: `verify` and `reset`; and `graph`, the states that a table can have.

Each parses, makes one call and renders.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import click

from statekeeper.cli import options, render
from statekeeper.cli.request import RunRequest
from statekeeper.cli.terminal import Terminal
from statekeeper.config.reading.references import Unset
from statekeeper.logs import LogFormat
from statekeeper.model.manifest import NextStep


@click.command()
@options.known_run
@options.output
@options.progress
@click.make_pass_decorator(Terminal)
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
    """Check everything that a run has published. Without CONFIG: the last run of this directory or, after a backfill,
    the newest date that it has begun.
    """
    request = RunRequest.again(config, day, run_id)
    with terminal.extractor(request, log_format=log_format, is_live=not no_progress, unset=Unset.LEAVE) as extractor:
        report = extractor.verify(tables=tables, exclude=exclude)
    return terminal.show_result(report, render.show_verification, is_json=is_json)


@click.command()
@options.known_run
@click.option("--failed", is_flag=True, help="Reset every table that failed.")
@options.output
@click.make_pass_decorator(Terminal)
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


@click.command()
@click.make_pass_decorator(Terminal)
def graph(terminal: Terminal) -> None:
    """Print the state machine as a Mermaid diagram."""
    from statekeeper.run.lifecycle import mermaid

    terminal.screen.line(mermaid().rstrip())
