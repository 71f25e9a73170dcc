"""The `schemas` commands: draft models from a live database, compare them with it, export them as JSON Schema.

Decides their options and what is printed; `statekeeper.scaffold`, `statekeeper.schemas` and
`statekeeper.cli.json_schemas` do the work.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from statekeeper.cli import options
from statekeeper.cli.database import DatabaseOptions, database_options, describe
from statekeeper.cli.render import show_next
from statekeeper.cli.request import RunRequest
from statekeeper.cli.terminal import Terminal
from statekeeper.errors import UsageError
from statekeeper.hints.next_command import chosen, command
from statekeeper.model.manifest import NextStep
from statekeeper.text.amounts import plural
from statekeeper.text.printable import in_lines

if TYPE_CHECKING:
    from statekeeper.cli.json_schemas import GeneratedFiles
    from statekeeper.config.resolved import ExtractionConfig
    from statekeeper.scaffold.inference import Inference
    from statekeeper.scaffold.tables import TableDraft

_check = click.option("--check", "is_check", is_flag=True, help="Write nothing; exit 1 if a file is not up to date.")
in_terminal = click.make_pass_decorator(Terminal)


@click.group()
def schemas() -> None:
    """Schemas of tables: infer them, compare them with the database, export them; and those of statekeeper's files."""


@schemas.command()
@click.argument("config", type=options.FILE, required=False)
@database_options
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME",
    help="Only this table: a name in CONFIG, or NAME or SCHEMA.NAME in the database, or a pattern. May be given "
    "several times.",
)
@options.excluded_names
@click.option("--inline", is_flag=True, help="YAML entries with inline `columns:` instead of pydantic models.")
@click.option("--out", type=options.FILE, help="The file to write. [default: standard output]")
@click.option("--force", is_flag=True, help="Replace the file of --out if it exists.")
@options.output
@click.pass_context
def infer(
    ctx: click.Context,
    /,
    *,
    config: Path | None,
    schemas: tuple[str, ...],
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    inline: bool,
    out: Path | None,
    force: bool,
    is_json: bool,
    **database: Any,
) -> int:
    """Write a strict schema for each table of CONFIG, or of a database, from its declaration there.

    Reads the dictionary and no row: declared types, lengths, digits and NOT NULL only.
    """
    from statekeeper.scaffold.inference import SchemaForm
    from statekeeper.scaffold.inference import infer as infer_schemas

    terminal = ctx.ensure_object(Terminal)
    if out is not None and not force and (out.exists() or out.is_symlink()):
        raise UsageError(f"{out} already exists and is not overwritten", hint="choose another --out, or add --force")
    wanted = DatabaseOptions.of(ctx, database)
    if config is None:
        named = wanted.database()
        name, described = named.name, describe(named.config(terminal.redactor), schemas, tables, exclude)
    elif wanted.is_given or schemas:
        raise UsageError("CONFIG already names the sources; found options of a database, too")
    else:
        name, described = _configured(terminal, config, tables, exclude)
    inference = infer_schemas(described, database=name, form=SchemaForm.COLUMNS if inline else SchemaForm.MODELS)
    code = _write_inference(terminal, inference, out, is_forced=force, is_json=is_json)
    if config is not None and out is not None and not is_json:
        terminal.say_next(_after_inference(config, out, tables, exclude, inference))
    return code


def _after_inference(
    config: Path, out: Path, tables: tuple[str, ...], exclude: tuple[str, ...], inference: Inference
) -> NextStep:
    model = next((table.model for table in inference.tables if table.model), None)
    if model is None:  # entries, which a run takes as they are
        return NextStep(command=command("plan", str(config), "--tables", str(out)))
    when = f"after each table names its model, such as `schema: {out}:{model}`"
    return NextStep(command=command("schemas", "diff", str(config), *chosen(tables, exclude)), when=when)


def _configured(
    terminal: Terminal, config: Path, names: tuple[str, ...], exclude: tuple[str, ...]
) -> tuple[str, tuple[TableDraft, ...]]:
    """A pipeline's name, and its tables as its sources describe them."""
    from statekeeper.scaffold.dictionary import describe_configured

    name, selected = _tables_of(terminal, config, names, exclude)
    return name, describe_configured(selected)


def _tables_of(
    terminal: Terminal, config: Path, names: tuple[str, ...], exclude: tuple[str, ...]
) -> tuple[str, tuple[ExtractionConfig, ...]]:
    from statekeeper.config.loader import load_pipeline
    from statekeeper.config.selection import select_tables
    from statekeeper.logs import secret_values

    pipeline = load_pipeline(config, environ=os.environ)
    terminal.redactor.add(secret_values(pipeline))
    return pipeline.name, select_tables(pipeline, names, exclude=exclude)


