"""Reads a file that a user names: only a regular file of a plausible size.

A device or a pipe may never end, and a wrong argument may name a file of gigabytes. This imports nothing heavy: the
program reads its config before it imports anything else.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from statekeeper.errors import ConfigError

MAX_MEBIBYTES = 8
WRITE_ONE = "`statekeeper init --help` says how to write one from a database"
"""What to do about a config that is missing or empty."""
_MAX_BYTES = MAX_MEBIBYTES * 1024 * 1024
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def read_text_file(path: Path) -> bytes:
    """All bytes of a file.

    Raises:
        ConfigError: it is not a regular file, is too large, or cannot be read.
    """
    require_text_file(path)
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _MAX_BYTES:
        raise _too_large(path)
    return content


def require_text_file(path: Path) -> None:
    """Raise ConfigError if it is not a regular file of at most 8 MiB."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file", hint=WRITE_ONE) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise ConfigError(f"{path}: expected a file; found {kind}")
    if found.st_size > _MAX_BYTES:
        raise _too_large(path)


def _too_large(path: Path) -> ConfigError:
    return ConfigError(f"{path}: the file is too large: expected at most {MAX_MEBIBYTES} MiB")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
