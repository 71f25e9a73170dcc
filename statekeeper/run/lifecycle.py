"""The state machine of an extraction: one literal table of transitions, and the only place where a state changes.

Decides which trigger is allowed in which state, and that a new state is durable before memory moves. What leads to a
trigger, and the work of a state, is decided by `statekeeper.run.table_run`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from transitions import EventData, Machine, MachineError

from statekeeper.errors import IllegalTransition
from statekeeper.model.record import Owner, State, StateRecord, Trigger
from statekeeper.runtime.context import Run
from statekeeper.store.files.failpoints import failpoint

Change = Callable[[StateRecord], StateRecord]
Save = Callable[[StateRecord], StateRecord]
"""Makes a record durable before it returns it, as saved."""


_PENDING, _EXTRACTING, _VALIDATING = State.PENDING, State.EXTRACTING, State.VALIDATING
_COMPLETE, _FAILED = State.COMPLETE, State.FAILED

TRANSITIONS: tuple[dict[str, Any], ...] = (
    # plan and snapshot are durable
    {"trigger": Trigger.START, "source": _PENDING, "dest": _EXTRACTING},
    # an owner died; the rest of the work goes on
    {"trigger": Trigger.RESUME, "source": _EXTRACTING, "dest": _EXTRACTING},
    {"trigger": Trigger.RESUME, "source": _VALIDATING, "dest": _VALIDATING},
    # every chunk has a receipt
    {"trigger": Trigger.EXTRACTED, "source": _EXTRACTING, "dest": _VALIDATING},
    # checks hold and data is published
    {"trigger": Trigger.PASSED, "source": _VALIDATING, "dest": _COMPLETE},
    # a staged part is damaged: its chunk again, same snapshot
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
    "before_state_change": "persist",  # a failed save then leaves memory equal to disk
}


class Lifecycle:
    """One extraction's state machine over its persisted record.

    `fire` and `amend` are durable before they return; when the store refuses, its error passes and the record is
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
        # The library announces the state that it enters; `persist` has put it on disk and into the record already.
        assert value == self._record.state, f"{value} was not persisted"

    def fire(self, trigger: Trigger, *, change: Change | None = None, reason: str | None = None) -> StateRecord:
        """Follow a transition, with `change` made to the record in the same save.

        Raises:
            IllegalTransition: the table has no such transition from the present state.
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
        """Put the state that `event` leads to on disk; called by the library before it changes the state."""
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
    """Follow a transition of a table, durably, then tell reporter and hooks of the state that it has entered.

    Raises:
        StorageError, LockLost, IllegalTransition: nothing has changed, and nobody was told.
    """

    def transition() -> None:
        failpoint("transition", trigger, "before")
        lifecycle.fire(trigger, change=change, reason=reason)
        failpoint("transition", trigger, "after")

    before = lifecycle.record
    try:
        await run.threads.disk.do(transition)
    finally:  # also if we were cancelled meanwhile: it has happened
        record = lifecycle.record
        if record is not before:
            run.reporter.table_state(record.table.key, record.state, reason)
            run.hooks.entered(record, reason)


def _entered_name(event: EventData) -> str:
    assert event.transition is not None, "the library calls this within a transition only"
    return str(event.transition.dest)


@cache
def _machine() -> Machine:
    """The machine of all extractions. None is added to it as a model: it would keep each for as long as we live."""
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
