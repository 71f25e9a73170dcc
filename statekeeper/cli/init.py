"""The `init` command: writes a first configuration and its models from a live database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from statekeeper.cli import options
from statekeeper.cli.database import DatabaseOptions, database_options, describe, module_name
from statekeeper.cli.render import show_next
from statekeeper.cli.terminal import Terminal, Verbosity
from statekeeper.hints.next_command import command
from statekeeper.model.manifest import NextStep

if TYPE_CHECKING:
    from statekeeper.cli.screen import Screen
    from statekeeper.scaffold.draft import DraftReport


@click.command()
@database_options
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME",
    help="Only this table or view: NAME (of the one --schema), SCHEMA.NAME, or a pattern. May be given several times.",
)
@options.excluded_names
@click.option("--source-name", help="The source's name in the config. [default: the file's or the kind's]")
@click.option("--out", type=options.FILE, required=True, help="The config to write.")
@click.option(
    "--schemas-out", type=options.FILE, help="The models to write. [default: schemas/ and the config's name, .py]"
)
@options.output
@click.pass_context
def init(
    ctx: click.Context,
    /,
    *,
    schemas: tuple[str, ...],
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    source_name: str | None,
    out: Path,
    schemas_out: Path | None,
    is_json: bool,
    **database: Any,
) -> int:
    """Write a config and its pydantic models from the tables of a database. Overwrites nothing."""
    from statekeeper.scaffold.draft import Destination, write_draft

    terminal = ctx.ensure_object(Terminal)
    named = DatabaseOptions.of(ctx, database).database()
    destination = Destination(out, schemas_out or Path("schemas") / f"{module_name(out.stem)}.py")
    destination.require_free()
    described = describe(named.config(terminal.redactor), schemas, tables, exclude)
    report = write_draft(
        described,
        source_name=source_name or named.name,
        source=named.written,
        database=named.name,
        destination=destination,
    )
    if is_json or terminal.verbosity is Verbosity.NORMAL or report.left_out:
        terminal.show(report, _show, is_json=is_json)
    return 0


def _show(report: DraftReport, screen: Screen) -> None:
    for left in report.left_out:
        screen.line(f"{left.table} is commented out, since it cannot be extracted as it is:")
        for reason in left.reasons:
            screen.line(f"  {reason}")
    screen.line(f"{report.schemas}: {len(report.tables)} models")
    screen.line(f"{report.config}: {len(report.tables)} tables")
    steps = (command("check", "--connect", report.config), command("run", report.config))
    show_next((NextStep(command=steps[0]), NextStep(command=steps[1], when="then")), screen)
