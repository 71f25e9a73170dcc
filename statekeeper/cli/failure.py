"""How an error ends the program: what is printed, and the exit code.

An error of ours is `error:` and `hint:`, never a traceback. An exception that nobody foresaw is one line, and its
traceback is in a file that the next line names. `STATEKEEPER_DEBUG=1` prints tracebacks as well.
"""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import click

from statekeeper.errors import StatekeeperError
from statekeeper.logs import Redactor
from statekeeper.printable import PrintableStream
from statekeeper.system_errors import recognised

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
    text = redactor("".join(traceback.format_exception(error)))
    for path in (_ERROR_FILE, Path(tempfile.gettempdir()) / f"statekeeper-error-{os.getpid()}.txt"):
        try:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        except OSError:
            continue
        return str(path.absolute())
    return "no file, since none could be written; STATEKEEPER_DEBUG=1 prints it"


def _give_up_output() -> None:
    """Send what is still to be flushed at exit nowhere: nobody reads standard output any more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
