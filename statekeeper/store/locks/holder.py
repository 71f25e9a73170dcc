"""The content of a lock file, and the interface of a held lock.

`store.locks.flock` and `store.locks.lease` decide how a lock is taken.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from uuid import uuid4

from pydantic import AwareDatetime, Field

from statekeeper.errors import LockHeld, LockLost, UnreadableDocument
from statekeeper.model.base import Document
from statekeeper.model.state import Owner
from statekeeper.store.files.durable import Fence


class Holder(Document):
    """The content of a lock file."""

    format: Literal["statekeeper.lock"] = "statekeeper.lock"

    owner: Owner
    epoch: int = Field(ge=0)
    token: str = Field(description="of this one acquisition")
    since: AwareDatetime
    ttl_seconds: float = Field(gt=0, description="how long a lease lives without a heartbeat")
    released_at: AwareDatetime | None = None
    beats: int = Field(default=0, ge=0, description="the signs of life so far: while this grows, its owner lives")

    @classmethod
    def of(cls, owner: Owner, *, epoch: int, ttl: timedelta) -> Self:
        """A new acquisition, as of now."""
        return cls(
            owner=owner, epoch=epoch, token=uuid4().hex, since=datetime.now(UTC), ttl_seconds=ttl.total_seconds()
        )

    def beaten(self) -> Self:
        """The same with one more heartbeat."""
        return self.model_copy(update={"beats": self.beats + 1})

    def released(self) -> Self:
        """The same, released as of now."""
        return self.model_copy(update={"released_at": datetime.now(UTC)})


@dataclass(frozen=True)
class LockTrouble:
    """Why, where and since when a lock is about to be lost. `loss` is the error once it is lost."""

    message: str
    loss: LockLost | None


class ExtractionLock(ABC):
    """A lock that is held. It is also the fence of everything that its owner writes."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder

    @property
    def epoch(self) -> int:
        return self._holder.epoch

    @abstractmethod
    def check(self) -> None:
        """Raise LockLost if this lock is no longer ours."""

    def trouble(self) -> LockTrouble | None:
        """Why this lock is about to be lost; None if it is safe. This touches no file, so it never blocks.

        A lock that the operating system holds for us, such as a flock, is always safe.
        """
        return None

    @abstractmethod
    def for_workers(self) -> Fence:
        """The fence for workers of this process, which check it before they write anything that readers may see."""

    @abstractmethod
    def release(self) -> None:
        """Release the lock; does nothing if it was released or lost before."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.release()


def parse_holder(content: bytes, path: Path) -> Holder | None:
    """The content of a lock file; None if it is partly written, as while its owner writes it, or of a later version."""
    try:
        return Holder.from_bytes(content, where=str(path))
    except UnreadableDocument:
        return None


def held(path: Path, holder: Holder | None) -> LockHeld:
    """The error for a lock that another runner holds."""
    who = f"{holder.owner}, since {holder.since:%Y-%m-%d %H:%M:%S} UTC" if holder else "an unknown runner"
    return LockHeld(
        f"{path} is held by {who}",
        hint="wait until that run ends, or stop it; then try again",
    )
