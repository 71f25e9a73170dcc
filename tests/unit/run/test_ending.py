"""Where a table's turn ends: state, run record, report, exit code and hooks say the same, whatever went wrong."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import FailureKind, LockLost, StateDamaged
from statekeeper.model.hook_event import HookResult
from statekeeper.model.manifest import FoundBy, TableFailure
from statekeeper.model.state import Failure, State
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess
from statekeeper.run.status import read_status
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.locks.flock import FileLock
from statekeeper.store.manifest import load_manifest, update_manifest
from tests.unit.small_shop import DAY, Heard, Shop

MODEL = "from pydantic import BaseModel\nclass Orders(BaseModel):\n    id: int\n"
BROKEN = "import no_such_module\n"


@pytest.fixture
def hooked(monkeypatch):
    """What the hooks were told: table, state, kind of failure."""
    told = []

    def tell(hook, event, **_options):
        told.append((event.table, str(event.state), event.failure_kind))
        return HookResult(hook="command true", is_ok=True)

    monkeypatch.setattr("statekeeper.runtime.hook_runner.run_hook", tell)
    return told


@pytest.fixture
def shop(tmp_path, hooked):
    shop = Shop(tmp_path)
    shop.execute("create table orders as select i as id from range(20) r(i)")
    (tmp_path / "orders.py").write_text(MODEL)
    return shop


ON_FAILED = {"on_enter": {"failed": [{"command": "true"}]}}


def _run(shop, *, is_forced=False, **choices):
    """The report of the run of one table with a model, and the run's exit code."""
    table = {"table_name": "orders", "schema": f"{shop.folder}/orders.py:Orders", **choices.pop("table", {})}
    runner = shop.runner(table, states=ON_FAILED, **choices)
    report = runner.run(runner.pipeline.tables, reprocess=Reprocess.ALL if is_forced else Reprocess.STALE)
    return report.tables[0], report.exit_code


def _recorded(shop):
    """The kind of failure that the run's record tells of the table, None where it tells of none."""
    manifest = load_manifest(LocalDisk(), shop.folder / "data", f"shop-{DAY:%Y%m%d}")
    found = next(iter(manifest.failures), None)
    return found and found.failure.kind


def _status(shop):
    return read_status(shop.folder / "data", f"shop-{DAY:%Y%m%d}")


def _write(shop, text):
    (shop.folder / "orders.py").write_text(text)


class Refusing(LocalDisk):
    """Refuses to write files of some roles."""

    def __init__(self, *roles):
        self.roles = roles

    def write_new(self, path, data, *, role, **options):
        if role in self.roles:
            raise OSError(28, "No space left on device")
        super().write_new(path, data, role=role, **options)


class TestBrokenModel:
    def test_before_the_first_start_the_failure_is_in_the_state(self, shop, hooked):
        _write(shop, BROKEN)
        report, code = _run(shop)
        assert (report.outcome, code) == (Outcome.FAILED, 1)
        assert (shop.state().state, shop.state().failure.kind) == (State.FAILED, FailureKind.CONFIG)
        assert (hooked, _recorded(shop)) == ([("shop.orders", "failed", "config")], None)

    def test_every_run_reports_it_until_it_is_repaired(self, shop, hooked):
        for _ in range(2):
            _write(shop, BROKEN)
            assert _run(shop)[0].outcome is Outcome.FAILED
        assert hooked == [("shop.orders", "failed", "config")] * 2
        assert shop.state().failure.failed_in is State.PENDING
        _write(shop, MODEL)
        assert _run(shop)[0].outcome is Outcome.COMPLETED

    def test_a_half_extracted_table_keeps_its_plan(self, shop, hooked):
        class Interrupting(InlineEngine):
            async def run(self, job):
                if job.work.__name__ == "extract_chunk":
                    os.kill(os.getpid(), signal.SIGINT)
                    await asyncio.sleep(5)
                return await super().run(job)

        _run(shop, make_engine=lambda _p: Interrupting(memory_limit="100MB"))
        plan = shop.state().plan_id
        _write(shop, BROKEN)
        _run(shop)
        assert (shop.state().state, shop.state().failure.failed_in) == (State.FAILED, State.EXTRACTING)
        _write(shop, MODEL)
        _run(shop)
        assert (shop.state().state, shop.state().published.plan_id) == (State.COMPLETE, plan)

    @pytest.mark.parametrize("is_forced", [False, True])
    def test_a_complete_table_stays_published_but_its_run_fails(self, shop, hooked, is_forced):
        _run(shop)
        before = shop.layout().output.stat().st_ino
        _write(shop, BROKEN)
        report, code = _run(shop, is_forced=is_forced)
        assert (report.outcome, report.failure.kind, code) == (Outcome.FAILED, FailureKind.CONFIG, 1)
        assert (shop.state().state, shop.layout().output.stat().st_ino) == (State.COMPLETE, before)
        assert (hooked, _recorded(shop)) == ([("shop.orders", "failed", "config")], FailureKind.CONFIG)
        assert (_status(shop).state, _status(shop).tables[0].failure.kind) == ("failed", "config")
        _write(shop, MODEL)
        assert _run(shop)[0].outcome is Outcome.SKIPPED
        assert (_recorded(shop), _status(shop).state) == (None, "complete")


