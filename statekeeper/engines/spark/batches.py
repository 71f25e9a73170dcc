"""Batches of items for a running partition, each sent as a sealed file in the exchange.

A batch is pickled, and unpickling runs code. So it is sealed (by an HMAC) with a key that is sent only in the function
that Spark ships to its workers. A process that can write to the folder but does not have the key cannot run code. The
seal also detects a partly written file. A batch holds no secrets: credentials are sent with the key.
"""

from __future__ import annotations

import hashlib
import hmac
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from statekeeper.engines.context import WorkContext

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
    pickled = pickle.dumps(batch)
    return hmac.digest(key, pickled, hashlib.sha256) + pickled


def unseal(sealed: bytes, key: bytes) -> Batch | None:
    """The batch in the bytes of a file; None if it is partly written, or was sealed with another key."""
    seal_found, pickled = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    if not hmac.compare_digest(seal_found, hmac.digest(key, pickled, hashlib.sha256)):
        return None
    batch: Batch = pickle.loads(pickled)  # noqa: S301 - the seal proves that the writer has the key
    return batch
