"""Files that are generated from models and kept in a repository: writes them, or checks that they are up to date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from statekeeper.errors import StorageError


@dataclass(frozen=True)
class GeneratedFiles:
    """The `.json` files that a folder should hold, by name. `is_all` False: it may hold others, too."""

    folder: Path
    texts: Mapping[str, str]
    is_all: bool = True

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(self.folder / name for name in self.texts)

    def write(self) -> tuple[Path, ...]:
        """Write every file; returns their paths. Raises StorageError if one cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, text in self.texts.items():
                (self.folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{error.filename} cannot be written: {error.strerror}") from error
        return self.paths

    def stale(self) -> tuple[Path, ...]:
        """The files that are missing, outdated, or have no model any more."""
        differing = [path for path, text in zip(self.paths, self.texts.values(), strict=True) if _text(path) != text]
        foreign_files = [path for path in sorted(self.folder.glob("*.json")) if path.name not in self.texts]
        return (*differing, *foreign_files) if self.is_all else tuple(differing)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error
