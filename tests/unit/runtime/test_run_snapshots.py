"""One snapshot for all tables of a run: taken once, saved, lost for all, taken again for all."""

from __future__ import annotations

import shutil

import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import ConfigError, FailureKind
from statekeeper.model.plan import RunSnapshot
from statekeeper.model.preview import PreviewAction
from statekeeper.model.state import State
from statekeeper.run.preview import PreviewOptions, preview_tables
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess
from statekeeper.run.verify import verify_tables
from statekeeper.store.documents import save_run_snapshot
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.layout import run_snapshots_folder
from tests.messages import says
from tests.unit.small_shop import Heard, Shop

TABLES = ("orders", "customers", "items")


class RunShop(Shop):
    """Its source has one snapshot for all tables."""

    def runner(self, *tables, scope="run", **choices):
        source = {"type": "duckdb", "path": str(self.folder / "shop.duckdb"), "snapshot_scope": scope}
        return super().runner(*tables, sources={"shop": source}, **choices)

    @property
    def snapshots(self):
        """The files of the run's snapshots, by number."""
        folder = run_snapshots_folder(self.folder / "data", "shop-20260106", "shop")
        return {int(path.stem): path for path in sorted(folder.iterdir())} if folder.exists() else {}

    def tokens(self, *tables):
        """The snapshots at which these tables are published."""
        return {self.metadata(table).snapshot.token for table in tables}

    def change(self):
        """Replace the database by another, which has one order more."""
        path = self.folder / "shop.duckdb"
        other = Shop(self.folder / "other")
        other.folder.mkdir(exist_ok=True)
        shutil.copy(path, other.folder)
        other.execute("insert into orders select max(id) + 1 from orders")
        (other.folder / path.name).replace(path)


@pytest.fixture
def shop(tmp_path):
    shop = RunShop(tmp_path)
    shop.execute(*(f"create table {table} as select i as id from range(40) r(i)" for table in TABLES))
    return shop


def kept(path):
    return RunSnapshot.from_bytes(path.read_bytes(), where=str(path))


def test_all_tables_read_at_one_snapshot_that_is_kept(shop):
    reports = shop.run(*TABLES)
    assert {report.outcome for report in reports.values()} == {Outcome.COMPLETED}
    assert list(shop.snapshots) == [1]
    assert shop.tokens(*TABLES) == {kept(shop.snapshots[1]).snapshot.token}
    before = shop.snapshots[1].read_bytes()
    assert {report.outcome for report in shop.run(*TABLES).values()} == {Outcome.SKIPPED}
    assert (list(shop.snapshots), shop.snapshots[1].read_bytes()) == ([1], before)


def test_the_snapshot_is_durable_before_any_plan_and_asked_for_once(shop):
    steps = []

    class Disk(LocalDisk):
        def link(self, source, dest, *, role):
            steps.append(role)
            super().link(source, dest, role=role)

    class Engine(InlineEngine):
        async def run(self, job):
            steps.append(job.work.__name__)
            return await super().run(job)

    shop.run(*TABLES, disk=Disk(), make_engine=lambda _p: Engine(memory_limit="100MB"))
    assert steps.count("take_run_snapshot") == 1
    assert steps.index("run_snapshot") < steps.index("make_plan") < steps.index("plan")


def test_a_table_that_is_added_after_the_file_changed_fails_and_says_what_to_type(shop):
    shop.run("orders")
    shop.change()
    for _ in range(2):  # and no later run reads it at another snapshot
        reports = shop.run("orders", "customers")
        assert reports["orders"].outcome is Outcome.SKIPPED
        failure = reports["customers"].failure
        assert (failure.kind, failure.failed_in) == (FailureKind.SNAPSHOT_LOST, State.PENDING)
        assert says(failure.message, "run.tables_read_at_one_snapshot", source="shop")
        assert says(failure.message, "duckdb.file_was_written_since")
        assert says(
            failure.hint,
            "runtime.takes_a_new_snapshot",
            command="...force_reprocess=True for all tables of the run at once",
        )
        assert "a new plan" not in failure.hint
        assert not shop.layout("customers").output.exists()
    assert list(shop.snapshots) == [1]


