"""The errors that statekeeper raises on purpose.

Decides the kinds of failure (`FailureKind`), which of them a retry may fix, and the exit codes (`ExitCode`).
When to retry is decided in `statekeeper.runtime.retried_jobs`, how an error is shown in `statekeeper.cli`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import ClassVar, Self

from statekeeper.text.places import with_addresses


class FailureKind(StrEnum):
    """Why an extraction failed, as persisted in its state and printed by `status`."""

    TRANSIENT = "transient"
    SNAPSHOT_LOST = "snapshot_lost"
    SOURCE = "source"
    LOGIN_REFUSED = "login_refused"
    UNREACHABLE = "unreachable"
    PLAN = "plan"
    DATA = "data"
    VALIDATION = "validation"
    PARENT_MISSING = "parent_missing"
    STATE_DAMAGED = "state_damaged"
    STORAGE = "storage"
    MEMORY = "memory"
    WORKER_DIED = "worker_died"
    TIMEOUT = "timeout"
    CONFIG = "config"
    HELD = "held"
    LOCK_LOST = "lock_lost"
    INTERRUPTED = "interrupted"
    INTERNAL = "internal"


class ExitCode(IntEnum):
    """A process's exit code; after a signal it is 128 plus the signal's number.

    A report has the worst code of its tables: interrupted over NO_SOURCE over FAILED over HELD.
    """

    COMPLETE = 0
    FAILED = 1
    USAGE = 2
    """The configuration or the command cannot be used."""
    HELD = 3
    """Nothing failed, but another runner holds a table."""
    NO_SOURCE = 4
    """A source could not be reached or refused the login."""

    @classmethod
    def of_failure(cls, kind: str | None) -> ExitCode:
        """The code of a failed table; `kind` is a `FailureKind`, or None if the reason is unknown."""
        return cls.NO_SOURCE if kind in NO_SOURCE else cls.FAILED


INTERRUPTED = 128 + 2
"""The exit code after SIGINT."""

_FROM_BEST_TO_WORST = (ExitCode.COMPLETE, ExitCode.HELD, ExitCode.FAILED, ExitCode.USAGE, ExitCode.NO_SOURCE)


def worst_exit_code(codes: Iterable[int]) -> int:
    """The worst of several exit codes; 0 for none."""
    return max(codes, key=_weight, default=ExitCode.COMPLETE)


def _weight(code: int) -> int:
    return next((weight for weight, known in enumerate(_FROM_BEST_TO_WORST) if known == code), code)


class StatekeeperError(Exception):
    """An error for a person: `message` names the object, what was expected and what was found; `hint` says what to
    type or do.

    Row values may be personal data. An error that may quote one also has the text `discreet`, without it;
    `statekeeper.text.privacy` decides which of the two is shown.
    """

    exit_code: int = ExitCode.FAILED
    kind: ClassVar[FailureKind] = FailureKind.INTERNAL

    def __init__(
        self, message: str, *, hint: str | None = None, code: str | None = None, discreet: str | None = None
    ) -> None:
        message = with_addresses(message)
        super().__init__(message)
        self.message = message
        self.discreet = message if discreet is None else with_addresses(discreet)
        """`message` without row values; equal to it where it quotes none."""
        self.hint = hint if hint is None else with_addresses(hint)
        self.code = code
        """The driver's or the system's code (`ORA-00942`, `ENOSPC`), if any."""

    def __str__(self) -> str:
        return self.message

    def within(self, place: str) -> Self:
        """The same error with the place where it happened in front of its texts."""
        texts = {"message": f"{place}: {self.message}", "discreet": f"{place}: {self.discreet}"}
        return type(self)(**texts, hint=self.hint, code=self.code)


class ConfigError(StatekeeperError):
    """The configuration cannot be used; `message` lists every problem, one per line."""

    exit_code = ExitCode.USAGE
    kind = FailureKind.CONFIG


class UsageError(StatekeeperError):
    """The command line or a call has invalid arguments."""

    exit_code = ExitCode.USAGE
    kind = FailureKind.CONFIG


class SourceError(StatekeeperError):
    """The source refused a statement permanently: a retry would fail the same way."""

    kind = FailureKind.SOURCE


class TransientSourceError(SourceError):
    """The source failed in a way that a retry may fix (a dropped connection, no free session)."""

    kind = FailureKind.TRANSIENT


class SnapshotLost(SourceError):
    """The source can no longer read at the plan's snapshot, so the plan can never be finished."""

    kind = FailureKind.SNAPSHOT_LOST


