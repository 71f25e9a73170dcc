"""The `check` command: validates a config before it is run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from statekeeper.cli import options, render
from statekeeper.cli.request import RunRequest
from statekeeper.cli.terminal import Terminal
from statekeeper.hints.next_command import command
from statekeeper.model.manifest import NextStep
from statekeeper.run.choices import RunChoices
from statekeeper.text.amounts import plural


@click.command()
@options.config_argument
@options.tables_file
@options.table_selection
@click.option("--connect", "is_connecting", is_flag=True, help="Also log in to each source and describe each table.")
@click.option(
    "--offline",
    "is_offline",
    is_flag=True,
    help="Continue if variables or secrets of sources are not set.",
)
@options.output
@click.make_pass_decorator(Terminal)
def check(
    terminal: Terminal,
    *,
    config: Path,
    tables_path: Path | None,
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    is_connecting: bool,
    is_offline: bool,
    is_json: bool,
) -> int:
    """Check CONFIG and its models; show every error with its place. Connects to nothing without --connect.

    Imports the model files.
    """
    from statekeeper.config.reading.references import Unset
    from statekeeper.config.selection import select_tables
    from statekeeper.plan.check_pipeline import load_checked

    if is_connecting and is_offline:
        raise click.UsageError("expected either --connect or --offline; found both")
    unset = Unset.LEAVE if is_offline else Unset.REFUSE
    pipeline = load_checked(config, environ=os.environ, tables_path=tables_path, unset=unset)
    named = (str(config), *(("--tables", str(tables_path)) if tables_path else ()))
    if is_connecting:
        with terminal.extractor(RunRequest(config, RunChoices(tables_path=tables_path))) as extractor:
            report = extractor.check_connections(tables=tables, exclude=exclude)
        code = terminal.show_result(report, render.show_connections, is_json=is_json)
        if not (is_json or code):
            terminal.say_next(NextStep(command=command("plan", *named)))
        return code
    keys = [table.table.key for table in select_tables(pipeline, tables, exclude=exclude)]
    if is_json:
        found = {"pipeline": pipeline.name, "tables": keys} | ({"unset": pipeline.unset} if is_offline else {})
        terminal.screen.line(json.dumps(found, indent=2))
        return 0
    for text in pipeline.unset:
        terminal.say(f"not checked: {text}")
    terminal.say(f"{config} is valid: pipeline {pipeline.name}, {plural(len(keys), 'table')}")
    terminal.say_next(NextStep(command=command("check", "--connect", *named)))
    return 0
