"""Objects as DuckDB opens them: a file system of fsspec, of which it calls `open`, `size`, `modified` and `glob`.

Each object is opened once, which also reads its end with the footer; each time that DuckDB opens it, it gets a position
of its own. DuckDB reports a failed read as text only: the error itself is kept here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from urllib.parse import quote, unquote

import fsspec

from statekeeper.errors import StorageError
from statekeeper.store.versions import ObjectFile
from statekeeper.system_errors import storage_error

_NUMBERS = count()
_UNCHANGED = datetime(2026, 1, 1, tzinfo=UTC)


class ObjectFiles(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Objects, as `<protocol>://<path>`; no other file system of this process has this protocol."""

    cachable = False

    def __init__(self, opener: Callable[[Path], ObjectFile]) -> None:
        super().__init__()
        self.protocol = f"objects{next(_NUMBERS)}"
        self.failure: StorageError | None = None
        self._opener = opener
        self._opened: dict[Path, ObjectFile] = {}

    def address(self, path: Path) -> str:
        """The name of an object in a query; no character of it is special in a pattern."""
        return f"{self.protocol}://{quote(str(path))}"

    def opened(self, path: Path) -> ObjectFile:
        """An object at its beginning. Raises OSError."""
        file = self._opened.get(path)
        if file is None:
            file = self._opened[path] = self._opener(path)
        return file.again()

    # What DuckDB calls

    def open(self, path: str, mode: str = "rb", **_: object) -> _Position:
        del mode
        place = self._path_of(path)
        try:
            return _Position(self, place, self.opened(place))
        except OSError as error:
            self.note(error, place)
            raise

    def size(self, path: str) -> int:
        return self.opened(self._path_of(path)).size

    def modified(self, path: str) -> datetime:
        del path
        return _UNCHANGED

    def glob(self, path: str, **_: object) -> list[str]:
        return [path]

    def note(self, error: OSError, path: Path) -> None:
        """Keep an error for whoever reports that the query failed."""
        self.failure = storage_error(error, path, "read")

    def _path_of(self, address: str) -> Path:
        return Path(unquote(address.removeprefix(f"{self.protocol}://")))


class _Position:
    """A position in an object, which DuckDB moves and reads at."""

    def __init__(self, files: ObjectFiles, path: Path, file: ObjectFile) -> None:
        self._files, self._path, self._file = files, path, file

    def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            self._files.note(error, self._path)
            raise

    def close(self) -> None:
        """Nothing to do: no request is open."""