class LoginRefused(SourceError):
    """The source refused the credentials; no further login may be tried, since accounts lock."""

    exit_code = ExitCode.NO_SOURCE
    kind = FailureKind.LOGIN_REFUSED


class SourceUnreachable(SourceError):
    """No session could be opened at all: wrong host, closed port, absent file."""

    exit_code = ExitCode.NO_SOURCE
    kind = FailureKind.UNREACHABLE


class PlanError(StatekeeperError):
    """The table cannot be extracted as declared: a column has no exact type, or model and table do not match."""

    kind = FailureKind.PLAN


class DataError(StatekeeperError):
    """A value or batch from the source does not match the plan exactly, or counts differ."""

    kind = FailureKind.DATA


class ValidationFailed(StatekeeperError):
    """Rows break the schema; `message` names the violations file with the findings."""

    kind = FailureKind.VALIDATION


class ParentMissing(StatekeeperError):
    """A table references one that this run has not extracted yet; extracted rows stay, and a later run continues."""

    kind = FailureKind.PARENT_MISSING


class UnreadableDocument(StatekeeperError):
    """A document of ours cannot be read; it is left unchanged."""

    kind = FailureKind.STATE_DAMAGED


class StateDamaged(UnreadableDocument):
    """A document of ours is torn or foreign; it is left unchanged, as evidence."""


class NewerVersion(UnreadableDocument):
    """A document has a higher version than this statekeeper reads. It is intact, so nothing of it may be discarded.

    Unlike StateDamaged it must not be restarted; reports use the same kind for both.
    """


class StorageError(StatekeeperError):
    """The file system failed (no space, no permission); what was durable before still is."""

    kind = FailureKind.STORAGE


class OutOfMemory(StatekeeperError):
    """A process used all the memory that the system or a limit allows."""

    kind = FailureKind.MEMORY


class WorkerDied(StatekeeperError):
    """A worker process ended without a result: killed by the system, or crashed in native code."""

    kind = FailureKind.WORKER_DIED


class StateTimeout(StatekeeperError):
    """A state lasted longer than the configured `states.<state>.timeout`."""

    kind = FailureKind.TIMEOUT


class LockHeld(StatekeeperError):
    """Another runner works on this extraction; `message` names it."""

    exit_code = ExitCode.HELD
    kind = FailureKind.HELD


class LockLost(StatekeeperError):
    """Another runner took over this extraction while we were stopped; we must not write any more."""

    exit_code = ExitCode.HELD
    kind = FailureKind.LOCK_LOST


class Interrupted(StatekeeperError):
    """The run was asked to stop; its state is saved, and `resume` continues from it."""

    exit_code = INTERRUPTED
    kind = FailureKind.INTERRUPTED


class Terminated(Interrupted):
    """Interrupted by SIGTERM."""

    exit_code = 143


class IllegalTransition(StatekeeperError):
    """A trigger was fired in a state where the transition table does not allow it: a bug in statekeeper."""


class InternalError(StatekeeperError):
    """An unexpected exception, sent from a worker with its traceback, secrets removed."""


RETRYABLE = frozenset({FailureKind.TRANSIENT, FailureKind.WORKER_DIED})
"""The kinds that a retry of the same work at the same snapshot may fix."""

NO_SOURCE = frozenset({FailureKind.LOGIN_REFUSED, FailureKind.UNREACHABLE})
"""The kinds after which a run opens no further session with the source; its exit code is 4."""

_BY_KIND: dict[FailureKind, type[StatekeeperError]] = {
    cls.kind: cls
    for cls in (
        TransientSourceError,
        SnapshotLost,
        SourceError,
        LoginRefused,
        SourceUnreachable,
        PlanError,
        DataError,
        ValidationFailed,
        ParentMissing,
        StateDamaged,
        StorageError,
        OutOfMemory,
        WorkerDied,
        StateTimeout,
        ConfigError,
        LockHeld,
        LockLost,
        Interrupted,
        InternalError,
    )
}


def error_of(kind: FailureKind, message: str, *, hint: str | None, code: str | None) -> StatekeeperError:
    """An error of the kind's class, rebuilt from the plain values that cross a process boundary."""
    return _BY_KIND[kind](message, hint=hint, code=code)


def brief(error: BaseException) -> str:
    """A library error's message in one line; an error from Java has it in the second line, after a colon."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    of_java = [line.removeprefix(": ") for line in lines[1:2] if line.startswith(": ")]
    return next(iter(of_java + lines), "")
