"""Where a configuration's relative paths start, and what `~` means.

The root is set by the key `root`; else it is the nearest folder, from the file's own upward, that is marked as a
project's; else the file's own folder. So a file is the same pipeline from any working directory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from statekeeper.config.reading.document import ConfigDocument
from statekeeper.config.reading.problems import Problem, found
from statekeeper.errors import UsageError

_MARKS = (".statekeeper", "pyproject.toml", ".git")
_KEY = ("root",)


def expanded(path: str) -> str:
    """A path with `~` or `~user` at its start replaced by that home folder.

    Raises:
        UsageError: there is no such home folder.
    """
    with_home = os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises instead
    if path.startswith("~") and with_home == path:
        home = path.partition("/")[0]
        raise UsageError(f"{path}: the home folder {home} is not known", hint=f"a folder of that name is ./{home}")
    return with_home


def find_root(config: Path) -> Path:
    """The root of a configuration file that does not name one."""
    folder = config.resolve().parent
    marked = (each for each in folders_above(folder) if any(os.path.exists(each / mark) for mark in _MARKS))  # noqa: PTH110 - Path.exists raises without permission
    return next(marked, folder)


def folders_above(folder: Path) -> Iterator[Path]:
    """A folder and its parents, except world-writable ones such as /tmp, which others could mark."""
    yield folder
    for each in folder.parents:
        try:
            mode = each.stat().st_mode
        except OSError:
            continue
        if not (mode & stat.S_ISVTX and mode & stat.S_IWOTH):
            yield each


def root_of(document: ConfigDocument, config: Path, *, otherwise: Path | None = None) -> tuple[Path, list[Problem]]:
    """The root of a configuration file with this content, and the problems of its key `root`.

    Without that key it is `otherwise`, else `find_root` decides.
    """
    written = document.at(_KEY) if document.has(_KEY) else None
    if not isinstance(written, str) or not written.strip():
        return otherwise.resolve() if otherwise else find_root(config), []
    try:
        folder = config.resolve().parent / expanded(written)
    except UsageError:
        return find_root(config), []  # validation reports what is wrong with the path
    if folder.is_dir():
        return folder.resolve(), []
    text = f"expected a folder that exists; found {found(document, _KEY)}"
    return find_root(config), [Problem(document, _KEY, text, hint="a relative root starts at the folder of this file")]


def from_here(root: Path, path: str = "") -> Path:
    """A path of a configuration as this process opens it: absolute, unless `root` is the working directory."""
    return (Path() if root == Path.cwd() else root) / expanded(path)
