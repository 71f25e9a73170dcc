"""Batches of items for a running partition, each sent as a sealed file in the exchange.

A batch is pickled, and unpickling runs code. So it is sealed (by an HMAC) with a key that is sent only in the function
that Spark ships to its workers. A process that can write to the folder but does not have the key cannot run code. The
seal also detects a partly written file. A batch holds no secrets: credentials are sent with the key. So are the
options of the object store, which are left out wherever the disk of a spec has them.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from statekeeper.config.sections.storage import StorageConfig
from statekeeper.engines.context import WorkContext

_STORAGE = "storage"
_SEAL_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Item:
    """A job as it is sent to an executor.

    `source` is the name of the source that it reads. `remote_result_type` is the type of its result, which comes back
    as JSON.
    """

    number: int
    table: str
    work: Callable[[Any, WorkContext], Any]
    spec: object
    source: str | None
    remote_result_type: Any


@dataclass(frozen=True)
class Batch:
    """The next items of a slot, in order. `serial` grows with each batch. A batch without items ends the slot."""

    slot: int
    serial: int
    items: tuple[Item, ...]


def seal(batch: Batch, key: bytes) -> bytes:
    """The bytes of the file of a batch. Raises whatever pickling the classes in its specs raises."""
    file = io.BytesIO()
    _WithoutStorage(file).dump(batch)
    pickled = file.getvalue()
    return hmac.digest(key, pickled, hashlib.sha256) + pickled


def unseal(sealed: bytes, key: bytes, storage: StorageConfig) -> Batch | None:
    """The batch in the bytes of a file; None if it is partly written, or was sealed with another key.

    `storage` is put back where `seal` left it out.
    """
    seal_found, pickled = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    if not hmac.compare_digest(seal_found, hmac.digest(key, pickled, hashlib.sha256)):
        return None
    batch: Batch = _WithStorage(io.BytesIO(pickled), storage).load()
    return batch


class _WithoutStorage(pickle.Pickler):
    """Leaves out the options of the store; a run has one."""

    def persistent_id(self, obj: object) -> str | None:
        return _STORAGE if isinstance(obj, StorageConfig) else None


class _WithStorage(pickle.Unpickler):  # of a batch whose seal proves that the writer has the key
    def __init__(self, file: io.BytesIO, storage: StorageConfig) -> None:
        super().__init__(file)
        self._storage = storage

    def persistent_load(self, pid: object) -> StorageConfig:
        assert pid == _STORAGE
        return self._storage
