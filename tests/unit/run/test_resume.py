"""What a run does first with an extraction, for every state that it may find."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeeper.errors import FailureKind
from statekeeper.model.record import Failure, Owner, Published, State, StateRecord, Trigger
from statekeeper.model.table import TableRef
from statekeeper.run.lifecycle import Lifecycle
from statekeeper.run.resume import Reprocess, decide_resume
from tests.memory_state_store import MemoryStateStore

SAME, OTHER = "source=1 query=2 schema=- window=-", "source=1 query=3 schema=- window=-"


def _record(state, *, kind=FailureKind.SOURCE, failed_in=State.EXTRACTING, published_for=SAME):
    published = Published(
        plan_id="p",
        records=1,
        bytes=1,
        checksum="c",
        output_path="o",
        metadata_md5="m",
        fingerprint=published_for,
    )
    return StateRecord(
        run_id="r",
        pipeline="p",
        extraction_date="2026-01-06",
        table=TableRef(source_name="s", table_name="t", path_name="t"),
        fingerprint=SAME,
        state=state,
        failure=Failure(kind=kind, message="why", failed_in=failed_in) if state is State.FAILED else None,
        published=published if state is State.COMPLETE else None,
    )


def _decided(record, *, fingerprint=SAME, reprocess=Reprocess.STALE, damage=None):
    return decide_resume(record, fingerprint=fingerprint, reprocess=reprocess, damage=damage)


def test_resume_leaves_what_is_complete_and_names_what_has_changed_in_its_configuration():
    decision = _decided(_record(State.COMPLETE), fingerprint=OTHER, reprocess=Reprocess.NONE)
    assert (decision.trigger, decision.stale) == (None, ("query",))


def test_resume_extracts_again_what_is_damaged():
    decision = _decided(_record(State.COMPLETE), fingerprint=OTHER, reprocess=Reprocess.NONE, damage="a part is gone")
    assert (decision.trigger, decision.reason) == (Trigger.RESTART, "a part is gone")


@pytest.mark.parametrize("state", [State.EXTRACTING, State.VALIDATING, State.FAILED])
def test_resume_begins_unfinished_extractions_anew_whose_configuration_has_changed(state):
    decision = _decided(_record(state), fingerprint=OTHER, reprocess=Reprocess.NONE)
    assert (decision.trigger, decision.stale) == (Trigger.RESTART, ())


@pytest.mark.parametrize(
    ("state", "trigger"),
    [
        (State.PENDING, None),
        (State.EXTRACTING, Trigger.RESUME),
        (State.VALIDATING, Trigger.RESUME),
        (State.COMPLETE, None),
        (State.FAILED, Trigger.RETRY),
    ],
)
def test_what_holds_is_gone_on_with_and_what_is_complete_is_skipped(state, trigger):
    assert _decided(_record(state)).trigger is trigger


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_forced_or_of_another_configuration_means_restart_with_the_reason(state):
    assert _decided(_record(state), reprocess=Reprocess.ALL).reason == "--force-reprocess"
    changed = _decided(_record(state), fingerprint=OTHER)
    assert (changed.trigger, changed.reason) == (Trigger.RESTART, "its configuration changed: query")


def test_nothing_is_restarted_that_has_not_begun():
    assert _decided(_record(State.PENDING), fingerprint=OTHER, reprocess=Reprocess.ALL).trigger is None


def test_damaged_data_means_restart_and_says_what_is_damaged():
    decision = _decided(_record(State.COMPLETE), damage="x.parquet is missing")
    assert (decision.trigger, decision.reason) == (Trigger.RESTART, "x.parquet is missing")


def test_what_is_complete_is_compared_with_the_configuration_that_its_data_was_made_for():
    assert _decided(_record(State.COMPLETE, published_for=OTHER)).trigger is Trigger.RESTART
    assert _decided(_record(State.COMPLETE, published_for=OTHER), fingerprint=OTHER).trigger is None


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_failure_that_the_same_plan_would_only_repeat_means_another_plan(kind):
    expected = Trigger.RESTART if kind in {FailureKind.DATA, FailureKind.SNAPSHOT_LOST} else Trigger.RETRY
    assert _decided(_record(State.FAILED, kind=kind)).trigger is expected


@given(
    state=st.sampled_from(State),
    kind=st.sampled_from(FailureKind),
    failed_in=st.sampled_from([State.PENDING, State.EXTRACTING, State.VALIDATING]),
    fingerprint=st.sampled_from([SAME, OTHER]),
    reprocess=st.sampled_from(Reprocess),
    damage=st.sampled_from([None, "damage"]),
)
def test_every_decision_is_a_transition_that_the_table_allows(state, kind, failed_in, fingerprint, reprocess, damage):
    record = _record(state, kind=kind, failed_in=failed_in)
    decision = _decided(record, fingerprint=fingerprint, reprocess=reprocess, damage=damage)
    if decision.trigger is None:
        return
    owner = Owner(host="h", boot_id="b", pid=1, started=1.0)
    save = MemoryStateStore().save
    moved = Lifecycle(record, save=save, owner=owner, clock=lambda: datetime(2026, 1, 6, tzinfo=UTC)).fire(
        decision.trigger, reason=decision.reason
    )
    assert moved.state not in {State.COMPLETE, State.FAILED}
    assert decision.reason
