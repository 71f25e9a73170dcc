"""The state machine of an extraction: one literal table of transitions, and the only place where a state changes.

Decides which trigger is allowed in which state, and makes a new state durable before it changes in memory.
`statekeeper.run.table_run` decides when a trigger fires, and the work of each state.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from transitions import EventData, Machine, MachineError

from statekeeper.errors import IllegalTransition
from statekeeper.model.record import StateRecord, Trigger
from statekeeper.model.state import Owner, State
from statekeeper.runtime.context import Run
from statekeeper.store.files.failpoints import failpoint

Change = Callable[[StateRecord], StateRecord]
Save = Callable[[StateRecord], StateRecord]
"""Makes a record durable, then returns it as it was saved."""


_PENDING, _EXTRACTING, _VALIDATING = State.PENDING, State.EXTRACTING, State.VALIDATING
_COMPLETE, _FAILED = State.COMPLETE, State.FAILED

TRANSITIONS: tuple[dict[str, Any], ...] = (
    # plan and snapshot are durable
    {"trigger": Trigger.START, "source": _PENDING, "dest": _EXTRACTING},
    # an owner died; the work continues
    {"trigger": Trigger.RESUME, "source": _EXTRACTING, "dest": _EXTRACTING},
    {"trigger": Trigger.RESUME, "source": _VALIDATING, "dest": _VALIDATING},
    # every chunk has a receipt
    {"trigger": Trigger.EXTRACTED, "source": _EXTRACTING, "dest": _VALIDATING},
    # the checks passed and the data is published
    {"trigger": Trigger.PASSED, "source": _VALIDATING, "dest": _COMPLETE},
    # a staged part is damaged: its chunk is read again, at the same snapshot
    {"trigger": Trigger.REDO, "source": _VALIDATING, "dest": _EXTRACTING},
    # the failure is recorded first
    {"trigger": Trigger.FAIL, "source": [_PENDING, _EXTRACTING, _VALIDATING], "dest": _FAILED},
    # back to where it failed
    {"trigger": Trigger.RETRY, "source": _FAILED, "dest": _PENDING, "conditions": "has_failed_in_pending"},
    {"trigger": Trigger.RETRY, "source": _FAILED, "dest": _EXTRACTING, "conditions": "has_failed_in_extracting"},
    {"trigger": Trigger.RETRY, "source": _FAILED, "dest": _VALIDATING, "conditions": "has_failed_in_validating"},
    # snapshot lost, config changed, output damaged, or --force-reprocess
    {"trigger": Trigger.RESTART, "source": [_EXTRACTING, _VALIDATING, _FAILED, _COMPLETE], "dest": _PENDING},
)

_SETTINGS: dict[str, Any] = {
    "states": State,
    "transitions": TRANSITIONS,
    "auto_transitions": False,  # to_complete() would bypass the table
    "send_event": True,
    "before_state_change": "persist",  # if the save fails, memory stays equal to disk
}


class Lifecycle:
    """One extraction's state machine over its persisted record.

    `fire` and `amend` are durable before they return. If the store refuses, its error is raised and the record is
    unchanged.
    """

    def __init__(self, record: StateRecord, *, save: Save, owner: Owner, clock: Callable[[], datetime]) -> None:
        self._record = record
        self._save = save
        self._owner = owner
        self._clock = clock

    @property
    def record(self) -> StateRecord:
        """The record as it is on disk."""
        return self._record

    @property
    def state(self) -> State:
        return self._record.state

    @state.setter
    def state(self, value: State) -> None:
        # The library sets the state that it enters; `persist` has already saved it on disk and in the record.
        assert value == self._record.state, f"{value} was not persisted"

    def fire(self, trigger: Trigger, *, change: Change | None = None, reason: str | None = None) -> StateRecord:
        """Follow a transition, and apply `change` to the record in the same save.

        Raises:
            IllegalTransition: the table has no such transition from the current state.
            StorageError, LockLost: it could not be made durable; nothing has changed.
        """
        try:
            moved = _machine().events[trigger].trigger(self, change=change, reason=reason)
        except MachineError as error:
            raise IllegalTransition(f"{self._record.table.key}: {trigger} is not allowed in {self.state}") from error
        if not moved:
            raise IllegalTransition(f"{self._record.table.key}: no condition of {trigger} holds in {self.state}")
        return self._record

    def amend(self, change: Change) -> StateRecord:
        """Change the record without leaving the state."""
        self._record = self._save(change(self._record))
        return self._record

    def persist(self, event: EventData) -> None:
        """Save the state that `event` leads to; the library calls this before it changes the state."""
        change: Change | None = event.kwargs["change"]
        changed = change(self._record) if change else self._record
        self._record = self._save(
            changed.entered(
                State[_entered_name(event)],
                trigger=event.event.name,
                at=self._clock(),
                owner=self._owner,
                reason=event.kwargs["reason"],
            )
        )

    def has_failed_in_pending(self, _event: EventData) -> bool:
        return self._has_failed_in(State.PENDING)

    def has_failed_in_extracting(self, _event: EventData) -> bool:
        return self._has_failed_in(State.EXTRACTING)

    def has_failed_in_validating(self, _event: EventData) -> bool:
        return self._has_failed_in(State.VALIDATING)

    def _has_failed_in(self, state: State) -> bool:
        return self._record.failure is not None and self._record.failure.failed_in is state


async def follow(
    run: Run, lifecycle: Lifecycle, trigger: Trigger, *, change: Change | None = None, reason: str | None = None
) -> None:
    """Follow a transition of a table durably, then inform reporter and hooks about the new state.

    Raises:
        StorageError, LockLost, IllegalTransition: nothing has changed, and nobody was informed.
    """

    def transition() -> None:
        failpoint("transition", trigger, "before")
        lifecycle.fire(trigger, change=change, reason=reason)
        failpoint("transition", trigger, "after")

    before = lifecycle.record
    try:
        await run.threads.disk.do(transition)
    finally:  # also after a cancellation: the transition may have happened
        record = lifecycle.record
        if record is not before:
            run.reporter.table_state(record.table.key, record.state, reason)
            run.hooks.entered(record, reason)


def _entered_name(event: EventData) -> str:
    assert event.transition is not None, "the library calls this only during a transition"
    return str(event.transition.dest)


@cache
def _machine() -> Machine:
    """The machine of all extractions. No extraction is added as a model, because the machine would never release it."""
    return Machine(model=None, initial=State.PENDING, **_SETTINGS)


def mermaid() -> str:
    """The transition table as a Mermaid state diagram: an arrow for each pair of states, with its triggers."""
    arrows: dict[tuple[State, State], list[Trigger]] = {}
    for one in TRANSITIONS:
        sources = one["source"] if isinstance(one["source"], list) else [one["source"]]
        for source in sources:
            arrows.setdefault((source, one["dest"]), []).append(one["trigger"])
    lines = [f"  {source} --> {dest}: {' | '.join(triggers)}" for (source, dest), triggers in arrows.items()]
    return "\n".join(["stateDiagram-v2", "  direction LR", f"  [*] --> {State.PENDING}", *lines]) + "\n"
