"""The `init` command: a first configuration, and its models, from a live database.

Decides how the database is named and what of that goes into the file: a password only ever as `${ORACLE_PASSWORD}`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from statekeeper.cli import options
from statekeeper.cli.terminal import Terminal
from statekeeper.errors import UsageError

if TYPE_CHECKING:
    from statekeeper.cli.screen import Screen
    from statekeeper.config.sources import SourceConfig
    from statekeeper.drafting.draft import DraftReport
    from statekeeper.drafting.tables import TableDraft
    from statekeeper.model.table import Relation

_ENVIRONMENT = {key: f"ORACLE_{key.upper()}" for key in ("host", "port", "service", "dsn", "user", "password")}
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option(
    "--source",
    "kind",
    type=click.Choice(["oracle", "duckdb"]),
    help="The kind of database. [default: what the other options say]",
)
@click.option("--duckdb", metavar="PATH", help="A DuckDB database file.")
@click.option("--host", envvar="ORACLE_HOST", help="Where the Oracle listener is. [env: ORACLE_HOST]")
@click.option("--port", envvar="ORACLE_PORT", type=int, help="Its port. [env: ORACLE_PORT; default: 1521]")
@click.option("--service", envvar="ORACLE_SERVICE", help="The service name. [env: ORACLE_SERVICE]")
@click.option("--dsn", envvar="ORACLE_DSN", help="An EZConnect string or alias instead. [env: ORACLE_DSN]")
@click.option("--user", envvar="ORACLE_USER", help="Who logs in, with ORACLE_PASSWORD. [env: ORACLE_USER]")
@click.option(
    "--schema",
    "schemas",
    multiple=True,
    help="All tables of this schema. May be given several times. [default: all of DuckDB, the user's own of Oracle]",
)
@click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="NAME",
    help="Only this table or view: NAME (of the one --schema) or SCHEMA.NAME. May be given several times.",
)
@click.option("--source-name", help="The source's name in the config. [default: the file's or the kind's]")
@click.option("--out", type=_FILE, required=True, help="The config to write.")
@click.option("--schemas-out", type=_FILE, help="The models to write. [default: schemas/ and the config's name, .py]")
@options.as_json
@click.pass_context
def init(
    ctx: click.Context,
    /,
    *,
    kind: str | None,
    duckdb: str | None,
    schemas: tuple[str, ...],
    tables: tuple[str, ...],
    source_name: str | None,
    out: Path,
    schemas_out: Path | None,
    is_json: bool,
    **login: str | int | None,
) -> int:
    """Write a config and its pydantic models from the tables of a database. Overwrites nothing."""
    from statekeeper.drafting.draft import Destination, write_draft

    terminal = ctx.ensure_object(Terminal)
    typed = frozenset(name for name in login if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE)
    database = _database(kind, duckdb, login, typed)
    destination = Destination(out, schemas_out or Path("schemas") / f"{_module_name(out.stem)}.py")
    destination.require_free()
    described = _describe(database.config(terminal), schemas, tables)
    report = write_draft(
        described,
        source_name=source_name or database.name,
        source=database.written,
        database=database.name,
        destination=destination,
    )
    terminal.show(report, _show, is_json=is_json)
    return 0


@dataclass(frozen=True)
class _Database:
    """A source by its suggested name; `written` are its keys as the configuration has them."""

    name: str
    written: Mapping[str, str | int]

    def config(self, terminal: Terminal) -> SourceConfig:
        """The source as the configuration will have it, references filled in from the environment.

        Raises:
            ConfigError: a reference is not set, or a value cannot be used.
        """
        from statekeeper.config.loader import source_of
        from statekeeper.logs import secret_values

        config = source_of(self.name, self.written, environ=os.environ)
        terminal.redactor.add(secret_values(config))
        return config


def _database(
    kind: str | None, duckdb: str | None, login: Mapping[str, str | int | None], typed: frozenset[str]
) -> _Database:
    """The one database that the options name."""
    if duckdb is not None:
        if kind == "oracle" or typed:
            raise UsageError("--duckdb names a DuckDB file; found options of an Oracle database beside it")
        return _Database(_module_name(Path(duckdb).stem), {"type": "duckdb", "path": duckdb})
    if kind == "duckdb":
        raise UsageError("--source duckdb needs --duckdb PATH", hint="add --duckdb PATH")
    if kind is None and not typed:
        raise UsageError("no database was named", hint="--duckdb PATH, or --source oracle with ORACLE_HOST and so on")
    keys = ("dsn", "user") if login["dsn"] and not {"host", "service"} & typed else ("host", "port", "service", "user")
    written: dict[str, str | int] = {"type": "oracle"}
    for key in keys:
        if key in typed and (value := login[key]) is not None:
            written[key] = value
        elif key != "port" or login[key] is not None:
            written[key] = "${" + _ENVIRONMENT[key] + "}"
    return _Database("oracle", {**written, "password": "${" + _ENVIRONMENT["password"] + "}"})


def _describe(config: SourceConfig, schemas: tuple[str, ...], tables: tuple[str, ...]) -> tuple[TableDraft, ...]:
    from statekeeper.drafting.dictionary import describe_all, describe_named

    if not tables:
        return describe_all(config, schemas)
    if len(schemas) > 1:
        raise UsageError("--table with several --schema leaves open whose table it is", hint="--table SCHEMA.NAME")
    schema = schemas[0] if schemas else None
    return describe_named(config, [_relation(name, schema) for name in dict.fromkeys(tables)])


def _relation(name: str, schema: str | None) -> Relation:
    from statekeeper.model.table import Relation

    before, dot, after = name.partition(".")
    if schema is None and dot and before and after:
        return Relation(schema_name=before, table_name=after)
    return Relation(schema_name=schema, table_name=name)


def _module_name(stem: str) -> str:
    from statekeeper.drafting.names import module_name

    return module_name(stem)


def _show(report: DraftReport, screen: Screen) -> None:
    for left in report.left_out:
        screen.line(f"{left.table} is commented out, since it cannot be extracted as it is:")
        for reason in left.reasons:
            screen.line(f"  {reason}")
    screen.line(f"{report.schemas}: {len(report.tables)} models")
    screen.line(f"{report.config}: {len(report.tables)} tables")
    screen.line(f"next: `statekeeper check --connect {report.config}`, then `statekeeper run {report.config}`")
