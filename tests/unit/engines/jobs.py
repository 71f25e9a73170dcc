"""Jobs for worker processes, which import them by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from statekeeper.errors import DataError


def pid_of(_spec, _context):
    return os.getpid()


def echo(spec, _context):
    return spec


def open_session(spec, context):
    """Open the session that the job was sent with."""
    context.session()
    return os.getpid()


def refuse(spec, _context):
    raise DataError(f"column X: {spec}", hint=f"look at {spec}", code="X-1")


def fail(spec, _context):
    raise KeyError(spec)


def die(spec, _context):
    os.kill(os.getpid(), spec)


def die_once(spec, _context):
    """Die at the first call with this path, and return at the second."""
    if not Path(spec).exists():
        Path(spec).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def leave_pid(spec, context):
    """Write the process's id to a file, then work until it is told to stop."""
    _write_pid(spec)
    while True:
        context.check_stop()
        time.sleep(0.01)


def leave_pid_and_hear_nothing(spec, _context):
    _write_pid(spec)
    time.sleep(600)


def tell_rows(spec, context):
    for _ in range(spec):
        context.progress(10)
        time.sleep(0.05)
    return spec


def answer_with_what_cannot_be_sent(_spec, _context):
    return lambda: None


class Unreadable:
    """An object that can be pickled, but not unpickled."""

    def __reduce__(self):
        return (_not_here, ())


def _not_here():
    raise ZeroDivisionError("not in this process")


def answer_with_what_cannot_be_read(_spec, _context):
    return Unreadable()


def _write_pid(path):
    written = Path(f"{path}.new")
    written.write_text(str(os.getpid()))
    written.rename(path)
