"""What a lock file says, and the interface of a held lock.

How a lock is taken is decided in `store.locks.flock` and `store.locks.lease`.
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
from statekeeper.model.record import Owner
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
        """A new acquisition, now."""
        return cls(
            owner=owner, epoch=epoch, token=uuid4().hex, since=datetime.now(UTC), ttl_seconds=ttl.total_seconds()
        )

    def beaten(self) -> Self:
        """The same, with one more sign of life."""
        return self.model_copy(update={"beats": self.beats + 1})

    def released(self) -> Self:
        """No longer held, since now."""
        return self.model_copy(update={"released_at": datetime.now(UTC)})


@dataclass(frozen=True)
class LockTrouble:
    """Why a lock is about to be lost, where and since when; `loss` is the error once it is."""

    message: str
    loss: LockLost | None


class ExtractionLock(ABC):
    """A lock that is held; also the fence of everything that its owner writes."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder

    @property
    def epoch(self) -> int:
        return self._holder.epoch

    @abstractmethod
    def check(self) -> None:
        """Raise LockLost if this lock is no longer ours."""

    def trouble(self) -> LockTrouble | None:
        """What keeps this lock from being held on to; None if nothing does. It touches no file, so it never blocks.

        A lock that the system keeps by itself has none.
        """
        return None

    @abstractmethod
    def for_workers(self) -> Fence:
        """The fence for workers of this process, which look at it before they write what readers may see."""

    @abstractmethod
    def release(self) -> None:
        """Let others have it; a second time, or after it was lost, does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.release()


def parse_holder(content: bytes, path: Path) -> Holder | None:
    """What a lock file says; None if it is torn, as it may be while its owner writes it, or a later version's."""
    try:
        return Holder.from_bytes(content, where=str(path))
    except UnreadableDocument:
        return None


def held(path: Path, holder: Holder | None) -> LockHeld:
    """The error for a lock that somebody else has."""
    who = f"{holder.owner}, since {holder.since:%Y-%m-%d %H:%M:%S} UTC" if holder else "a runner that left no name"
    return LockHeld(
        f"{path} is held by {who}",
        hint="let that run end, or stop it; then do the same again",
    )
