"""Runs one command line and turns every error into a message and an exit code.

Both programs, `statekeeper` and `data-extractor`, use it. `invoke` has the only broad `except` of the program. An error
of ours is printed as `error:` and `hint:`, without a traceback. An unexpected exception is printed as one line,
followed by the file with its traceback. `STATEKEEPER_DEBUG=1` prints tracebacks as well.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TextIO

import click

from statekeeper.cli.terminal import Terminal
from statekeeper.config.root import folders_above
from statekeeper.errors import StatekeeperError, UsageError
from statekeeper.logs import Redactor
from statekeeper.system_errors import as_system_error
from statekeeper.text.printable import PrintableStream

_INTERRUPTED = 130
_LONGEST_LINE = 4000
_ERROR_FILE = Path(".statekeeper") / "last-error.txt"


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
    gc.freeze()  # saves a last garbage collection of all that was loaded: 0.04 s of 0.47 s of `status --help`
    sys.exit(code)


def explain(error: BaseException, *, stream: TextIO, redactor: Redactor, environ: Mapping[str, str]) -> int:
    """Print `error` for a person; returns the exit code."""
    out = PrintableStream(stream)
    if environ.get("STATEKEEPER_DEBUG") == "1":
        out.write(redactor("".join(traceback.format_exception(error))))
    match error:
        case click.ClickException():
            error.show(out)  # type: ignore[arg-type]  # click only writes and flushes
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            out.write("interrupted\n")
            return _INTERRUPTED
        case StatekeeperError():
            out.write(_clipped(redactor(f"error: {error.message}\n")))
            if error.hint:
                out.write(_clipped(redactor(f"hint: {error.hint}\n")))
            return error.exit_code
        case SystemExit():
            # click exits this way when nobody reads standard output any more.
            return error.code if isinstance(error.code, int) else 1
        case BrokenPipeError():
            _discard_output()
            return 1
        case Exception() if (known := as_system_error(error)) is not None:
            return explain(known, stream=stream, redactor=redactor, environ={})
        case _:
            where = _save_traceback(error, redactor)
            out.write(_clipped(redactor(f"error: this is a defect of statekeeper: {type(error).__name__}: {error}\n")))
            out.write(f"hint: the traceback is in {where}\n")
            return 1


def _clipped(text: str) -> str:
    """Text with long lines cut off: a line may quote a value of megabytes."""
    return "\n".join(
        line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}... ({len(line):,} characters)"
        for line in text.split("\n")
    )


def _save_traceback(error: BaseException, redactor: Redactor) -> str:
    """Write the traceback to a private file: in the nearest root above, else in the temporary folder.

    It creates no `.statekeeper` folder: that would mark this folder as the root of configurations below.
    """
    text = redactor("".join(traceback.format_exception(error)))
    try:
        return _save_in_root(text) or _save_privately(text, folder=None)
    except OSError:
        return "no file, since none could be written; STATEKEEPER_DEBUG=1 prints it"


def _save_in_root(text: str) -> str | None:
    here = Path.cwd()
    folders = (each / _ERROR_FILE.parent for each in folders_above(here))
    folder = next((each for each in folders if each.is_dir() and not each.is_symlink()), None)
    if folder is None:
        return None
    with suppress(OSError):
        path = folder / _ERROR_FILE.name
        os.replace(_save_privately(text, folder=folder), path)  # noqa: PTH105 - replaces a link, does not follow it
        return str(path)
    return None


def _save_privately(text: str, *, folder: Path | None) -> str:
    """Write a new file with an unguessable name; returns its path."""
    number, name = tempfile.mkstemp(prefix="statekeeper-error-", suffix=".txt", dir=folder)
    with os.fdopen(number, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return name


def _discard_output() -> None:
    """Redirect standard output to the null device, for the flush at exit: nobody reads it any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
