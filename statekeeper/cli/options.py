"""The options that several commands share, each defined once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from statekeeper.cli.terminal import Terminal, Verbosity
from statekeeper.config.root import expanded
from statekeeper.config.sections.dates import resolve_date
from statekeeper.config.sections.engines import ENGINES
from statekeeper.logs import LogFormat
from statekeeper.registry import Registry

Command = TypeVar("Command", bound=Callable[..., Any])


class _UserPath(click.Path):
    """A path relative to the working directory; `~` is the home folder, even if no shell expanded it."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(expanded(str(value)), param, ctx)


class KindOf(click.Choice):  # type: ignore[type-arg] # no generic before click 8.2
    """One of a registry's kinds, including those of installed packages; they are listed only when needed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        super().__init__(())

    @property
    def choices(self) -> tuple[str, ...]:
        return self._registry.names

    @choices.setter
    def choices(self, names: tuple[str, ...]) -> None:
        """Ignore click's own, empty choices."""


FILE = _UserPath(path_type=Path, dir_okay=False)
FOLDER = _UserPath(path_type=Path, file_okay=False)


class _Day(click.ParamType):  # type: ignore[type-arg] # no generic before click 8.4
    """A date as `YYYY-MM-DD`, `today` or `yesterday`, in UTC as in a config."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        if isinstance(value, date):
            return value
        try:
            return resolve_date(value, today=datetime.now(UTC).date())
        except ValueError:
            expected = "expected YYYY-MM-DD, such as 2026-01-06, or today or yesterday"
            self.fail(f"{value!r} is not a date: {expected}", param, ctx)


def _date_option(explained: str) -> Callable[[Command], Command]:
    return click.option("--date", "day", type=_Day(), help=explained)


def _run_id_option(explained: str) -> Callable[[Command], Command]:
    return click.option("--run-id", metavar="ID", help=explained)


def _group(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order of --help."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def config_argument(command: Command) -> Command:
    """CONFIG, required."""
    return click.argument("config", type=FILE)(command)


def config_argument_or_last_run(command: Command) -> Command:
    """CONFIG, optional in a directory where a run was started."""
    return click.argument("config", type=FILE, required=False)(command)


tables_file = click.option(
    "--tables", "tables_path", type=FILE, metavar="FILE", help="Take the tables from this JSON or YAML file."
)
table_names = click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="PATTERN",
    help="Only this table: NAME, SCHEMA.NAME or SOURCE.SCHEMA.NAME, or a pattern such as 'fin.*'. May be given several "
    "times.",
)
excluded_names = click.option(
    "--exclude",
    metavar="PATTERN",
    multiple=True,
    help="Not this table, or those that a pattern matches, as in --table. May be given several times.",
)
extraction_date = _date_option(
    "The extraction date, also `today` or `yesterday`. [default: the config's extraction_date, which is today]"
)
new_run_id = _run_id_option("The run's name. [default: PIPELINE-YYYYMMDD]")
first_date = click.option(
    "--from", "first", type=_Day(), required=True, help="The first extraction date, also `today` or `yesterday`."
)
last_date = click.option(
    "--to", "last", type=_Day(), required=True, help="The last extraction date, also `today` or `yesterday`."
)
known_date = _date_option("The run of this extraction date, also `today` or `yesterday`. [default: the newest run]")
known_run_id = _run_id_option("The run of this name. [default: the newest of CONFIG, or the last of this directory]")
engine = click.option(
    "--engine",
    type=KindOf(ENGINES),
    help="Where chunks are read: in processes of this machine, or on Spark. [default: the config's execution.engine]",
)
databricks = click.option(
    "--databricks",
    "is_databricks",
    is_flag=True,
    help="Run as on Databricks: on its Spark session, with output where its executors can write.",
)
workers = click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many processes read at once. [default: the config's execution.workers]",
)

table_selection = _group(table_names, excluded_names)
"""--table and --exclude, the same for every command that selects tables."""


def _set_quiet(ctx: click.Context, _param: click.Parameter, is_quiet: bool) -> None:  # noqa: FBT001 - click's signature
    if is_quiet:
        ctx.obj = replace(ctx.ensure_object(Terminal), verbosity=Verbosity.QUIET)


quiet = click.option(
    "--quiet",
    "-q",
    is_flag=True,
    expose_value=False,
    callback=_set_quiet,
    help="Print only what went wrong; nothing on success.",
)
as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON instead of a table.")
log_format = click.option(
    "--log-format",
    type=click.Choice(LogFormat, case_sensitive=False),
    default=LogFormat.HUMAN,
    show_default="human",
    help="The format of log lines on standard error; json is one object per line, without the live display.",
)
no_progress = click.option("--no-progress", is_flag=True, help="Log lines instead of the live display on a terminal.")

new_run = _group(config_argument, tables_file, table_selection, extraction_date, new_run_id)
"""CONFIG, tables, date and run id of a run that may not be on disk yet."""
date_range = _group(config_argument, tables_file, first_date, last_date, table_selection)
"""CONFIG, the dates of a range, and tables."""
known_run = _group(config_argument_or_last_run, table_selection, known_date, known_run_id)
"""A run that is on disk, and its selected tables."""
placement = _group(engine, databricks, workers)
"""Where chunks are read."""
output = _group(as_json, quiet)
"""What is printed about the result."""
progress = _group(log_format, no_progress)
"""What is printed on standard error during the work."""
