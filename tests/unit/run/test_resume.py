"""What a run does first with an extraction, for every state that it may find."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeeper.errors import FailureKind, StateDamaged, UsageError
from statekeeper.model.record import Published, StateRecord, Trigger
from statekeeper.model.state import Failure, Owner, State
from statekeeper.model.table import TableRef
from statekeeper.run.lifecycle import Lifecycle
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess, decide_resume, find_record
from statekeeper.run.verify import verify_tables
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.layouts import HiveLayout
from tests.memory_state_store import MemoryStateStore
from tests.messages import raises_message
from tests.unit.engines.counting_engine import CountingEngine
from tests.unit.small_shop import Heard, Shop

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


def test_resume_skips_complete_tables_and_names_changes_of_their_configuration():
    decision = _decided(_record(State.COMPLETE), fingerprint=OTHER, reprocess=Reprocess.NONE)
    assert (decision.trigger, decision.stale) == (None, ("query",))


def test_resume_extracts_damaged_tables_again():
    decision = _decided(_record(State.COMPLETE), fingerprint=OTHER, reprocess=Reprocess.NONE, damage="a part is gone")
    assert (decision.trigger, decision.reason) == (Trigger.RESTART, "a part is gone")


@pytest.mark.parametrize("state", [State.EXTRACTING, State.VALIDATING, State.FAILED])
def test_resume_restarts_unfinished_extractions_whose_configuration_has_changed(state):
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
def test_unfinished_extractions_continue_and_complete_ones_are_skipped(state, trigger):
    assert _decided(_record(state)).trigger is trigger


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_force_or_a_changed_configuration_means_restart_with_the_reason(state):
    assert _decided(_record(state), reprocess=Reprocess.ALL).reason == "--force-reprocess"
    changed = _decided(_record(state), fingerprint=OTHER)
    assert (changed.trigger, changed.reason) == (Trigger.RESTART, "its configuration changed: query")


def test_an_extraction_that_has_not_started_is_never_restarted():
    assert _decided(_record(State.PENDING), fingerprint=OTHER, reprocess=Reprocess.ALL).trigger is None


def test_damaged_data_means_restart_and_says_what_is_damaged():
    decision = _decided(_record(State.COMPLETE), damage="x.parquet is missing")
    assert (decision.trigger, decision.reason) == (Trigger.RESTART, "x.parquet is missing")


def test_a_complete_table_is_compared_with_the_configuration_of_its_published_data():
    assert _decided(_record(State.COMPLETE, published_for=OTHER)).trigger is Trigger.RESTART
    assert _decided(_record(State.COMPLETE, published_for=OTHER), fingerprint=OTHER).trigger is None


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_failure_that_the_same_plan_would_repeat_means_a_new_plan(kind):
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


def test_an_extraction_that_failed_without_a_reason_begins_anew():
    record = _record(State.FAILED).model_copy(update={"failure": None})
    assert _decided(record).trigger is Trigger.RESTART


def test_what_is_published_says_nothing_of_an_extraction_that_is_under_way_again():
    record = _record(State.COMPLETE, published_for=OTHER).model_copy(update={"state": State.EXTRACTING})
    assert _decided(record).trigger is Trigger.RESUME
    assert _decided(record, fingerprint=OTHER).trigger is Trigger.RESTART


def test_a_complete_record_of_which_nothing_is_said_to_be_published_goes_by_its_own_configuration():
    record = _record(State.COMPLETE).model_copy(update={"published": None})
    assert _decided(record).trigger is None
    assert _decided(record, fingerprint=OTHER).trigger is Trigger.RESTART


@pytest.mark.parametrize("state", [State.EXTRACTING, State.VALIDATING, State.FAILED])
def test_what_is_unfinished_goes_on_also_where_nothing_complete_is_to_be_extracted_again(state):
    expected = Trigger.RETRY if state is State.FAILED else Trigger.RESUME
    assert _decided(_record(state), reprocess=Reprocess.NONE).trigger is expected


class TestRecord:
    """The record that a run finds of a table."""

    def _found(self, tmp_path, record):
        store = MemoryStateStore(record.to_bytes() if record else None)
        table = _record(State.PENDING).table
        layout = HiveLayout.of(base_path=tmp_path, table=table, extraction_date=date(2026, 1, 6), run_id="r")
        run = SimpleNamespace(run_id="r", disk=LocalDisk(), layout_of=lambda _config: layout)
        return layout, lambda: find_record(store, SimpleNamespace(table=table), run)

    def test_it_is_the_one_of_this_run_and_table(self, tmp_path):
        _, find = self._found(tmp_path, _record(State.EXTRACTING))
        assert find().to_bytes() == _record(State.EXTRACTING).to_bytes()

    @pytest.mark.parametrize(
        "changes", [{"run_id": "s"}, {"table": TableRef(source_name="s", table_name="u", path_name="t")}]
    )
    def test_that_of_another_run_or_table_is_refused(self, tmp_path, changes):
        layout, find = self._found(tmp_path, _record(State.EXTRACTING).model_copy(update=changes))
        with pytest.raises(StateDamaged) as caught:
            find()
        assert str(layout.state) in caught.value.message

    def test_without_one_nothing_was_begun(self, tmp_path):
        _, find = self._found(tmp_path, None)
        assert find() is None

    def test_a_date_that_belongs_to_another_run_is_refused_before_the_first_record(self, tmp_path):
        layout, find = self._found(tmp_path, None)
        layout.folder.mkdir(parents=True)
        (layout.folder / "other_state.json").write_text("{}")
        with raises_message(UsageError, "store.date_belongs_to_a_run", run="other"):
            find()


TABLES = (
    {"table_name": "orders", "verify": "quick", "chunking": {"strategy": "rowid", "target_rows": 100}},
    {"table_name": "customers"},
)


class RunShop(Shop):
    """One in which all tables read at one snapshot."""

    def runner(self, *tables, **choices):
        source = {"type": "duckdb", "path": str(self.folder / "shop.duckdb"), "snapshot_scope": "run"}
        return super().runner(*tables, **{"sources": {"shop": source}, **choices})

    @property
    def snapshots(self):
        """How many snapshots the run has taken."""
        return len(list((self.folder / "data/_runs").glob("*_snapshots/shop/*.json")))


@pytest.fixture
def shop(tmp_path):
    shop = RunShop(tmp_path)
    shop.execute(
        "create table orders as select i as id from range(300) r(i)", "create table customers as select 1 as id"
    )
    assert {each.outcome for each in shop.run(*TABLES).values()} == {Outcome.COMPLETED}
    return shop


def _outcomes(reports):
    return [reports[name].outcome for name in ("orders", "customers")]


def _verifications(shop, **choices):
    """How many extractions a run verifies."""
    engine = CountingEngine()
    shop.run(*TABLES, make_engine=lambda _pipeline: engine, **choices)
    return engine.done.count("verify_published")


class TestVerified:
    """What is complete is verified before it is skipped."""

    def test_complete_data_is_skipped_and_damaged_data_is_extracted_again(self, shop):
        next(shop.layout().output.iterdir()).unlink()
        heard = Heard()
        assert _outcomes(shop.run(*TABLES, reporter=heard)) == [Outcome.COMPLETED, Outcome.SKIPPED]
        (reason, *_) = [reason for key, _, reason in heard.states if key == "shop.orders"]
        assert "is missing" in reason

    def test_only_complete_data_that_a_run_may_skip_is_read(self, tmp_path):
        shop = Shop(tmp_path)
        shop.execute("create table orders as select 1 as id", "create table customers as select 1 as id")
        assert _verifications(shop) == 0
        assert _verifications(shop) == len(TABLES)
        assert _verifications(shop, is_forced=True) == 0

    def test_what_a_verification_found_is_mended_although_a_quick_look_does_not_see_it(self, shop):
        part = min(shop.layout().output.iterdir())
        content = part.read_bytes()
        part.write_bytes(content[:4] + bytes([content[4] ^ 1]) + content[5:])
        assert _outcomes(shop.run(*TABLES)) == [Outcome.SKIPPED, Outcome.SKIPPED]
        runner = shop.runner(*TABLES)
        assert verify_tables(runner, runner.pipeline.tables).tables[0].outcome is Outcome.FAILED
        assert _outcomes(shop.run(*TABLES)) == [Outcome.COMPLETED, Outcome.SKIPPED]

    def test_data_of_another_snapshot_than_the_runs_is_extracted_again(self, shop):
        (snapshot,) = (shop.folder / "data/_runs").glob("*_snapshots/shop/*.json")
        snapshot.unlink()
        assert _outcomes(shop.run(*TABLES)) == [Outcome.COMPLETED, Outcome.COMPLETED]


class TestForced:
    """Which snapshots a run takes anew."""

    def test_all_tables_of_a_source_forced_together_are_read_at_a_new_snapshot(self, shop):
        assert _outcomes(shop.run(*TABLES, is_forced=True)) == [Outcome.COMPLETED, Outcome.COMPLETED]
        assert shop.snapshots == 2

    def test_one_of_several_is_read_at_the_snapshot_that_the_others_were_read_at(self, shop):
        runner = shop.runner(*TABLES)
        report = runner.run(runner.pipeline.tables[:1], reprocess=Reprocess.ALL)
        assert [each.outcome for each in report.tables] == [Outcome.COMPLETED]
        assert shop.snapshots == 1

    def test_without_force_none_is_taken_anew(self, shop):
        shop.run(*TABLES)
        assert shop.snapshots == 1

    def test_tables_with_snapshots_of_their_own_give_none_up(self, tmp_path):
        shop = Shop(tmp_path)
        shop.execute("create table orders as select 1 as id")
        assert shop.run("orders", is_forced=True)["orders"].outcome is Outcome.COMPLETED
        assert not list((tmp_path / "data/_runs").glob("*_snapshots"))