def _write_inference(
    terminal: Terminal, inference: Inference, out: Path | None, *, is_forced: bool, is_json: bool
) -> int:
    from statekeeper.scaffold.files import replace_file, write_new

    if out is not None:
        if is_forced:
            replace_file(out, inference.text)
        else:
            write_new({out: inference.text})
        inference = inference.written_to(str(out))
    if is_json:
        terminal.screen.line(inference.model_dump_json(indent=2))
        return inference.exit_code
    if out is None:
        terminal.screen.line(inference.text.rstrip("\n"))
    else:
        terminal.say(f"{out}: {plural(len(inference.tables), 'table')}")
    for left in inference.left_out:
        reasons = "".join(f"  {reason}\n" for reason in left.reasons)
        message = terminal.redactor(f"{left.table} cannot be extracted as it is:\n{reasons}")
        sys.stderr.write(in_lines(message))
    return inference.exit_code


@schemas.command()
@options.config_argument
@options.table_selection
@click.option(
    "--refused-only",
    is_flag=True,
    help="Only what a run would refuse: leave out differences in NULL.",
)
@options.output
@in_terminal
def diff(
    terminal: Terminal,
    *,
    config: Path,
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    refused_only: bool,
    is_json: bool,
) -> int:
    """Compare each table's model with the live table: new, lost and retyped columns, and which side allows NULL.

    Exits with 0 if they agree and with 1 if they differ; reads no row.
    """
    from statekeeper.cli.differences import show_differences

    with terminal.extractor(RunRequest(config)) as extractor:
        report = extractor.diff_schemas(tables=tables, exclude=exclude)
    if refused_only:
        report = report.only_refused()
    render = partial(show_differences, infer=lambda key: command("schemas", "infer", str(config), *chosen((key,))))
    code = terminal.show_result(report, render, is_json=is_json)
    if not is_json:
        terminal.say_next(*_after_diff((str(config), *chosen(tables, exclude)), code))
    return code


def _after_diff(named: tuple[str, ...], code: int) -> tuple[NextStep, ...]:
    match code:
        case 0:
            return (NextStep(command=command("plan", *named)),)
        case 1:
            return (NextStep(command=command("schemas", "diff", *named), when="after a model or a table is changed"),)
        case _:  # the source was not reached
            return ()


@schemas.command()
@options.config_argument
@options.table_selection
@click.option(
    "--out",
    type=options.FOLDER,
    metavar="DIR",
    help="A file for each table, in this folder. [default: standard output]",
)
@_check
@options.output
@in_terminal
def export(
    terminal: Terminal,
    *,
    config: Path,
    tables: tuple[str, ...],
    exclude: tuple[str, ...],
    out: Path | None,
    is_check: bool,
    is_json: bool,
) -> int:
    """Write the models of CONFIG's tables as JSON Schema (draft 2020-12), with the columns' names.

    Standard output gets one JSON object with a schema for each table.
    """
    from statekeeper.cli.json_schemas import as_files, as_object, schemas_of

    if is_check and out is None:
        raise click.UsageError("--check compares the files of a folder: add --out DIR")
    _, selected = _tables_of(terminal, config, tables, exclude)
    named = (str(config), *chosen(tables, exclude))
    exported = schemas_of(selected, infer=command("schemas", "infer", *named))
    if out is None:
        terminal.screen.line(as_object(exported))
        return 0
    files = as_files(exported, out, is_all=not (tables or exclude))
    again = ("schemas", "export", *named, "--out", str(out))
    return _write_or_check(terminal, files, is_check=is_check, is_json=is_json, again=again)


@schemas.command("json")
@click.option(
    "--out",
    type=options.FOLDER,
    default=Path("schemas/json"),
    show_default=True,
    help="The folder that they are written to.",
)
@_check
@options.output
@in_terminal
def schemas_json(terminal: Terminal, *, out: Path, is_check: bool, is_json: bool) -> int:
    """Write the JSON Schema of the config, the state, the metadata and every other file, for editors and tools."""
    from statekeeper.cli import json_schemas

    again = ("schemas", "json", "--out", str(out))
    return _write_or_check(terminal, json_schemas.files(out), is_check=is_check, is_json=is_json, again=again)


def _write_or_check(
    terminal: Terminal, files: GeneratedFiles, *, is_check: bool, is_json: bool, again: tuple[str, ...]
) -> int:
    """Write the files, or list those that are not up to date; `again` is the command that writes them."""
    paths = files.stale() if is_check else files.write()
    if is_json:
        terminal.screen.line(json.dumps({"stale" if is_check else "written": [str(path) for path in paths]}, indent=2))
        return int(is_check and bool(paths))
    for path in paths:
        if is_check:
            terminal.screen.line(f"{path} is not up to date")
        else:
            terminal.say(str(path))
    if not is_check:
        terminal.say_next(NextStep(command=command(*again, "--check"), when="to see whether they are up to date"))
    elif paths:
        show_next((NextStep(command=command(*again), when="to write them anew"),), terminal.screen)
    return int(is_check and bool(paths))
