"""What a partition is given to do, as it travels to a partition that runs already: a sealed file in the exchange.

A batch is pickled, and unpickling runs code: so it is sealed with a key that has only ever travelled in the function
that Spark sends to its workers. Whoever can write to the folder, and does not have the key, gets nothing run. The seal
also tells a file that is torn. No secret is in a batch: credentials travel with the key.
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
    """A job on its way to an executor. `source` names what it reads; `remote_result_type` is the type of its result,
    which travels back as JSON.
    """

    number: int
    table: str
    work: Callable[[Any, WorkContext], Any]
    spec: object
    source: str | None
    remote_result_type: Any


@dataclass(frozen=True)
class Batch:
    """What a slot does next, in this order. `serial` grows; without items, it ends."""

    slot: int
    serial: int
    items: tuple[Item, ...]


def seal(batch: Batch, key: bytes) -> bytes:
    """The batch as it lies in the exchange. Raises whatever pickling the classes in its specs raises."""
    pickled = pickle.dumps(batch)
    return hmac.digest(key, pickled, hashlib.sha256) + pickled


def unseal(sealed: bytes, key: bytes) -> Batch | None:
    """The batch of a file; None where it is torn, or was not written by who has the key."""
    seal_found, pickled = sealed[:_SEAL_BYTES], sealed[_SEAL_BYTES:]
    if not hmac.compare_digest(seal_found, hmac.digest(key, pickled, hashlib.sha256)):
        return None
    batch: Batch = pickle.loads(pickled)  # noqa: S301 - it was written by who has the key
    return batch
