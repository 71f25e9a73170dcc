"""How an error ends the program: what is printed, and the exit code.

An error of ours is `error:` and `hint:`, never a traceback. An exception that nobody foresaw is one line, and its
traceback is in a file that the next line names. `STATEKEEPER_DEBUG=1` prints tracebacks as well.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import click

from statekeeper.config.root import folders_above
from statekeeper.errors import StatekeeperError
from statekeeper.logs import Redactor
from statekeeper.system_errors import recognised
from statekeeper.text.printable import PrintableStream

_INTERRUPTED = 130
_LONGEST_LINE = 4000
_ERROR_FILE = Path(".statekeeper") / "last-error.txt"


def explain(error: BaseException, *, stream: TextIO, redactor: Redactor, environ: Mapping[str, str]) -> int:
    """Print what a person needs to know of `error`; returns the exit code."""
    told = PrintableStream(stream)
    if environ.get("STATEKEEPER_DEBUG") == "1":
        told.write(redactor("".join(traceback.format_exception(error))))
    match error:
        case click.ClickException():
            error.show(told)  # type: ignore[arg-type]  # click writes and flushes, no more
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            told.write("interrupted\n")
            return _INTERRUPTED
        case StatekeeperError():
            told.write(_clipped(redactor(f"error: {error.message}\n")))
            if error.hint:
                told.write(_clipped(redactor(f"hint: {error.hint}\n")))
            return error.exit_code
        case SystemExit():
            # click's way out when nobody reads standard output any more.
            return error.code if isinstance(error.code, int) else 1
        case BrokenPipeError():
            _give_up_output()
            return 1
        case Exception() if (known := recognised(error)) is not None:
            return explain(known, stream=stream, redactor=redactor, environ={})
        case _:
            where = _keep_traceback(error, redactor)
            told.write(_clipped(redactor(f"error: this is a defect of statekeeper: {type(error).__name__}: {error}\n")))
            told.write(f"hint: the traceback is in {where}\n")
            return 1


def _clipped(text: str) -> str:
    """Text whose lines can be read: of one that quotes a value of megabytes, the beginning."""
    return "\n".join(
        line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}... ({len(line):,} characters)"
        for line in text.split("\n")
    )


def _keep_traceback(error: BaseException, redactor: Redactor) -> str:
    """Write the traceback to a private file: in the root above, if there is one, else under the temporary folder.

    No `.statekeeper` is made for it, which would mark this folder as the root of configurations below.
    """
    text = redactor("".join(traceback.format_exception(error)))
    try:
        return _kept_in_root(text) or _kept_aside(text, folder=None)
    except OSError:
        return "no file, since none could be written; STATEKEEPER_DEBUG=1 prints it"


def _kept_in_root(text: str) -> str | None:
    here = Path.cwd()
    folders = (each / _ERROR_FILE.parent for each in folders_above(here))
    folder = next((each for each in folders if each.is_dir() and not each.is_symlink()), None)
    if folder is None:
        return None
    with suppress(OSError):
        path = folder / _ERROR_FILE.name
        os.replace(_kept_aside(text, folder=folder), path)  # noqa: PTH105 - a link in its place is replaced, not followed
        return str(path)
    return None


def _kept_aside(text: str, *, folder: Path | None) -> str:
    """A new file under a name that nobody can guess."""
    number, name = tempfile.mkstemp(prefix="statekeeper-error-", suffix=".txt", dir=folder)
    with os.fdopen(number, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return name


def _give_up_output() -> None:
    """Send what is still to be flushed at exit nowhere: nobody reads standard output any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
