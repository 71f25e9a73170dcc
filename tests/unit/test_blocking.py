"""The parent's event loop never blocks: a slow disk delays neither it nor what is done on a signal."""

from __future__ import annotations

import asyncio
import inspect
import io
import threading

import pytest

from statekeeper.engines.inline import InlineEngine
from statekeeper.maintenance import preview_tables, verify_tables
from statekeeper.report import Outcome
from statekeeper.store.disk import Disk, LocalDisk, WholeFileDisk

from .small_shop import Shop

ROWS = 100
MODEL = """
import asyncio
from pydantic import BaseModel, Field

try:
    asyncio.get_running_loop()
except RuntimeError:
    pass
else:
    raise RuntimeError("imported on an event loop")

class Orders(BaseModel):
    id: int = Field(ge=3)
    customer: int
"""
STEPS = frozenset(name for name, _ in inspect.getmembers(Disk, inspect.isfunction) if not name.startswith("_"))


class ThreadEngine(InlineEngine):
    """Does every job in a thread, one after the other, and remembers the thread of the event loop."""

    def __init__(self):
        super().__init__(memory_limit="100MB")
        self.loop_thread = threading.get_ident()
        self.one_at_a_time = asyncio.Lock()

    async def run(self, job):
        async with self.one_at_a_time:
            return await asyncio.to_thread(self._done, super().run(job))

    def _done(self, coroutine):
        try:
            coroutine.send(None)  # its one pause
            coroutine.send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError("an inline job waits for nothing")


def _watching(kind, blocked):
    """A disk that notes which of its steps are done on the thread of an event loop."""

    class Watched(kind):
        def __getattribute__(self, name):
            step = super().__getattribute__(name)
            if name not in STEPS:
                return step

            def watched(*arguments, **options):
                _note_if_on_loop(blocked, f"{name} {arguments[0].name} {options.get('role', '')}")
                return step(*arguments, **options)

            return watched

        def __reduce__(self):
            return kind, ()

    return Watched()


def _note_if_on_loop(blocked, what):
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    blocked.append(what)


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute(
        f"create table orders as select i as id, i % 10 as customer from range({ROWS}) r(i)",
        "create table customers as select i as id from range(10) r(i)",
    )
    (tmp_path / "orders.py").write_text(MODEL)
    return shop


def _tables(shop):
    orders = {
        "table_name": "orders",
        "schema": f"{shop.folder}/orders.py:Orders",
        "on_violation": "quarantine",
        "chunking": {"strategy": "rowid", "target_rows": 40},
        "unique": ["id"],
        "references": [{"columns": "customer", "table": "customers", "to": "id"}],
    }
    return [orders, {"table_name": "customers", "unique": ["id"]}]


def _choices(shop, disk):
    source = {"type": "duckdb", "path": str(shop.folder / "shop.duckdb"), "snapshot_scope": "run"}
    return {"disk": disk, "make_engine": lambda _p: ThreadEngine(), "sources": {"shop": source}}


class TestNothingIsDoneOnTheLoop:
    @pytest.mark.parametrize("kind", [LocalDisk, WholeFileDisk])
    def test_by_any_step_of_an_extraction(self, shop, monkeypatch, kind):
        blocked = []
        opened = io.open

        def open_watched(file, *arguments, **options):
            if str(file).startswith(str(shop.folder)):
                _note_if_on_loop(blocked, f"open {file}")
            return opened(file, *arguments, **options)

        monkeypatch.setattr("io.open", open_watched)
        tables, choices = _tables(shop), _choices(shop, _watching(kind, blocked))
        for is_forced in (False, False, True):  # extracted, skipped, extracted again
            reports = shop.run(*tables, is_forced=is_forced, **choices)
            assert all(report.is_good for report in reports.values()), reports
        runner = shop.runner(*tables, **choices)
        preview_tables(runner, runner.pipeline.tables)
        assert verify_tables(runner, runner.pipeline.tables).exit_code == 0
        assert blocked == []

    def test_by_a_failure_that_is_recorded(self, shop):
        blocked = []
        (shop.folder / "orders.py").write_text("import no_such_module")
        reports = shop.run(*_tables(shop), **_choices(shop, _watching(LocalDisk, blocked)))
        assert {report.outcome for report in reports.values()} == {Outcome.FAILED, Outcome.COMPLETED}
        assert blocked == []
