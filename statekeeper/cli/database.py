"""The options that name a live database, and the source that they make.

Decides how the database is named and what of that may be written down: a password only ever as `${ORACLE_PASSWORD}`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from statekeeper.cli.options import Command
from statekeeper.errors import UsageError

if TYPE_CHECKING:
    from statekeeper.config.sections.source import SourceSection
    from statekeeper.logs import Redactor
    from statekeeper.model.table import Relation
    from statekeeper.scaffold.tables import TableDraft

_LOGIN = ("host", "port", "service", "dsn", "user")
_ENVIRONMENT = {key: f"ORACLE_{key.upper()}" for key in (*_LOGIN, "password")}
_OPTIONS = (
    click.option(
        "--source",
        "kind",
        type=click.Choice(["oracle", "duckdb"]),
        help="The kind of database. [default: what the other options say]",
    ),
    click.option("--duckdb", metavar="PATH", help="A DuckDB database file."),
    click.option("--host", envvar="ORACLE_HOST", help="Where the Oracle listener is. [env: ORACLE_HOST]"),
    click.option("--port", envvar="ORACLE_PORT", type=int, help="Its port. [env: ORACLE_PORT; default: 1521]"),
    click.option("--service", envvar="ORACLE_SERVICE", help="The service name. [env: ORACLE_SERVICE]"),
    click.option("--dsn", envvar="ORACLE_DSN", help="An EZConnect string or alias instead. [env: ORACLE_DSN]"),
    click.option("--user", envvar="ORACLE_USER", help="Who logs in, with ORACLE_PASSWORD. [env: ORACLE_USER]"),
    click.option(
        "--schema",
        "schemas",
        multiple=True,
        help="All tables of this schema. May be given several times. "
        "[default: all of DuckDB, the user's own of Oracle]",
    ),
)


def database_options(command: Command) -> Command:
    """The options of `named_database`, in its words."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class LoginOptions:
    """What the options and the environment say of an Oracle database; `typed` are those of the command line."""

    given: Mapping[str, str | int | None]
    typed: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, ctx: click.Context, given: Mapping[str, str | int | None]) -> LoginOptions:
        typed = (name for name in given if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE)
        return cls(given, frozenset(typed))

    def written(self) -> dict[str, str | int]:
        """The keys of the source: what was typed, and references to the environment for the rest."""
        has_dsn = self.given["dsn"] and not {"host", "service"} & self.typed
        keys: dict[str, str | int] = {"type": "oracle"}
        for key in ("dsn", "user") if has_dsn else ("host", "port", "service", "user"):
            value = self.given[key]
            if key in self.typed and value is not None:
                keys[key] = value
            elif key != "port" or value is not None:
                keys[key] = "${" + _ENVIRONMENT[key] + "}"
        return {**keys, "password": "${" + _ENVIRONMENT["password"] + "}"}


@dataclass(frozen=True)
class Database:
    """A source by its suggested name; `written` are its keys as a configuration has them."""

    name: str
    written: Mapping[str, str | int]

    def config(self, redactor: Redactor) -> SourceSection:
        """The source as a configuration will have it, references filled in from the environment.

        Raises:
            ConfigError: a reference is not set, or a value cannot be used.
        """
        from statekeeper.config.loader import source_of
        from statekeeper.logs import secret_values

        config = source_of(self.name, self.written, environ=os.environ)
        redactor.add(secret_values(config))
        return config


def is_database_named(kind: str | None, duckdb: str | None, login: LoginOptions) -> bool:
    """Whether the command line names a database; what only the environment says does not."""
    return kind is not None or duckdb is not None or bool(login.typed)


def named_database(kind: str | None, duckdb: str | None, login: LoginOptions) -> Database:
    """The one database that the options name.

    Raises:
        UsageError: they name none, or two.
    """
    if duckdb is not None:
        if kind == "oracle" or login.typed:
            raise UsageError("--duckdb names a DuckDB file; found options of an Oracle database beside it")
        return Database(module_name(Path(duckdb).stem), {"type": "duckdb", "path": duckdb})
    if kind == "duckdb":
        raise UsageError("--source duckdb needs --duckdb PATH", hint="add --duckdb PATH")
    if not is_database_named(kind, duckdb, login):
        raise UsageError("no database was named", hint="--duckdb PATH, or --source oracle with ORACLE_HOST and so on")
    return Database("oracle", login.written())


def describe(
    config: SourceSection, schemas: tuple[str, ...], tables: tuple[str, ...], exclude: tuple[str, ...]
) -> tuple[TableDraft, ...]:
    """What the database says of the named tables, or of those of the schemas that no pattern rules out.

    Raises:
        UsageError: it is open whose table a name is, or no table is named by a pattern.
        SourceError: and its subclasses; the database cannot be reached, or has no such table.
    """
    from statekeeper.config.selection import is_meant, is_pattern
    from statekeeper.scaffold.dictionary import describe_all, describe_named

    def is_chosen(relation: Relation) -> bool:
        names = (str(relation.table_name), relation.label)
        is_wanted = not tables or any(is_meant(names, name) for name in tables)
        return is_wanted and not any(is_meant(names, name) for name in exclude)

    if not tables or exclude or any(map(is_pattern, tables)):
        found = describe_all(config, schemas, is_chosen)
        if not found:
            raise UsageError("no table is named by --table and --exclude", hint="--schema NAME says in which schema")
        return found
    if len(schemas) > 1:
        raise UsageError("--table with several --schema leaves open whose table it is", hint="--table SCHEMA.NAME")
    schema = schemas[0] if schemas else None
    return describe_named(config, [_relation(name, schema) for name in dict.fromkeys(tables)])


def module_name(stem: str) -> str:
    """A name for a file or a source."""
    from statekeeper.scaffold import names

    return names.module_name(stem)


def _relation(name: str, schema: str | None) -> Relation:
    from statekeeper.model.table import Relation

    before, dot, after = name.partition(".")
    if schema is None and dot and before and after:
        return Relation(schema_name=before, table_name=after)
    return Relation(schema_name=schema, table_name=name)
