"""How a run begins, is interrupted and ends."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import threading
import time
from datetime import date
from pathlib import Path

import pytest

from statekeeper.api import DataExtractor
from statekeeper.cli.app import run_command
from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import ConfigError, Interrupted, Terminated
from statekeeper.model.hook_event import HookResult
from statekeeper.model.state import State
from statekeeper.run.report import Outcome
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.run.verify import verify_tables
from statekeeper.runtime.progress import NullReporter
from tests.messages import says
from tests.unit.small_shop import CONFIG, Heard, Shop, configured, manifest


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shop = Shop(tmp_path)
    shop.execute("create table orders as select 1 as id", "create table customers as select 2 as id")
    Path("shop.yml").write_text(CONFIG)
    return shop


class Slow(InlineEngine):
    """Calls `meanwhile` when work has begun, then takes its time."""

    def __init__(self, meanwhile):
        super().__init__(memory_limit="100MB")
        self.meanwhile = meanwhile

    async def run(self, job):
        if job.work.__name__ in {"extract_chunk", "verify_published"}:
            self.meanwhile()
            await asyncio.sleep(20)
        return await super().run(job)


def _signal(number):
    """Sends a signal, once: a second one would end the tests."""
    numbers = [number]
    return lambda: os.kill(os.getpid(), numbers.pop()) if numbers else None


class TestInterruption:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_an_interrupted_run_ends_cleanly_and_can_be_resumed(self, shop, number, code):
        runner = shop.runner("orders", make_engine=lambda _p: Slow(_signal(number)))
        began = time.monotonic()
        report = runner.run(runner.pipeline.tables)
        assert time.monotonic() - began < 10
        assert (report.exit_code, report.tables[0].outcome) == (code, Outcome.INTERRUPTED)
        assert manifest().exit_code == code
        assert shop.run("orders")["orders"].outcome is Outcome.COMPLETED

    def test_a_signal_after_the_end_interrupts_nothing(self, shop):
        class Late(InlineEngine):
            async def close(self):
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(0.05)
                await super().close()

        runner = shop.runner("orders", make_engine=lambda _p: Late(memory_limit="100MB"))
        report = runner.run(runner.pipeline.tables)
        assert (report.exit_code, report.tables[0].outcome) == (0, Outcome.COMPLETED)

    def test_handlers_of_the_program_are_restored(self, shop):
        def mine(_number, _frame):
            """Nothing."""

        before = {number: signal.signal(number, mine) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            shop.run("orders")
            assert {signal.getsignal(number) for number in before} == {mine}
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, Interrupted), (signal.SIGTERM, Terminated)])
    def test_the_first_signal_ends_a_verification(self, shop, number, error):
        shop.run("orders")
        runner = shop.runner("orders", make_engine=lambda _p: Slow(_signal(number)))
        began = time.monotonic()
        with pytest.raises(error) as caught:
            verify_tables(runner, runner.pipeline.tables)
        assert time.monotonic() - began < 10
        assert caught.value.exit_code == 128 + number

    def test_an_interrupted_notebook_ends_its_run_too(self, shop):
        ready = threading.Event()
        runner = shop.runner("orders", make_engine=lambda _p: Slow(ready.set))

        def interrupt():
            ready.wait(10)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(threading.main_thread().ident), ctypes.py_object(KeyboardInterrupt)
            )
            # As Ctrl-C does, wake the thread up.
            os.kill(os.getpid(), signal.SIGUSR1)

        async def cell():
            return runner.run(runner.pipeline.tables)

        before = signal.signal(signal.SIGUSR1, lambda *_: None)
        try:
            threading.Thread(target=interrupt).start()
            report = asyncio.run(cell())
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert (report.exit_code, report.tables[0].outcome) == (130, Outcome.INTERRUPTED)


class TestManifest:
    def test_a_run_of_some_tables_keeps_the_earlier_tables(self, shop):
        configured().run(tables=["customers"])
        configured().run(tables=["orders"])
        assert [table.table_name for table in manifest().tables] == ["orders", "customers"]

    def test_tables_of_a_concurrent_process_are_kept(self, shop):
        def meanwhile():
            configured().run(tables=["customers"])

        class Engine(InlineEngine):
            async def run(self, job):
                if job.work.__name__ == "extract_chunk":
                    await asyncio.to_thread(meanwhile)
                return await super().run(job)

        extractor = configured()
        runner = Runner(
            pipeline=extractor.pipeline,
            identity=extractor.identity,
            reporter=NullReporter(),
            make_engine=lambda _p: Engine(memory_limit="100MB"),
        )
        runner.run(runner.pipeline.tables[:1])
        assert [table.table_name for table in manifest().tables] == ["orders", "customers"]

    def test_a_run_without_any_table_of_the_configuration_has_nothing_to_continue(self, shop):
        configured().run(tables=["orders"])
        Path("shop.yml").write_text(CONFIG.replace("{table_name: orders}, ", ""))
        extractor = configured()
        report = extractor.resume_begun()
        found = [(table.table.table_name, table.outcome) for table in report.tables]
        assert (found, report.exit_code) == ([("customers", Outcome.PENDING)], 1)
        report = extractor.resume()
        found = [(table.table.table_name, table.outcome) for table in report.tables]
        assert (found, report.exit_code) == ([("customers", Outcome.COMPLETED)], 0)


class TestResume:
    """Finishes what is not complete; what is complete and configured otherwise by now is named."""

    STALE = CONFIG.replace("{table_name: orders}", "{table_name: orders, columns: {id: {type: int, ge: 0}}}")

    @pytest.fixture
    def stale(self, shop):
        """The extractor of a run whose orders are complete and stale, and have changed in the source since."""
        configured().run()
        Path("shop.yml").write_text(self.STALE)
        shop.execute("insert into orders select 2")
        self.heard = Heard()
        return configured(reporter=self.heard)

    def test_resume_leaves_a_complete_stale_table_and_names_it(self, shop, stale):
        report = stale.resume()
        assert (report.exit_code, [table.outcome for table in report.tables]) == (0, [Outcome.SKIPPED] * 2)
        assert (report.tables[0].stale, report.tables[1].stale) == (("schema",), ())
        assert shop.rows() == 1
        command = "statekeeper run shop.yml --date 2026-01-06 --table shop.orders"
        assert [warning for warning in self.heard.warnings if f"`{command}`" in warning]
        assert report.next_steps[0].command == command

    def test_run_extracts_a_stale_table_again(self, shop, stale):
        assert stale.resume(stale=True).tables[0].outcome is Outcome.COMPLETED
        assert shop.rows() == 2

    def test_the_command_that_extracts_a_stale_table_is_shown(self, shop, stale, capsys):
        assert run_command(["resume", "shop.yml", "--no-progress"]) == 0
        shown = capsys.readouterr().out
        assert shop.rows() == 1
        assert "stale: its schema changed since it was extracted" in shown
        command = "run shop.yml --date 2026-01-06 --table shop.orders"
        assert f"statekeeper {command}" in shown
        assert run_command([*command.split(), "--no-progress"]) == 0
        assert shop.rows() == 2

    def test_resume_with_stale_extracts_it_again(self, shop, stale):
        assert run_command(["resume", "shop.yml", "--stale", "--no-progress"]) == 0
        assert shop.rows() == 2


class TestReporters:
    @pytest.mark.parametrize("error", [ValueError("a broken reporter"), TimeoutError("of its own")])
    def test_a_reporter_that_raises_stops_nothing(self, shop, caplog, error):
        class Broken(NullReporter):
            def __getattribute__(self, name):
                if name in {"table_state", "plan_ready", "rows_read", "chunk_done", "warning"}:
                    raise error
                return super().__getattribute__(name)

        assert shop.run("orders", reporter=Broken())["orders"].outcome is Outcome.COMPLETED
        assert len([record for record in caplog.records if "the reporter failed" in record.message]) == 1


def _refused():
    raise OSError("no room")


class TestHooks:
    def test_a_hook_that_cannot_be_started_stops_nothing(self, shop, caplog, monkeypatch):
        monkeypatch.setattr("statekeeper.runtime.hooks.tempfile.TemporaryFile", _refused)
        states = {"on_enter": {"complete": [{"command": "true"}]}}
        shop.run("orders", states=states)
        assert says(caplog.text, "runtime.hook_could_not_run")

    def test_a_redirected_webhook_is_warned_about(self, shop, caplog, monkeypatch):
        moved = HookResult(hook="webhook", is_ok=True, detail="was redirected within its host")
        monkeypatch.setattr("statekeeper.runtime.hook_runner.run_hook", lambda *_, **__: moved)
        shop.run("orders", states={"on_enter": {"complete": [{"webhook": "http://127.0.0.1:9/x"}]}})
        assert [record.levelname for record in caplog.records if "was redirected" in record.message] == ["WARNING"]

    def test_the_output_of_a_hook_is_logged_without_secrets(self, shop, caplog, monkeypatch):
        monkeypatch.setenv("CHAT_TOKEN", "s3cr3t-token")
        hook = {"command": "sh -c 'echo no $CHAT_TOKEN; exit 3'", "pass_env": ["CHAT_TOKEN"]}
        shop.run("orders", states={"on_enter": {"complete": [hook]}})
        assert "ended with 3; its output: no ***" in caplog.text
        assert "s3cr3t" not in caplog.text

    def test_a_slow_hook_delays_only_the_end_of_the_run(self, shop):
        names = [f"t{number}" for number in range(5)]
        shop.execute(*(f"create table {name} as select 1 as id" for name in names))
        all_complete, ended = shop.folder / "all-complete", shop.folder / "ended"
        slow = f"sh -c 'until [ -e {all_complete} ]; do sleep 0.05; done; echo >> {ended}'"
        complete = []

        class Watch(NullReporter):
            def table_state(self, key, state, reason):
                if state == "complete":
                    complete.append((key, ended.exists()))
                if len(complete) == len(names):
                    all_complete.touch()

        shop.run(*names, states={"on_enter": {"extracting": [{"command": slow}] * 2}}, reporter=Watch())
        assert len(complete) == len(names)
        assert not any(has_ended for _, has_ended in complete)
        assert len(ended.read_text().splitlines()) == 2 * len(names)


class TestPython:
    def _extractor(self, shop):
        return DataExtractor(
            sources={"shop": {"type": "duckdb", "path": "shop.duckdb"}},
            execution={"workers": 1},
            reporter=NullReporter(),
        )

    def test_a_table_in_several_runs_is_true_only_if_it_is_complete_in_each(self, shop):
        entries = [
            {"source_name": "shop", "table_name": "orders", "extraction_date": day, **more}
            for day, more in (("2026-01-06", {"custom_query": "select 1 / x from orders"}), ("2026-01-07", {}))
        ]
        assert self._extractor(shop).extract_tables_parallel(entries) == {"shop.orders": False}

    def test_a_mistake_in_any_entry_starts_nothing(self, shop):
        entries = [
            {"source_name": "shop", "table_name": "orders", "extraction_date": "2026-01-06"},
            {"source_name": "shop", "table_name": "orders", "extraction_date": "2026-01-07", "tabel": 1},
        ]
        with pytest.raises(ConfigError):
            self._extractor(shop).extract_tables_parallel(entries)
        assert not Path("data").exists()

    def test_a_configured_extractor_extracts_a_single_table_as_well(self, shop):
        extractor = configured()
        assert extractor.extract_table(source_name="shop", table_name="orders", extraction_date="2026-01-06")
        assert shop.rows() == 1

    def test_the_defaults_of_the_configuration_apply_to_a_single_table_too(self, shop):
        single = {"source_name": "shop", "table_name": "orders", "extraction_date": "2026-01-06"}
        with Path("shop.yml").open("a") as config:
            config.write("defaults: {retry: {attempts: 1, initial_delay: 5ms}, columns: {id: {type: int, ge: 100}}}\n")
        extractor = configured()
        report = extractor.extract_run([single], extraction_date="2026-01-06").tables[0]
        assert report.failure is not None
        assert "id ge" in report.failure.message
        report = extractor.extract_run([{**single, "columns": {"id": {"type": "int"}}}], extraction_date="2026-01-06")
        assert report.exit_code == 0, report.tables[0].failure

    def test_verification_covers_the_tables_of_the_run(self, shop):
        extractor = configured()
        extractor.run(tables=["orders"])
        report = extractor.verify()
        assert ([table.table.table_name for table in report.tables], report.exit_code) == (["orders"], 0)
        assert extractor.verify(tables=["customers"]).exit_code == 1

    def test_two_extractors_at_once_in_two_threads_extract_a_table_once(self, shop):
        shop.execute("create table large as select i as id from range(200000) r(i)")
        reports = []

        def extract():
            runner = shop.runner({"table_name": "large", "chunking": {"strategy": "rowid", "target_rows": 5000}})
            reports.append(runner.run(runner.pipeline.tables).tables[0].outcome)

        threads = [threading.Thread(target=extract) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert reports.count(Outcome.COMPLETED) == 1
        assert set(reports) <= {Outcome.COMPLETED, Outcome.HELD, Outcome.SKIPPED}
        assert shop.rows("large") == 200_000


def test_a_run_without_tables_ends(shop):
    runner = shop.runner("orders")
    identity = RunIdentity("shop-20260107", date(2026, 1, 7))
    empty = Runner(pipeline=runner.pipeline, identity=identity, reporter=NullReporter(), make_engine=runner.make_engine)
    assert empty.run(()).exit_code == 0


def test_values_from_the_environment_in_a_command_are_never_logged(shop, caplog, monkeypatch):
    monkeypatch.setenv("TOKEN", "hunter2-token")
    command = "sh -c 'echo $0; exit 3' ${TOKEN}"
    Path("shop.yml").write_text(CONFIG + f'states: {{on_enter: {{complete: [{{command: "{command}"}}]}}}}\n')
    configured().run(tables=["orders"])
    assert "ended with 3; its output: ***" in caplog.text
    assert "hunter2-token" not in caplog.text


class TestSignalsFromPython:
    """Once the state is saved a signal does what it does to a program that is in no run."""

    @pytest.fixture
    def call(self, shop, monkeypatch):
        """A run of a table that is signalled at its first chunk, given the number of the signal."""

        def extract(number, **options):
            monkeypatch.setattr("statekeeper.run.runner.Runner._engine", lambda _: Slow(_signal(number)))
            extractor = configured()
            return extractor.run(tables=["orders"], **options)

        return extract

    @pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
    def test_a_signal_ends_the_loop_of_the_caller(self, shop, call, number, error):
        with pytest.raises(error) as caught:
            call(number)
        assert manifest().exit_code == 128 + number
        assert error is KeyboardInterrupt or caught.value.code == 143
        assert shop.state().state is State.EXTRACTING

    def test_a_signal_is_in_the_report_if_the_caller_asks_for_it(self, call):
        report = call(signal.SIGINT, report_interrupt=True)
        assert (report.interrupted_by, report.exit_code) == (signal.SIGINT, 130)

    def test_a_signal_reaches_the_handler_of_the_program(self, call):
        heard = []
        before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
        try:
            assert call(signal.SIGTERM).exit_code == 143
        finally:
            signal.signal(signal.SIGTERM, before)
        assert heard == [signal.SIGTERM]

    def test_a_signal_after_the_end_is_not_lost(self, shop, monkeypatch):
        class Late(InlineEngine):
            async def close(self):
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(0.05)
                await super().close()

        monkeypatch.setattr("statekeeper.run.runner.Runner._engine", lambda _: Late(memory_limit="100MB"))
        with pytest.raises(KeyboardInterrupt):
            configured().run()
        assert manifest().exit_code == 0

    def test_a_signal_ends_single_tables_several_tables_and_verifications(self, shop, monkeypatch):
        calls = {
            "one": lambda extractor: extractor.extract_table(source_name="shop", table_name="orders"),
            "several": lambda extractor: extractor.extract_tables_parallel(
                [{"source_name": "shop", "table_name": "orders", "run_id": run_id} for run_id in ("first", "second")]
            ),
            "verification": lambda extractor: extractor.verify(),
        }
        shop.run("orders")
        monkeypatch.setattr("statekeeper.run.runner.Runner._engine", lambda _: Slow(_signal(signal.SIGINT)))
        for call in calls.values():
            with pytest.raises(KeyboardInterrupt):
                call(configured())
        assert not list(Path("data").rglob("second*"))
