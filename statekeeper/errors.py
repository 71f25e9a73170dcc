"""Every error that statekeeper raises on purpose: what it says, and what a caller may do about it.

Decides the kinds of failure (`FailureKind`), which of them a retry may cure, and what a process ends with (`ExitCode`).
It does not decide when to retry (`statekeeper.engines.retry`) nor how an error is shown (`statekeeper.cli`).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import ClassVar, Self


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
    """What a process ends with, where no signal interrupts it: then it is 128 and the number of the signal.

    A report has the worst of its tables' codes: interrupted over NO_SOURCE over FAILED over HELD.
    """

    COMPLETE = 0
    FAILED = 1
    USAGE = 2
    """The configuration or the command cannot be used."""
    HELD = 3
    """Nothing failed, but another runner works on some table."""
    NO_SOURCE = 4
    """A source could not be reached or refused the login."""

    @classmethod
    def of_failure(cls, kind: str | None) -> ExitCode:
        """The code of a table that failed; `kind` is a `FailureKind`, None where it is not known why."""
        return cls.NO_SOURCE if kind in NO_SOURCE else cls.FAILED


INTERRUPTED = 128 + 2
"""The exit code after SIGINT."""

_FROM_BEST_TO_WORST = (ExitCode.COMPLETE, ExitCode.HELD, ExitCode.FAILED, ExitCode.USAGE, ExitCode.NO_SOURCE)


def worst_exit_code(codes: Iterable[int]) -> int:
    """The one that counts of several; 0 of none."""
    return max(codes, key=_weight, default=ExitCode.COMPLETE)


def _weight(code: int) -> int:
    return next((weight for weight, known in enumerate(_FROM_BEST_TO_WORST) if known == code), code)


class StatekeeperError(Exception):
    """An error for a person: `message` names the thing, what was expected and what was found; `hint` is something to
    type or do.

    Values of rows may be personal data. An error that quotes one, or a text that may, also says itself `discreet`ly,
    without it; which of the two texts is told is decided in `statekeeper.text.privacy`.
    """

    exit_code: int = ExitCode.FAILED
    kind: ClassVar[FailureKind] = FailureKind.INTERNAL

    def __init__(
        self, message: str, *, hint: str | None = None, code: str | None = None, discreet: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.discreet = message if discreet is None else discreet
        """`message` without values of rows; the same where it quotes none."""
        self.hint = hint
        self.code = code
        """The driver's or the system's own code (`ORA-00942`, `ENOSPC`), where there is one."""

    def __str__(self) -> str:
        return self.message

    def within(self, place: str) -> Self:
        """The same error, whose texts begin with the place where it happened."""
        texts = {"message": f"{place}: {self.message}", "discreet": f"{place}: {self.discreet}"}
        return type(self)(**texts, hint=self.hint, code=self.code)


class ConfigError(StatekeeperError):
    """The configuration cannot be used; `message` holds every problem, a line each."""

    exit_code = ExitCode.USAGE
    kind = FailureKind.CONFIG


class UsageError(StatekeeperError):
    """The command line or a call's arguments ask for something that cannot be."""

    exit_code = ExitCode.USAGE
    kind = FailureKind.CONFIG


class SourceError(StatekeeperError):
    """The source refused a statement for good: asking again would get the same answer."""

    kind = FailureKind.SOURCE


class TransientSourceError(SourceError):
    """The source failed in a way that a later attempt may not (a dropped connection, no free session)."""

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
    """The table cannot be extracted as declared: a column has no exact representation, model and table do not meet."""

    kind = FailureKind.PLAN


class DataError(StatekeeperError):
    """A value or a batch from the source does not fit exactly what was planned, or counts do not agree."""

    kind = FailureKind.DATA


class ValidationFailed(StatekeeperError):
    """Rows break the schema; the findings stand in the violations file that `message` names."""

    kind = FailureKind.VALIDATION


class ParentMissing(StatekeeperError):
    """A table refers to one whose rows this run does not have yet; what is extracted stays, and a later run goes on."""

    kind = FailureKind.PARENT_MISSING


class UnreadableDocument(StatekeeperError):
    """A document of ours cannot be read as what it should be; it is left as it is."""

    kind = FailureKind.STATE_DAMAGED


class StateDamaged(UnreadableDocument):
    """A document of ours is torn or foreign; it is left as it is, as evidence."""


class NewerVersion(UnreadableDocument):
    """A document is of a higher version than this statekeeper reads. It is whole: nothing of it may be given up.

    So it is no StateDamaged, which may be begun anew; reports call it by the same kind.
    """


class StorageError(StatekeeperError):
    """The file system refused (no space, no permission); what was durable before still is."""

    kind = FailureKind.STORAGE


class OutOfMemory(StatekeeperError):
    """A process used up the memory that the system, or a limit, gives it."""

    kind = FailureKind.MEMORY


class WorkerDied(StatekeeperError):
    """A worker process ended without an answer, killed by the system or by a crash in native code."""

    kind = FailureKind.WORKER_DIED


class StateTimeout(StatekeeperError):
    """A state lasted longer than the configured `states.<state>.timeout`."""

    kind = FailureKind.TIMEOUT


class LockHeld(StatekeeperError):
    """Another runner works on this extraction; `message` names it."""

    exit_code = ExitCode.HELD
    kind = FailureKind.HELD


class LockLost(StatekeeperError):
    """Another runner took this extraction over while we were stopped; nothing more may be written."""

    exit_code = ExitCode.HELD
    kind = FailureKind.LOCK_LOST


class Interrupted(StatekeeperError):
    """The run was asked to stop; state is saved and `resume` goes on from it."""

    exit_code = INTERRUPTED
    kind = FailureKind.INTERRUPTED


class Terminated(Interrupted):
    """Interrupted by SIGTERM."""

    exit_code = 143


class IllegalTransition(StatekeeperError):
    """A trigger was fired in a state that the transition table does not allow it in: a defect of ours."""


class InternalError(StatekeeperError):
    """An exception nobody foresaw, carried out of a worker with its traceback, secrets removed."""


RETRYABLE = frozenset({FailureKind.TRANSIENT, FailureKind.WORKER_DIED})
"""The kinds that another attempt of the same work, at the same snapshot, may cure."""

NO_SOURCE = frozenset({FailureKind.LOGIN_REFUSED, FailureKind.UNREACHABLE})
"""The kinds after which no session with the source may be tried again in a run; its exit code is 4."""

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
    """The error class of a kind, so that a failure crosses a process boundary as plain values."""
    return _BY_KIND[kind](message, hint=hint, code=code)


def brief(error: BaseException) -> str:
    """What an error of a library says, in a line; one that came from Java says it in its second line, after a colon."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    of_java = [line.removeprefix(": ") for line in lines[1:2] if line.startswith(": ")]
    return next(iter(of_java + lines), "")
