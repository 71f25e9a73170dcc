"""The state of an extraction, the process that works on it, and why it failed: what every view of a run shows.

`statekeeper.model.record` stores them with the rest; `status` and `history` import no more than this.
"""

from __future__ import annotations

from enum import StrEnum

from statekeeper.errors import FailureKind, StatekeeperError
from statekeeper.model.base import StoredValue


class State(StrEnum):
    """The states of an extraction."""

    PENDING = "pending"
    EXTRACTING = "extracting"
    VALIDATING = "validating"
    COMPLETE = "complete"
    FAILED = "failed"


class Owner(StoredValue):
    """A runner's process, identified well enough to check that it is alive. `started` is in seconds after boot."""

    host: str
    boot_id: str
    pid: int
    started: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Failure(StoredValue):
    """Why and where an extraction failed. Secrets are removed before this is made."""

    kind: FailureKind
    code: str | None = None
    message: str
    hint: str | None = None
    failed_in: State

    @classmethod
    def of(cls, error: StatekeeperError, *, failed_in: State) -> Failure:
        """The failure for one of our errors."""
        return cls(kind=error.kind, code=error.code, message=error.message, hint=error.hint, failed_in=failed_in)
