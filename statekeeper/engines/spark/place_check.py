"""Checks, before any chunk, that executors read and write output.base_path where the driver does.

Decides what a user can do if they do not: a folder must be mounted everywhere at the same path, and an object store
must let executors in, by the keys of `storage:` or by a role of their own.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from statekeeper.config.sections.storage import StorageConfig, remember_storage
from statekeeper.config.sections.stores import FILE, is_object_store, scheme_of
from statekeeper.engines.spark.exchange_files import files_at
from statekeeper.errors import ConfigError
from statekeeper.store.files.durable import storage_errors

_WORD = "word"
_MOUNTED = "base_path must be a shared folder with the same path on every machine of the cluster"
_WRITABLE = "let the user that executors run as write to output.base_path"
_REACHED = (
    "executors get `storage:` of the configuration, and no environment variables of the driver: name endpoint, region "
    "and keys there, or let the role of the executors read and write output.base_path"
)

Tried = tuple[str | None, str | None]
"""The word that an executor has read, and why it could not read or write."""


@dataclass(frozen=True)
class PlaceCheck:
    """The place of an exchange, and how its object store is reached."""

    folder: Path
    storage: StorageConfig

    @property
    def modules(self) -> tuple[str, ...]:
        """What executors need for a place like this."""
        return ("obstore", "fsspec") if is_object_store(self.folder) else ()

    @property
    def hint_on_reading(self) -> str:
        return _MOUNTED if self._is_mounted else _REACHED

    @property
    def hint_on_writing(self) -> str:
        return _WRITABLE if self._is_mounted else _REACHED

    def put_word(self) -> str:
        """Write the word that executors have to read. Raises StorageError."""
        word, path = uuid4().hex, self.folder / _WORD
        with storage_errors(path, "write"):
            files_at(self.folder).write(path, word.encode())
        return word

    def trial(self) -> Callable[[str], Tried]:
        """The function that executors call with a name of their own. It is sent by value.

        In a folder it works where statekeeper is not installed. A store is tried once statekeeper is there.
        """
        if self._is_mounted:
            return _trial_in_folder(str(self.folder))
        pickled = pickle.dumps(self)

        def in_store(name: str) -> Tried:
            import pickle as local_pickle

            try:
                place = local_pickle.loads(pickled)  # noqa: S301 - it came with this function
            except (ImportError, AttributeError):  # it has no statekeeper yet, or another version
                return None, None
            tried: Tried = place.tried(name)
            return tried

        return in_store

    def tried(self, name: str) -> Tried:
        """Read the word, and write and remove an object: what an executor does."""
        word = None
        try:
            remember_storage(self.folder, self.storage)
            files = files_at(self.folder)
            word = files.read(self.folder / _WORD).decode()
            files.write(self.folder / f"hello-{name}", word.encode())
            files.unlink(self.folder / f"hello-{name}")
        except (OSError, ConfigError) as error:
            return word, str(error)
        return word, None

    @property
    def _is_mounted(self) -> bool:
        return scheme_of(self.folder) == FILE


def _trial_in_folder(folder: str) -> Callable[[str], Tried]:
    word_name = _WORD

    def in_folder(name: str) -> Tried:
        import os

        word = None
        try:
            with open(f"{folder}/{word_name}") as file:  # noqa: PTH123 - with as few imports as can be
                word = file.read()
            hello = f"{folder}/hello-{name}"
            with open(hello, "w") as file:  # noqa: PTH123
                file.write(word)
            os.unlink(hello)  # noqa: PTH108
        except OSError as error:
            return word, str(error)
        return word, None

    return in_folder
