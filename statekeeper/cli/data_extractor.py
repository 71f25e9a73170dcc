"""The `data-extractor` command: the older command line, kept for the programs that call it.

It takes a configuration file or one table of one Oracle database, and does the same as `statekeeper run`, with the same
exit codes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click
from click.core import ParameterSource

from statekeeper import __version__
from statekeeper.cli import options, render
from statekeeper.cli.invocation import end, invoke
from statekeeper.cli.request import RunRequest
from statekeeper.cli.terminal import Terminal
from statekeeper.errors import UsageError
from statekeeper.run.choices import RunChoices
from statekeeper.run.report import RunReport

if TYPE_CHECKING:
    from statekeeper.api import DataExtractor

_FORMS = """Two forms: --config [--tables], or one table: --source-name and --table-name, with --host, --service, --user
and --password, for which the environment is better (ORACLE_HOST, ORACLE_PORT, ORACLE_SERVICE, ORACLE_USER,
ORACLE_PASSWORD): a password among the arguments is in the list of processes, for all to read.

Exit codes: 0 all complete; 1 some table failed; 2 wrong config or usage; 3 some table is held by another runner; 4 the
source could not be reached or refused the login; 130 or 143 interrupted, with the state saved."""
_REQUIRED = {
    "source_name": "--source-name",
    "table_name": "--table-name",
    "host": "--host (or ORACLE_HOST)",
    "service": "--service (or ORACLE_SERVICE)",
    "user": "--user (or ORACLE_USER)",
    "password": "ORACLE_PASSWORD (or --password)",
}
_OF_TABLE = {
    name: f"--{name.replace('_', '-')}"
    for name in ("host", "port", "service", "user", "password", "source_name", "schema_name", "table_name", "output")
}
_WARNING = (
    "warning: --password shows the password in the list of processes, for every user of this machine;"
    " set ORACLE_PASSWORD instead"
)


def main() -> None:
    """The entry point of the `data-extractor` program."""
    end(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code, and never raises."""
    return invoke(app, arguments, program="data-extractor")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=_FORMS)
@click.version_option(__version__, prog_name="data-extractor")
@click.option("--config", type=options.FILE, help="A configuration file.")
@options.tables_file
@click.option("--host", envvar="ORACLE_HOST", help="Where the database's listener is. [env: ORACLE_HOST]")
@click.option("--port", envvar="ORACLE_PORT", type=int, help="Its port. [env: ORACLE_PORT; default: 1521]")
@click.option("--service", envvar="ORACLE_SERVICE", help="The service name. [env: ORACLE_SERVICE]")
@click.option("--user", envvar="ORACLE_USER", help="Who logs in. [env: ORACLE_USER]")
@click.option("--password", envvar="ORACLE_PASSWORD", help="Better by the environment. [env: ORACLE_PASSWORD]")
@click.option("--source-name", help="The name of the first folder of the output.")
@click.option("--table-name", help="The table.")
@click.option("--schema-name", help="The schema (owner) of the table. [default: the user's own]")
@click.option("--output", help="The folder under which all output lies. [default: data]")
@click.option(
    "--force-reprocess", is_flag=True, help="Also extract what is complete; old data stays until the new is valid."
)
@options.databricks
@options.as_json
@click.pass_context
def app(
    ctx: click.Context,
    /,
    *,
    force_reprocess: bool,
    is_databricks: bool,
    is_json: bool,
    **named: Path | int | str | None,
) -> int:
    """Extract the tables of a configuration, or one table, to validated Parquet. `statekeeper run` does the same."""
    terminal = ctx.ensure_object(Terminal)
    typed = frozenset(name for name in named if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE)
    if "password" in typed:
        click.echo(_WARNING, err=True)
    given = _Options(**named, is_databricks=is_databricks)  # type: ignore[arg-type]  # click has made each value of its option's type
    report = given.checked(typed).run(terminal, is_forced=force_reprocess)
    return terminal.show_result(report, render.show_run, is_json=is_json)


@dataclass(frozen=True, kw_only=True)
class _Options:
    """The options from the command line and the environment."""

    config: Path | None
    tables_path: Path | None
    host: str | None
    port: int | None
    service: str | None
    user: str | None
    password: str | None = field(repr=False)
    source_name: str | None
    schema_name: str | None
    table_name: str | None
    output: str | None
    is_databricks: bool

    def checked(self, typed: frozenset[str]) -> Self:
        """The same, if it is one complete form. Only `typed` options count, not those from the environment.

        Raises:
            UsageError: the options mix the two forms, or one is missing.
        """
        if self.config is not None:
            table_options = [option for name, option in _OF_TABLE.items() if name in typed]
            if table_options:
                raise UsageError(
                    f"--config defines all sources and tables; found {', '.join(table_options)} with it",
                    hint="either --config (with --tables), or the options of one table",
                )
            return self
        if not typed:
            raise UsageError("nothing to extract was named", hint="`data-extractor --help` shows the two forms")
        if self.tables_path is not None:
            raise UsageError("--tables needs --config, which defines the sources", hint="add --config FILE")
        missing = [option for name, option in _REQUIRED.items() if not getattr(self, name)]
        if missing:
            raise UsageError(f"one table also needs {', '.join(missing)}", hint="or give --config FILE")
        return self

    def run(self, terminal: Terminal, *, is_forced: bool) -> RunReport:
        """Extract the requested tables."""
        if self.config is None:
            return self._run_table(terminal, is_forced=is_forced)
        choices = RunChoices(tables_path=self.tables_path)
        request = RunRequest(self.config, choices, is_databricks=self.is_databricks)
        with terminal.extractor(request, is_live=True) as extractor:
            return extractor.run(force_reprocess=is_forced, report_interrupt=True)

    def _run_table(self, terminal: Terminal, *, is_forced: bool) -> RunReport:
        assert self.password is not None
        terminal.redactor.add([self.password])
        entry: dict[str, Any] = {"source_name": self.source_name, "table_name": self.table_name}
        if self.schema_name is not None:
            entry["schema_name"] = self.schema_name
        with terminal.reporter(is_live=True) as (_, reporter):
            extractor = self._class()(
                oracle_host=self.host,
                oracle_port=self.port or 1521,
                oracle_service=self.service,
                oracle_user=self.user,
                oracle_password=self.password,
                output_base_path=self.output or "data",
                reporter=reporter,
            )
            return extractor.extract_run([entry], force_reprocess=is_forced, report_interrupt=True)

    def _class(self) -> type[DataExtractor]:
        if self.is_databricks:
            from statekeeper.databricks.api import DatabricksDataExtractor

            return DatabricksDataExtractor
        from statekeeper.api import DataExtractor

        return DataExtractor
