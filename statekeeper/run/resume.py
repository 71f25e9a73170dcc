"""What a run does with an extraction as it finds it: the decision that makes every rerun idempotent. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import assert_never

from statekeeper.errors import FailureKind
from statekeeper.model.record import State, StateRecord, Trigger
from statekeeper.runtime.fingerprint import changed_aspects

_CURED_BY_RESTART = frozenset({FailureKind.DATA, FailureKind.SNAPSHOT_LOST})
"""Failures that doing the rest of the same plan would only repeat."""


class Reprocess(Enum):
    """Which complete extractions, whose data is as it was published, are extracted again."""

    NONE = auto()
    STALE = auto()
    """Those whose configuration has changed since."""
    ALL = auto()


@dataclass(frozen=True)
class Opening:
    """The first trigger of a run for an extraction (None: it goes on as it is, or is skipped), and why.

    `stale` names what has changed in the configuration of a complete extraction that is skipped all the same.
    """

    trigger: Trigger | None
    reason: str | None = None
    stale: tuple[str, ...] = ()


def opening_of(record: StateRecord, *, fingerprint: str, reprocess: Reprocess, damage: str | None) -> Opening:
    """The opening of an extraction.

    `fingerprint` is that of the present configuration; `damage` is what re-verification of a complete extraction found.
    """
    if record.state is State.PENDING:
        return Opening(None)
    if reprocess is Reprocess.ALL:
        return Opening(Trigger.RESTART, "--force-reprocess")
    made_for = (
        record.published.fingerprint if record.state is State.COMPLETE and record.published else record.fingerprint
    )
    changed = changed_aspects(made_for, fingerprint)
    if record.state is State.COMPLETE and reprocess is Reprocess.NONE:
        return Opening(Trigger.RESTART, damage) if damage else Opening(None, stale=changed)
    if changed:
        return Opening(Trigger.RESTART, f"its configuration changed: {', '.join(changed)}")
    match record.state:
        case State.COMPLETE:
            return Opening(Trigger.RESTART, damage) if damage else Opening(None)
        case State.EXTRACTING | State.VALIDATING:
            return Opening(Trigger.RESUME, "taken up where it was left")
        case State.FAILED:
            if record.failure is None or record.failure.kind in _CURED_BY_RESTART:
                return Opening(Trigger.RESTART, "its last plan could not be finished")
            return Opening(Trigger.RETRY, f"it failed before: {record.failure.message}")
        case _ as never:
            assert_never(never)