def test_a_snapshot_that_is_lost_while_chunks_are_read_restarts_nothing(shop):
    class Engine(InlineEngine):
        async def run(self, job):
            if job.work.__name__ == "extract_chunk":
                shop.change()
            return await super().run(job)

    report = shop.run("orders", make_engine=lambda _p: Engine(memory_limit="100MB"))["orders"]
    assert report.failure.kind is FailureKind.SNAPSHOT_LOST
    assert [entry.trigger for entry in shop.state().history] == ["start", "fail"]


def test_a_run_that_is_forced_as_a_whole_takes_a_new_snapshot_for_all_tables(shop):
    shop.run(*TABLES)
    (old,) = shop.tokens(*TABLES)
    shop.change()
    reports = shop.run(*TABLES, is_forced=True)
    assert {report.outcome for report in reports.values()} == {Outcome.COMPLETED}
    assert list(shop.snapshots) == [1, 2]
    assert shop.tokens(*TABLES) == {kept(shop.snapshots[2]).snapshot.token} != {old}
    assert shop.rows("orders") == 41


def test_one_table_that_is_forced_reads_at_the_runs_snapshot(shop):
    runner = shop.runner(*TABLES)
    runner.run(runner.pipeline.tables)
    (report,) = runner.run(runner.pipeline.tables[:1], reprocess=Reprocess.ALL).tables
    assert report.outcome is Outcome.COMPLETED
    assert list(shop.snapshots) == [1]
    assert len(shop.tokens(*TABLES)) == 1
    shop.change()
    (report,) = runner.run(runner.pipeline.tables[:1], reprocess=Reprocess.ALL).tables
    assert report.failure.kind is FailureKind.SNAPSHOT_LOST
    assert shop.rows("orders") == 40, "readers keep what was published"


def test_tables_that_are_complete_at_an_older_snapshot_are_read_again(shop):
    shop.run(*TABLES)
    shop.change()

    class Engine(InlineEngine):
        async def run(self, job):
            if job.table == "shop.customers" and job.work.__name__ == "make_plan":
                raise ZeroDivisionError
            return await super().run(job)

    forced = shop.run(*TABLES, is_forced=True, make_engine=lambda _p: Engine(memory_limit="100MB"))
    assert forced["customers"].outcome is Outcome.FAILED
    assert len(shop.tokens(*TABLES)) == 2, "its old data is still there"
    # A run without force: tables at the new snapshot stay, the others are read at it.
    reports = shop.run(*TABLES)
    assert [reports[table].outcome for table in TABLES] == [Outcome.SKIPPED, Outcome.COMPLETED, Outcome.SKIPPED]
    assert shop.tokens(*TABLES) == {kept(shop.snapshots[2]).snapshot.token}


def test_a_complete_table_says_why_it_is_read_again(shop):
    shop.run("orders", "customers")
    shop.change()
    runner = shop.runner("orders", "customers")
    number_two = kept(shop.snapshots[1]).model_copy(update={"number": 2})
    token = number_two.snapshot.model_copy(update={"token": "another"})
    save_run_snapshot(LocalDisk(), shop.folder / "data", number_two.model_copy(update={"snapshot": token}))
    words = "it was not read at the run's snapshot of shop, another of "
    assert all(
        words in table.failure.message
        for table in verify_tables(runner, runner.pipeline.tables).tables
        if table.failure is not None
    )
    heard = Heard()
    shop.run("orders", reporter=heard)
    assert heard.states[0][1] == "pending"
    assert words in heard.states[0][2]


def test_a_plan_at_an_older_snapshot_is_discarded(shop):
    class Engine(InlineEngine):
        async def run(self, job):
            if job.work.__name__ == "extract_chunk":
                raise ZeroDivisionError
            return await super().run(job)

    shop.run("orders", make_engine=lambda _p: Engine(memory_limit="100MB"))
    old = shop.state().plan_id
    shop.change()
    shop.run("customers", is_forced=True)  # another process, all of whose tables are forced, but not all of the run's
    assert shop.run("orders")["orders"].failure.kind is FailureKind.SNAPSHOT_LOST
    shop.run("orders", "customers", is_forced=True)
    assert shop.state().published.plan_id != old
    assert len(shop.tokens("orders", "customers")) == 1


