"""The options that name a live database, and the source built from them.

Decides how a database is named and what may be written to a file: a password only as `${ORACLE_PASSWORD}`, or as the
reference that was typed. Oracle and DuckDB have their own options; `--set KEY=VALUE` works for every type of source.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from statekeeper.cli.options import Command, KindOf
from statekeeper.config.sections.sources import SECTIONS
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
        type=KindOf(SECTIONS),
        help="The type of source. [default: derived from the other options]",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="A key of the source as in the config, such as path=data or 'token=${TOKEN}'. May be given several times.",
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
    """Add the options that name a database."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class LoginOptions:
    """An Oracle database's options, from command line and environment; `typed` are those of the command line."""

    given: Mapping[str, str | int | None]
    typed: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, ctx: click.Context, given: Mapping[str, str | int | None]) -> LoginOptions:
        typed = (name for name in given if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE)
        return cls(given, frozenset(typed))

    def written(self) -> dict[str, str | int]:
        """The source's keys: typed values, and references to the environment for the rest."""
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
    """A source with its suggested name; `written` are its keys as written in a configuration."""

    name: str
    written: Mapping[str, str | int]

    def config(self, redactor: Redactor) -> SourceSection:
        """The source's section, with references resolved from the environment.

        Raises:
            ConfigError: a reference is not set, or a value is invalid.
        """
        from statekeeper.config.loader import source_of
        from statekeeper.logs import secret_values

        config = source_of(self.name, self.written, environ=os.environ)
        redactor.add(secret_values(config))
        return config


@dataclass(frozen=True)
class DatabaseOptions:
    """A command line's options for a database."""

    kind: str | None
    duckdb: str | None
    settings: Mapping[str, str | int]
    login: LoginOptions

    @classmethod
    def of(cls, ctx: click.Context, given: Mapping[str, Any]) -> DatabaseOptions:
        """From the values of `database_options`, except `schemas`.

        Raises:
            UsageError: a `--set` is not KEY=VALUE.
        """
        login = {name: value for name, value in given.items() if name not in {"kind", "duckdb", "settings"}}
        settings = dict(map(_setting, given["settings"]))
        return cls(given["kind"], given["duckdb"], settings, LoginOptions.of(ctx, login))

    @property
    def is_given(self) -> bool:
        """Whether the command line names a database; the environment alone does not count."""
        return self.kind is not None or self.duckdb is not None or bool(self.settings) or bool(self.login.typed)

    def database(self) -> Database:
        """The one database that the options name.

        Raises:
            UsageError: they name none or two, or contain a secret.
        """
        if self.duckdb is not None:
            if self.kind not in {None, "duckdb"} or self.login.typed:
                raise UsageError("--duckdb names a DuckDB file; found options of another database, too")
            written = {"type": "duckdb", "path": self.duckdb, **self.settings}
            return Database(module_name(Path(self.duckdb).stem), written)
        if self.kind == "duckdb" and "path" not in self.settings:
            raise UsageError("--source duckdb needs --duckdb PATH", hint="add --duckdb PATH")
        if not self.is_given:
            raise UsageError(
                "no database was named", hint="--duckdb PATH, or --source oracle with ORACLE_HOST and so on"
            )
        kind = self.kind or "oracle"
        if kind != "oracle" and self.login.typed:
            options = ", ".join(f"--{name}" for name in sorted(self.login.typed))
            raise UsageError(
                f"{options} belongs to Oracle; the source is of type {kind}", hint="--set KEY=VALUE sets a key of it"
            )
        _refuse_secrets(kind, self.settings)
        return Database(kind, {**(self.login.written() if kind == "oracle" else {"type": kind}), **self.settings})


def _setting(text: str) -> tuple[str, str | int]:
    """The key and the value of a `--set`; the value is parsed as YAML."""
    import yaml

    key, equals, written = text.partition("=")
    if not key or not equals:
        raise UsageError(f"expected --set KEY=VALUE; found --set {key}", hint="such as --set path=data")
    try:
        value = yaml.safe_load(written)
    except yaml.YAMLError:
        value = written
    return key, value if isinstance(value, str | int) else written


def _refuse_secrets(kind: str, settings: Mapping[str, str | int]) -> None:
    """Raise UsageError if a secret was typed: the process list shows it, and the config would contain it."""
    from statekeeper.config.sections.sources import section_of

    for key, value in settings.items():
        field = section_of(kind).model_fields.get(key)
        if field is not None and "SecretStr" in str(field.annotation) and not str(value).startswith("${"):
            raise UsageError(
                f"--set {key} is a secret of a source of type {kind} and must not be written into a file",
                hint=f"set an environment variable, and give --set '{key}=${{NAME}}'",
            )


def describe(
    config: SourceSection, schemas: tuple[str, ...], tables: tuple[str, ...], exclude: tuple[str, ...]
) -> tuple[TableDraft, ...]:
    """Describe the named tables, or all tables of the schemas that `exclude` does not match.

    Raises:
        UsageError: a name's schema is ambiguous, or no table matches.
        SourceError: and its subclasses; the database cannot be reached, or has no such table.
    """
    from statekeeper.config.selection import is_pattern, matches
    from statekeeper.scaffold.dictionary import describe_all, describe_named

    def is_chosen(relation: Relation) -> bool:
        names = (str(relation.table_name), relation.label)
        is_wanted = not tables or any(matches(names, name) for name in tables)
        return is_wanted and not any(matches(names, name) for name in exclude)

    if not tables or exclude or any(map(is_pattern, tables)):
        found = describe_all(config, schemas, is_chosen)
        if not found:
            raise UsageError("no table matches --table and --exclude", hint="--schema NAME says in which schema")
        return found
    if len(schemas) > 1:
        raise UsageError("--table with several --schema is ambiguous", hint="--table SCHEMA.NAME")
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
