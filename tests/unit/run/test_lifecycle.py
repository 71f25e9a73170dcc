from __future__ import annotations

import gc
import weakref
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeeper.errors import FailureKind, IllegalTransition, StorageError
from statekeeper.model.record import StateRecord, Trigger
from statekeeper.model.state import Failure, Owner, State
from statekeeper.model.table import TableRef
from statekeeper.run.lifecycle import TRANSITIONS, Lifecycle, mermaid
from tests.memory_state_store import MemoryStateStore

NOW = datetime(2026, 1, 6, tzinfo=UTC)
OWNER = Owner(host="h", boot_id="b", pid=1, started=1.0)


def _record(state=State.PENDING, *, failed_in=None):
    failure = Failure(kind=FailureKind.SOURCE, message="m", failed_in=failed_in) if failed_in else None
    table = TableRef(source_name="s", table_name="t", path_name="t")
    return StateRecord(
        run_id="r",
        pipeline="p",
        extraction_date="2026-01-06",
        table=table,
        fingerprint="f",
        state=state,
        failure=failure,
    )


def _lifecycle(record, store=None):
    return Lifecycle(record, save=(store or MemoryStateStore()).save, owner=OWNER, clock=lambda: NOW)


ALLOWED = {
    (State.PENDING, Trigger.START): State.EXTRACTING,
    (State.EXTRACTING, Trigger.RESUME): State.EXTRACTING,
    (State.VALIDATING, Trigger.RESUME): State.VALIDATING,
    (State.EXTRACTING, Trigger.EXTRACTED): State.VALIDATING,
    (State.VALIDATING, Trigger.PASSED): State.COMPLETE,
    (State.VALIDATING, Trigger.REDO): State.EXTRACTING,
    (State.PENDING, Trigger.FAIL): State.FAILED,
    (State.EXTRACTING, Trigger.FAIL): State.FAILED,
    (State.VALIDATING, Trigger.FAIL): State.FAILED,
    (State.FAILED, Trigger.RETRY): State.EXTRACTING,
    (State.EXTRACTING, Trigger.RESTART): State.PENDING,
    (State.VALIDATING, Trigger.RESTART): State.PENDING,
    (State.FAILED, Trigger.RESTART): State.PENDING,
    (State.COMPLETE, Trigger.RESTART): State.PENDING,
}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_every_pair_of_state_and_trigger_does_what_the_design_says(state, trigger):
    failed_in = State.EXTRACTING if state is State.FAILED else None
    store = MemoryStateStore()
    lifecycle = _lifecycle(_record(state, failed_in=failed_in), store)
    if (state, trigger) not in ALLOWED:
        with pytest.raises(IllegalTransition):
            lifecycle.fire(trigger)
        assert (lifecycle.state, store.load()) == (state, None)
        return
    lifecycle.fire(trigger, reason="why")
    assert lifecycle.state is ALLOWED[state, trigger]
    saved = store.load()
    assert saved.state is lifecycle.state
    assert (saved.history[-1].trigger, saved.history[-1].source, saved.history[-1].reason) == (trigger, state, "why")


@pytest.mark.parametrize("state", [State.PENDING, State.EXTRACTING, State.VALIDATING])
def test_retry_goes_back_to_where_it_failed(state):
    assert _lifecycle(_record(State.FAILED, failed_in=state)).fire(Trigger.RETRY).state is state


def test_a_failed_save_leaves_state_and_record_unchanged():
    def refuse(_record):
        raise StorageError("no space")

    before = _record()
    lifecycle = Lifecycle(before, save=refuse, owner=OWNER, clock=lambda: NOW)
    with pytest.raises(StorageError):
        lifecycle.fire(Trigger.START)
    assert lifecycle.record is before
    assert lifecycle.state is State.PENDING


def test_no_method_of_the_library_bypasses_the_table():
    lifecycle = _lifecycle(_record())
    assert not hasattr(lifecycle, "to_complete")
    assert not hasattr(lifecycle, "to_COMPLETE")


def test_a_state_cannot_be_assigned():
    with pytest.raises(AssertionError):
        _lifecycle(_record()).state = State.COMPLETE


@given(st.lists(st.sampled_from(list(Trigger)), max_size=12))
def test_after_any_triggers_memory_equals_the_saved_record(triggers):
    store = MemoryStateStore()
    lifecycle = _lifecycle(_record(), store)
    for trigger in triggers:
        failure = Failure(kind=FailureKind.SOURCE, message="m", failed_in=lifecycle.state)
        change = (lambda record, f=failure: record.failed(f, at=NOW)) if trigger is Trigger.FAIL else None
        try:
            lifecycle.fire(trigger, change=change)
        except IllegalTransition:
            continue
        saved = store.load()
        assert saved.model_copy(update={"checksum": ""}) == lifecycle.record.model_copy(update={"checksum": ""})


def test_the_diagram_has_every_transition_of_the_table():
    diagram = mermaid()
    for transition in TRANSITIONS:
        assert str(transition["trigger"]) in diagram
    assert "complete --> pending: restart" in diagram


def test_a_finished_lifecycle_is_not_kept_in_memory():
    lifecycle = _lifecycle(_record())
    lifecycle.fire(Trigger.START)
    kept = weakref.ref(lifecycle)
    del lifecycle
    gc.collect()
    assert kept() is None
