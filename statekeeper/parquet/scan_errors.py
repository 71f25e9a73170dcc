"""What DuckDB and Arrow say of a file that they read for us, as errors of ours.

Decides whether the file is to blame, the system that does not give it, or the memory that is too small. DuckDB has no
error codes: the class that its messages begin with, and the system's own words within them, serve as such.
"""

from __future__ import annotations

import errno
import os
import re

import duckdb
import pyarrow as pa

from statekeeper.errors import DataError, OutOfMemory, StatekeeperError, StorageError
from statekeeper.system_errors import hint_for

SCAN_ERRORS = (duckdb.Error, pa.ArrowException, MemoryError, OSError)
"""What a scan may raise: in mid-stream DuckDB's own errors arrive through Arrow, as OSError."""
_CLASS = re.compile(r"^([A-Z][A-Za-z ]*? Error): ")
_MORE_MEMORY = "raise execution.memory_limit; parts whose row groups are smaller (output.row_group_bytes) need less"


def scan_error(what: str, error: Exception) -> StatekeeperError:
    """Our error; `what` names the file and begins the message. The text may quote values, but for the system's."""
    text = str(error).split("\n\nPossible solutions", 1)[0].strip()
    found = _CLASS.match(text)
    kind = found[1] if found else None
    if isinstance(error, MemoryError) or kind == "Out of Memory Error":
        return OutOfMemory(f"{what}: {text}", hint=_MORE_MEMORY, code=kind)
    number = error.errno if isinstance(error, OSError) else None
    if kind == "IO Error" or number is not None:
        number = number or _number_in(text)
        return StorageError(f"{what}: {text}", hint=hint_for(number, "its folder"), code=errno.errorcode.get(number))
    return DataError(f"{what}: {text}", discreet=f"{what}: {kind or type(error).__name__}")


def _number_in(text: str) -> int:
    """The system's error that a text quotes; 0 where it quotes none."""
    return next((number for number in errno.errorcode if os.strerror(number) in text), 0)