def test_of_two_processes_that_take_it_the_first_wins(shop):
    other = None

    class Engine(InlineEngine):
        async def run(self, job):
            nonlocal other
            result = await super().run(job)
            if job.work.__name__ == "take_run_snapshot":  # another process, which started later, is first
                other = RunSnapshot(run_id="shop-20260106", source_name="shop", number=1, snapshot=result)
                moved = result.model_copy(update={"taken_at": result.taken_at.replace(year=2027)})
                save_run_snapshot(LocalDisk(), shop.folder / "data", other.model_copy(update={"snapshot": moved}))
            return result

    reports = shop.run(*TABLES, make_engine=lambda _p: Engine(memory_limit="100MB"))
    assert {report.outcome for report in reports.values()} == {Outcome.COMPLETED}
    assert {shop.metadata(table).snapshot.taken_at.year for table in TABLES} == {2027}
    assert other is not None
    assert list(shop.snapshots) == [1]


def test_a_snapshot_whose_file_was_lost_is_taken_anew_and_all_tables_read_at_it(shop):
    shop.run(*TABLES)
    shop.snapshots[1].unlink()
    shop.change()
    assert {report.outcome for report in shop.run(*TABLES).values()} == {Outcome.COMPLETED}
    assert shop.tokens(*TABLES) == {kept(shop.snapshots[1]).snapshot.token}


def test_a_damaged_snapshot_stops_its_tables_and_a_forced_run_gets_past_it(shop):
    shop.run(*TABLES)
    shop.snapshots[1].write_bytes(b"{")
    reports = shop.run(*TABLES)
    assert {report.failure.kind for report in reports.values()} == {FailureKind.STATE_DAMAGED}
    assert all(says(report.failure.message, "model.not_whole_json") for report in reports.values())
    assert all("0001.json" in report.failure.message for report in reports.values())
    assert {report.outcome for report in shop.run(*TABLES, is_forced=True).values()} == {Outcome.COMPLETED}
    assert list(shop.snapshots) == [1, 2]


def test_a_table_of_its_own_snapshot_is_read_again_when_the_run_gets_one_and_not_the_other_way_round(shop):
    shop.run("orders", scope="table")
    shop.change()
    assert shop.run("orders", "customers")["orders"].outcome is Outcome.COMPLETED
    assert len(shop.tokens("orders", "customers")) == 1
    assert shop.run("orders", scope="table")["orders"].outcome is Outcome.SKIPPED


def test_the_plan_says_at_which_snapshot_tables_would_be_read(shop):
    runner = shop.runner("orders", "customers")
    (orders, _) = preview_tables(runner, runner.pipeline.tables).tables
    assert orders.notes == ("all tables of the run from shop read at one snapshot, which the first of them takes",)
    assert shop.snapshots == {}
    shop.run("orders")
    (_, customers) = preview_tables(runner, runner.pipeline.tables).tables
    token = kept(shop.snapshots[1]).snapshot.token
    assert f"read at one snapshot, {token[:12]}... of 20" in customers.notes[0]
    shop.change()
    (_, lost) = preview_tables(runner, runner.pipeline.tables).tables
    assert lost.failure.kind is FailureKind.SNAPSHOT_LOST
    assert says(lost.failure.hint, "runtime.takes_a_new_snapshot")
    forced = preview_tables(runner, runner.pipeline.tables, PreviewOptions(is_forced=True)).tables
    assert [plan.verdict for plan in forced] == [PreviewAction.RESTART, PreviewAction.START]
    assert all("which the first of them takes" in plan.notes[0] for plan in forced)


@pytest.mark.parametrize("mode", ["transaction", "none"])
def test_a_snapshot_of_one_session_cannot_be_the_runs(mode):
    login = {"dsn": "h/s", "user": "reader", "password": "secret"}
    source = {"type": "oracle", **login, "snapshot": mode, "snapshot_scope": "run"}
    with pytest.raises(ConfigError) as caught:
        pipeline_of({"sources": {"ora": source}, "tables": [{"table_name": "T"}]})
    assert "sources.ora.snapshot: expected 'scn' with snapshot_scope: run" in caught.value.message
    assert f"found '{mode}'" in caught.value.message


def test_a_table_cannot_leave_the_runs_snapshot_for_a_time_of_its_own():
    login = {"dsn": "h/s", "user": "reader", "password": "secret"}
    source = {"type": "oracle", **login, "snapshot_scope": "run"}
    table = {"table_name": "T", "flashback_timestamp": "2026-01-01T00:00:00Z"}
    with pytest.raises(ConfigError) as caught:
        pipeline_of({"sources": {"ora": source}, "tables": [table]})
    assert "tables[0].flashback_timestamp: with snapshot_scope: run" in caught.value.message
