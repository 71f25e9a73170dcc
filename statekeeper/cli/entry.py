"""The `statekeeper` program: starts the server that workers are forked from, and only then imports its own commands.

That server imports Arrow and the drivers, which takes longer than everything else before the first row.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from statekeeper.config.reading.text_file import read_text_file
from statekeeper.errors import ConfigError

_WITH_WORKERS = frozenset({"run", "resume"})
_SUFFIXES = (".yml", ".yaml", ".json")


def main() -> None:
    """The entry point of the `statekeeper` program."""
    start_early(sys.argv[1:])
    from statekeeper.cli import app

    app.main()


def start_early(words: Sequence[str]) -> None:
    """Start the fork server for a command that needs it, with the drivers that its files seem to use.

    The files are not parsed here, so this is a guess. If it is wrong, workers import missing drivers themselves, or the
    server stays unused; in any case it ends with this process.
    """
    if not words or words[0] not in _WITH_WORKERS or {"-h", "--help"} & {*words}:
        return
    texts = [text for word in words[1:] if word.endswith(_SUFFIXES) and (text := _text_of(Path(word))) is not None]
    if texts:
        from statekeeper.engines.spawning import start_fork_server
        from statekeeper.run.work_modules import work_modules
        from statekeeper.sources.registry import SOURCES

        start_fork_server(work_modules(name for name in SOURCES.shipped if any(name in text for text in texts)))


def _text_of(path: Path) -> str | None:
    """The text of a config; None if it cannot be read. The command itself reports the error."""
    with suppress(ConfigError, ValueError):
        return read_text_file(path).decode()
    return None
