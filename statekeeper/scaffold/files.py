"""Writes drafted files: all or none, and never over an existing file unless requested."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from statekeeper.errors import StorageError, UsageError


def write_new(texts: Mapping[Path, str]) -> None:
    """Write new files.

    Raises:
        UsageError: a file exists; none was written.
        StorageError: a file cannot be written; none was.
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
            raise UsageError(f"{error.filename} already exists and is not overwritten") from error
        raise StorageError(f"the draft cannot be written: {error.filename}: {error.strerror}") from error


def replace_file(path: Path, text: str) -> None:
    """Replace a file atomically: readers see the old or the new one.

    Raises:
        StorageError: it cannot be written; the old one is unchanged.
    """
    target = path.resolve()  # follows a link to its file
    temp = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temp.write_text(text, encoding="utf-8")
        temp.replace(target)
    except OSError as error:
        temp.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error
