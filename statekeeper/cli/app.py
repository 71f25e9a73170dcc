"""The `statekeeper` command: its name, its help and its commands, each imported when it is typed.

A command's module decides its options and its output: results on standard output, log lines and errors on standard
error. `statekeeper.cli.invocation` turns errors into exit codes. No command waits for what only another one needs, and
`--version` for none of it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from statekeeper import __version__
from statekeeper.cli.invocation import end, invoke

_MODULES = {
    **dict.fromkeys(("run", "backfill", "resume", "plan"), "extraction"),
    **dict.fromkeys(("verify", "reset", "graph"), "upkeep"),
    **{name: name for name in ("check", "history", "init", "schemas", "status")},
}
"""The module of each command; the command is the function of its own name there."""
_EXIT_CODES = """Exit codes: 0 all complete; 1 some table failed; 2 wrong config or usage; 3 some table is held by
another runner; 4 a source could not be reached or refused the login; 130 or 143 interrupted, with the state saved.
Where several hold: 130 and 143 over 4 over 1 over 3."""


def main() -> None:
    """Run the command line of this process, and exit."""
    end(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code, and never raises."""
    return invoke(app, arguments, program="statekeeper")


class LazyCommands(click.Group):
    """A group that imports the module of a command when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands; nothing is imported."""
        del ctx
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; None if there is none."""
        del ctx
        return self._load(cmd_name) if cmd_name in _MODULES else None

    def load_all(self) -> dict[str, click.Command]:
        """Every command, by its name."""
        return {name: self._load(name) for name in sorted(_MODULES)}

    def _load(self, name: str) -> click.Command:
        found: click.Command = getattr(importlib.import_module(f"{__package__}.{_MODULES[name]}"), name)
        return found


@click.group(
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EXIT_CODES,
)
@click.version_option(__version__, prog_name="statekeeper")
def app() -> None:
    """Extract database tables to validated Parquet; after any interruption, a second run continues the first."""