class TestStateThatCannotBeWritten:
    def test_hooks_are_told_of_a_torn_state(self, shop, hooked):
        _run(shop)
        shop.layout().state.write_bytes(b"{")
        report, code = _run(shop)
        assert (report.outcome, report.failure.kind, code) == (Outcome.FAILED, FailureKind.STATE_DAMAGED, 1)
        assert shop.layout().state.read_bytes() == b"{"
        assert (hooked, _recorded(shop)) == ([("shop.orders", "failed", "state_damaged")], FailureKind.STATE_DAMAGED)
        assert _status(shop).state == "failed"

    def test_a_disk_that_refuses_the_state_does_not_hide_the_failure(self, shop, hooked):
        heard = Heard()

        class Failing(InlineEngine):
            async def run(self, job):
                if job.work.__name__ == "extract_chunk":
                    disk.roles = ("state",)
                    raise StateDamaged("the first cause")
                return await super().run(job)

        disk = Refusing()
        report, code = _run(shop, disk=disk, make_engine=lambda _p: Failing(memory_limit="100MB"), reporter=heard)
        assert (report.outcome, report.reason, code) == (Outcome.FAILED, "the first cause", 1)
        assert (hooked, _recorded(shop)) == ([("shop.orders", "failed", "state_damaged")], FailureKind.STATE_DAMAGED)
        assert any("cannot be recorded in its state" in warning for warning in heard.warnings)

    def test_hooks_are_told_of_a_lock_that_cannot_be_created(self, shop, hooked):
        shop.layout().lock.mkdir(parents=True)
        report, code = _run(shop)
        assert (report.outcome, report.failure.kind, code) == (Outcome.FAILED, FailureKind.STORAGE, 1)
        assert (hooked, _recorded(shop)) == ([("shop.orders", "failed", "storage")], FailureKind.STORAGE)
        shop.layout().lock.rmdir()
        assert _run(shop)[0].outcome is Outcome.COMPLETED
        assert _recorded(shop) is None


AFTERWARDS = [
    PermissionError("of the system's"),
    LockLost("taken over"),
    StateDamaged("a document"),
    KeyError("a defect"),
]


class TestErrorsAfterPublication:
    @pytest.mark.parametrize("error", AFTERWARDS, ids=lambda error: type(error).__name__)
    def test_an_error_of_the_sweep_does_not_fail_a_published_table(self, shop, hooked, monkeypatch, error):
        from statekeeper.publish import table_publication as extraction

        heard, sweep = Heard(), extraction.sweep

        def sweep_or_fail(*arguments, ownership=None, **options):
            if ownership is not None:  # the table is complete
                raise error
            sweep(*arguments, **options)

        monkeypatch.setattr(extraction, "sweep", sweep_or_fail)
        assert _run(shop, reporter=heard)[0].outcome is Outcome.COMPLETED
        assert len([warning for warning in heard.warnings if "it is complete" in warning]) == 1
        assert _run(shop)[0].outcome is Outcome.SKIPPED
        assert (shop.state().state, hooked) == (State.COMPLETE, [])

    def test_an_error_of_the_lock_release_does_not_fail_a_published_table(self, shop, hooked, monkeypatch):
        release = FileLock.release

        def release_and_fail(self):
            release(self)
            if self._path == shop.layout().lock:
                raise OSError(5, "Input/output error")

        monkeypatch.setattr(FileLock, "release", release_and_fail)
        assert _run(shop)[0].outcome is Outcome.COMPLETED
        assert hooked == []

    def test_a_signal_after_publication_interrupts_nothing(self, shop, monkeypatch):
        from statekeeper.publish import table_publication as extraction

        sweep = extraction.sweep

        def sweep_interrupted(*arguments, ownership=None, **options):
            if ownership is not None:  # the table is complete
                os.kill(os.getpid(), signal.SIGINT)
            sweep(*arguments, ownership=ownership, **options)

        monkeypatch.setattr(extraction, "sweep", sweep_interrupted)
        report, code = _run(shop)
        assert (report.outcome, code, shop.state().state) == (Outcome.COMPLETED, 0, State.COMPLETE)


def test_a_quick_verification_does_not_remove_what_verify_found(shop):
    quick = {"table": {"verify": "quick"}}
    _run(shop, **quick)
    data = bytearray(shop.layout().output.read_bytes())
    data[6] ^= 1  # of a value: sizes and footer are as they were
    shop.layout().output.write_bytes(bytes(data))
    assert _run(shop, **quick)[0].outcome is Outcome.SKIPPED
    runner = shop.runner({"table_name": "orders", "schema": f"{shop.folder}/orders.py:Orders"})
    failure = Failure(kind=FailureKind.DATA, message="found by verify", failed_in=State.COMPLETE)
    found = TableFailure(
        table=runner.pipeline.tables[0].table, found_by=FoundBy.VERIFY, at=datetime.now(UTC), failure=failure
    )
    update_manifest(
        LocalDisk(), runner.pipeline.output, runner.identity.run_id, lambda manifest: manifest.with_failure(found)
    )
    assert _run(shop, **quick)[0].outcome is Outcome.COMPLETED
    assert _recorded(shop) is None


def test_a_manifest_that_cannot_be_written_at_the_end_does_not_hide_the_outcomes(shop):
    disk = Refusing()

    class Late(InlineEngine):
        async def close(self):
            disk.roles = ("manifest",)
            await super().close()

    report, code = _run(shop, disk=disk, make_engine=lambda _p: Late(memory_limit="100MB"))
    assert (report.outcome, code) == (Outcome.COMPLETED, 0)
    assert Path(report.output_path).exists()
