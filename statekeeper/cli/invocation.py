"""Runs one command line and turns every error into a message and an exit code.

Both programs, `statekeeper` and `data-extractor`, use it. `invoke` has the only broad `except` of the program.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from statekeeper.cli.failure import explain
from statekeeper.cli.terminal import Terminal
from statekeeper.errors import UsageError


def invoke(command: click.Command, arguments: Sequence[str], *, program: str) -> int:
    """Run one command line; returns the exit code, and never raises."""
    terminal = Terminal()
    try:
        _require_text(arguments)
        code = command.main(list(arguments), prog_name=program, standalone_mode=False, obj=terminal)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 - every error becomes a message and an exit code here
        return explain(error, stream=sys.stderr, redactor=terminal.redactor, environ=os.environ)
    return code if isinstance(code, int) else 0


def _require_text(arguments: Sequence[str]) -> None:
    """Raise UsageError for an argument that is not UTF-8: no document, log line or message could contain it."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            byte = ord(argument[error.start]) & 0xFF
            before = f" after {argument[: error.start]!r}" if error.start else ""
            raise UsageError(f"expected arguments in UTF-8; found the byte 0x{byte:02x}{before}") from None


def end(code: int) -> NoReturn:
    """Exit the program."""
    gc.freeze()  # saves a last garbage collection of everything that was loaded
    sys.exit(code)
