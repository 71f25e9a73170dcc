"""Writes what was drafted: all of it or nothing, and never over a file that is there, unless that was asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from statekeeper.errors import StorageError, UsageError


def write_new(texts: Mapping[Path, str]) -> None:
    """Write new files.

    Raises:
        UsageError: one is there already; none was written.
        StorageError: one cannot be written; none was.
    """
    written: list[Path] = []
    try:
        for path, content in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(content)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise UsageError(f"{error.filename} is there already, and is not overwritten") from error
        raise StorageError(f"the draft cannot be written: {error.filename}: {error.strerror}") from error


def replace_file(path: Path, text: str) -> None:
    """Put a file in place of the one that is there: readers see the old or the new, whole.

    Raises:
        StorageError: it cannot be written; the old one is as it was.
    """
    target = path.resolve()  # of a link, the file that it leads to
    temp = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temp.write_text(text, encoding="utf-8")
        temp.replace(target)
    except OSError as error:
        temp.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
