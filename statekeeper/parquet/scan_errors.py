"""Errors of DuckDB and Arrow while they scan a file, as errors of ours.

Decides whether the cause is the file, the file system or the memory. DuckDB has no error codes, so this looks at the
class that its messages begin with, and at the system's error text in them.
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
"""What a scan may raise: in mid-stream, DuckDB's errors arrive through Arrow as OSError."""
_CLASS = re.compile(r"^([A-Z][A-Za-z ]*? Error): ")
_MORE_MEMORY = "raise execution.memory_limit; parts whose row groups are smaller (output.row_group_bytes) need less"


def scan_error(what: str, error: Exception) -> StatekeeperError:
    """Our error; `what` names the file and begins the message. All but system errors may quote values."""
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
    """The errno whose text a message quotes; 0 if none."""
    return next((number for number in errno.errorcode if os.strerror(number) in text), 0)
