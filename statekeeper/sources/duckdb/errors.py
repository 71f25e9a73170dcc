"""Translates DuckDB's errors into ours.

DuckDB has no error codes. The class at the beginning of its messages (`IO Error`) serves as the code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from statekeeper.errors import (
    DataError,
    OutOfMemory,
    SourceError,
    SourceUnreachable,
    StatekeeperError,
    TransientSourceError,
)

_CLASS = re.compile(r"^([A-Z][A-Za-z ]*? Error): ")
_HOLDER = re.compile(r"\(PID (\d+)\)")
VALUE_CLASSES = frozenset({"Conversion Error", "Out of Range Error", "Invalid Input Error"})
"""The error classes for a value that DuckDB cannot convert."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raise DuckDB's errors as ours; `what` begins the message, such as `shop.orders cannot be read`."""
    try:
        yield
    except (duckdb.Error, OSError, ValueError) as error:  # Arrow raises an error during a stream as OSError
        raise _translation(error, what) from error


def opening_error(error: Exception, path: str) -> StatekeeperError:
    """Why the database file at `path` could not be opened."""
    text = _summary(error)
    if _is_held(text):
        return _held(text, path)
    if "does not exist" in text:
        return SourceUnreachable(
            f"the DuckDB database {path} does not exist",
            hint="check `path` of the source; a relative path starts at the root of the configuration",
            code=_code(text),
        )
    hint = "check that `path` names a database file that this user may read"
    if "not a valid DuckDB" in text:
        hint = "check `path` of the source: the file is something else, or was not written to its end"
    elif "newer version" in text or "storage version" in text:
        hint = "install the DuckDB release that wrote it, or a later one"
    return SourceUnreachable(f"the DuckDB database {path} cannot be opened: {text}", hint=hint, code=_code(text))


def _translation(error: Exception, what: str) -> StatekeeperError:
    text = _summary(error)
    code = _code(text)
    message = f"{what}: {text}"
    discreet = f"{what}: {code or type(error).__name__}"
    if code in VALUE_CLASSES:
        return DataError(message, code=code, discreet=discreet)
    if code == "Out of Memory Error":
        return OutOfMemory(message, hint=_hint(code), code=code)
    if _is_held(text) or (code == "IO Error" and "corrupt" not in text.lower()):
        return TransientSourceError(message, code=code)
    hint = _hint(code)
    # Errors with a hint are about the statement or the system, and quote only names; any other may quote a value.
    return SourceError(message, hint=hint, code=code, discreet=None if hint else discreet)


def _hint(code: str | None) -> str | None:
    match code:
        case "Permission Error":
            return (
                "views and queries may read only the database file itself, since the snapshot covers nothing else: "
                "load the other data into the database first"
            )
        case "Out of Memory Error":
            return "raise execution.memory_limit, or make the query lighter: sorts, joins and windows take memory"
        case "Catalog Error" | "Binder Error" | "Parser Error":
            return "run the statement in the DuckDB shell to see where it is wrong"
        case _:
            return None


def _is_held(text: str) -> bool:
    return "Could not set lock" in text or "Unique file handle conflict" in text


def _held(text: str, path: str) -> TransientSourceError:
    holder = _HOLDER.search(text)
    who = f"process {holder.group(1)}" if holder else "this process, or one that is not known"
    return TransientSourceError(
        f"the DuckDB database {path} is open for writing in {who}",
        hint="close it there; DuckDB lets readers in only while nobody has the file open for writing",
        code=_code(text),
    )


def _code(text: str) -> str | None:
    found = _CLASS.match(text)
    return found.group(1) if found else None


def _summary(error: Exception) -> str:
    """DuckDB's message without the echo of the statement."""
    return str(error).split("\n\nLINE ", 1)[0].replace("\n", " ").strip()
