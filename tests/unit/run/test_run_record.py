"""Which tables a run has and how they stand, whichever process started them, and from which file."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
import threading
from pathlib import Path

import pytest

from statekeeper.api import DataExtractor
from statekeeper.cli.app import run_command
from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import UsageError
from statekeeper.model.manifest import FoundBy
from statekeeper.run.report import Outcome
from statekeeper.runtime.progress import NullReporter
from statekeeper.store.files import failpoints
from tests.messages import raises_message
from tests.unit.small_shop import CONFIG, RUN_ID, Shop, configured, manifest


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("statekeeper.run.runner.engine_type", lambda _: InlineEngine(memory_limit="100MB"))
    shop = Shop(tmp_path)
    names = ("orders", "customers", "parcels")
    shop.execute(*(f"create table {name} as select {number} as id" for number, name in enumerate(names)))
    Path("shop.yml").write_text(CONFIG)
    return shop


def _states(status):
    return {table.table_name: table.state for table in status.tables}


def _outcomes(report):
    return {table.table.table_name: table.outcome for table in report.tables}


def _add_table(name="parcels"):
    Path("shop.yml").write_text(CONFIG.replace("]\n", f", {{table_name: {name}}}]\n"))


def _cli(capsys, line):
    """The exit code, output and errors of a command line of this program."""
    program, *words = shlex.split(line)
    assert program == "statekeeper"
    code = run_command(words)
    out, err = capsys.readouterr()
    return code, out, err


class TestSeveralProcesses:
    def test_two_processes_that_change_the_manifest_at_once_lose_nothing(self, shop):
        """The first stops just before it writes, until the second has ended or is seen to wait its turn."""
        second = threading.Thread(target=lambda: configured().run(tables=["customers"]))
        main, attempts = threading.get_ident(), itertools.count(1)
        is_waiting = threading.Event()

        def at_point(step, role, when):
            if (step, when) == ("lock", "before") and threading.get_ident() == second.ident and next(attempts) > 5:
                is_waiting.set()
            if (step, role, when) == ("write", "manifest", "before") and threading.get_ident() == main:
                if second.ident is None:
                    second.start()
                while second.is_alive() and not is_waiting.wait(0.01):
                    pass

        failpoints.install(at_point)
        try:
            configured().run(tables=["orders"])
        finally:
            failpoints.install(None)
        second.join()
        assert {table.table_name for table in manifest().tables} == {"orders", "customers"}
        assert _states(configured().status()) == {"orders": "complete", "customers": "complete"}

    def test_the_run_ends_with_its_last_process(self, shop):
        seen = []

        class Engine(InlineEngine):
            async def close(self):
                await super().close()
                if not seen:
                    seen.append(manifest())
                    await_other = threading.Thread(target=lambda: configured().run(tables=["customers"]))
                    await_other.start()
                    await_other.join()
                    seen.append(manifest())

        extractor = configured()
        shop_runner = extractor._runner
        runner = type(shop_runner)(
            pipeline=extractor.pipeline,
            identity=extractor.identity,
            reporter=NullReporter(),
            make_engine=lambda _p: Engine(memory_limit="100MB"),
        )
        runner.run(runner.pipeline.tables[:1])
        during, after_other = seen
        assert (len(during.processes), during.ended_at) == (1, None)
        assert (len(after_other.processes), after_other.ended_at) == (1, None)
        assert (manifest().processes, manifest().exit_code) == ((), 0)
        assert manifest().ended_at is not None


_CHOICES = {"": 1, "--table orders": 0, "--exclude parcels": 0, "--table parcels": 1, "--failed": 1}
"""Exit codes of `status` where orders and customers are complete and parcels is pending."""


class TestTablesOfTheConfig:
    def test_an_added_table_is_pending_and_makes_the_run_incomplete(self, shop, capsys):
        configured().run()
        _add_table()
        for line in ("statekeeper status shop.yml", "statekeeper status"):
            code, out, _ = _cli(capsys, line)
            assert (code, "shop.parcels" in out) == (0, True)
            assert f"{RUN_ID} of 2026-01-06 is incomplete: 2 complete, 1 pending" in out
            assert "next: statekeeper resume shop.yml --date 2026-01-06" in out
        codes = {choice: _cli(capsys, f"statekeeper status --exit-code {choice}")[0] for choice in _CHOICES}
        assert codes == _CHOICES

    def test_resume_with_the_config_extracts_an_added_table(self, shop):
        configured().run()
        _add_table()
        outcomes = _outcomes(configured().resume())
        assert outcomes == {
            "orders": Outcome.SKIPPED, "customers": Outcome.SKIPPED, "parcels": Outcome.COMPLETED,
        }  # fmt: skip
        assert configured().status().state == "complete"

    def test_resume_without_a_config_names_an_added_table_and_exits_nonzero(self, shop, capsys):
        configured().run()
        _add_table()
        code, out, _ = _cli(capsys, "statekeeper resume --no-progress")
        assert code == 1
        assert "shop.parcels: pending: part of this run, not complete, and not requested now" in out
        assert out.splitlines()[-1] == "next: statekeeper resume shop.yml --date 2026-01-06"
        assert "parcels" not in {table.table_name for table in manifest().tables}

    def test_a_run_of_one_table_is_incomplete_even_if_the_config_is_gone(self, shop, capsys):
        configured().run(tables=["orders"])
        assert _states(configured().status()) == {"orders": "complete", "customers": "pending"}
        Path("shop.yml").rename("elsewhere.yml")
        code, out, _ = _cli(capsys, "statekeeper status --exit-code")
        assert (code, "is incomplete: 1 complete, 1 pending" in out) == (1, True)

    def test_status_needs_no_variable_of_the_environment(self, shop, capsys, monkeypatch):
        Path("shop.yml").write_text(CONFIG.replace("shop.duckdb", '"${SHOP_FILE}"'))
        monkeypatch.setenv("SHOP_FILE", "shop.duckdb")
        configured(environ=os.environ).run()
        monkeypatch.delenv("SHOP_FILE")
        _, out, _ = _cli(capsys, "statekeeper status shop.yml")
        assert "is complete: 2 complete" in out

    def test_a_table_removed_from_the_config_is_left_out_at_the_next_start(self, shop):
        configured().run()
        Path("shop.yml").write_text(CONFIG.replace("{table_name: orders}, ", ""))
        configured().run()
        assert _states(configured().status()) == {"customers": "complete"}

    def test_a_file_of_tables_adds_its_tables_and_removes_none(self, shop):
        configured().run()
        Path("more.json").write_text(json.dumps([{"table_name": "parcels"}]))
        configured(tables_path="more.json").run()
        assert _states(configured().status()) == dict.fromkeys(("orders", "customers", "parcels"), "complete")
        Path("more.json").write_text(json.dumps([{"table_name": "orders", "path_name": "again"}]))
        configured(tables_path="more.json").run()
        paths = [table.path_name for table in manifest().tables]
        assert paths == ["orders", "customers", "again"]

    def test_incomplete_tables_of_another_file_are_named_with_the_command_that_extracts_them(self, shop, capsys):
        Path("more.json").write_text(json.dumps([{"table_name": "missing"}]))
        configured(tables_path="more.json").run()
        configured().run()
        code, out, _ = _cli(capsys, "statekeeper resume shop.yml --no-progress")
        assert (code, "shop.missing: pending" in out) == (1, True)
        expected = "next: statekeeper run shop.yml --tables more.json --date 2026-01-06"
        assert out.splitlines()[-1] == expected
        assert _cli(capsys, "statekeeper status")[1].splitlines()[-1] == expected
        shop.execute("create table missing as select 1 as id")
        assert _cli(capsys, f"{expected.removeprefix('next: ')} --no-progress")[0] == 0
        assert "is complete: 3 complete" in _cli(capsys, "statekeeper status")[1]

    def test_a_python_call_adds_its_table_to_the_run_of_a_config_and_removes_none(self, shop):
        extractor = configured()
        extractor.run(tables=["orders"])
        assert extractor.extract_table(source_name="shop", table_name="parcels", extraction_date="2026-01-06")
        assert manifest().config_path == str(Path("shop.yml").absolute())
        expected = {"orders": "complete", "parcels": "complete", "customers": "pending"}
        assert _states(extractor.status()) == expected
        extractor.run()
        assert set(_states(extractor.status()).values()) == {"complete"}
        assert len(manifest().tables) == 3

    def test_several_python_calls_each_add_their_tables(self, shop):
        extractor = DataExtractor(sources={"shop": {"type": "duckdb", "path": "shop.duckdb"}}, reporter=NullReporter())
        for table in ("orders", "customers"):
            assert extractor.extract_table(source_name="shop", table_name=table, extraction_date="2026-01-06")
        assert len(manifest("extract-20260106").tables) == 2


class TestTwoConfigs:
    OTHER = CONFIG.replace("customers", "parcels")

    def test_the_second_config_with_the_same_pipeline_and_base_path_is_refused_with_a_solution(self, shop, capsys):
        configured().run()
        Path("other.yml").write_text(self.OTHER)
        with raises_message(
            UsageError, "run.two_configs_of_one_name", config="other.yml", other="...shop.yml"
        ) as caught:
            configured("other.yml").run()
        assert _states(configured().status()) == {"orders": "complete", "customers": "complete"}
        command = caught.value.hint.split("`")[-2]
        code, _, err = _cli(capsys, f"{command} --no-progress")
        assert code == 0, err
        assert [table.table_name for table in manifest().tables] == ["orders", "customers"]
        code, out, _ = _cli(capsys, "statekeeper status other.yml")
        assert "is complete: 2 complete" in out
        assert "shop.parcels" in out

    def test_the_other_suggested_solution_works_too(self, shop):
        configured().run()
        Path("other.yml").write_text(self.OTHER.replace("pipeline: shop", "pipeline: other"))
        assert configured("other.yml").run().exit_code == 0
        assert _states(configured().status()) == {"orders": "complete", "customers": "complete"}

    @pytest.mark.parametrize("change", [("pipeline: shop", "pipeline: old"), ("base_path: data", "base_path: old")])
    def test_a_run_is_released_when_its_config_changes_pipeline_or_base_path(self, shop, change):
        configured().run()
        Path("other.yml").write_text(self.OTHER)
        Path("shop.yml").write_text(CONFIG.replace(*change))
        assert configured("other.yml").run().exit_code == 0

    def test_a_moved_config_keeps_its_run(self, shop, capsys):
        configured().run()
        Path("configs").mkdir()
        Path("pyproject.toml").touch()
        Path("shop.yml").rename("configs/renamed.yml")
        _, out, _ = _cli(capsys, "statekeeper status configs/renamed.yml")
        assert "is complete: 2 complete" in out
        with Path("configs/renamed.yml").open("a") as config:
            config.write("# edited\n")
        assert set(_outcomes(configured("configs/renamed.yml").run()).values()) == {Outcome.SKIPPED}
        assert manifest().config_path == str(Path("configs/renamed.yml").absolute())

    def test_a_copy_continues_the_run_until_its_text_differs(self, shop):
        configured().run()
        shutil.copy("shop.yml", "copy.yml")
        assert set(_outcomes(configured("copy.yml").run()).values()) == {Outcome.SKIPPED}
        Path("copy.yml").write_text(self.OTHER)
        with pytest.raises(UsageError):
            configured("copy.yml").run()
        assert _states(configured().status()) == {"orders": "complete", "customers": "complete"}

    def test_a_link_that_leads_to_a_newer_release_is_the_same_config(self, shop):
        for number, text in enumerate([CONFIG, self.OTHER]):
            Path(f"release{number}").mkdir()
            Path(f"release{number}/shop.yml").write_text(text)
        Path("pyproject.toml").touch()
        Path("current").symlink_to("release0")
        configured("current/shop.yml").run()
        Path("current").unlink()
        Path("current").symlink_to("release1")
        assert configured("current/shop.yml").run().exit_code == 0
        assert _states(configured("current/shop.yml").status()) == {"orders": "complete", "parcels": "complete"}


class TestOneConfig:
    def test_its_run_is_found_by_every_path_to_it(self, shop, capsys, monkeypatch):
        configured().run()
        Path("deep/er").mkdir(parents=True)
        Path("link.yml").symlink_to("shop.yml")
        for folder, lines in {
            ".": ["status ./deep/../shop.yml", "status link.yml", f"status {shop.folder}/shop.yml", "status"],
            "deep": ["status ../shop.yml", "status ../link.yml", "status"],
            "deep/er": ["status ../../shop.yml", "status"],
        }.items():
            monkeypatch.chdir(shop.folder / folder)
            for line in lines:
                code, out, err = _cli(capsys, f"statekeeper {line}")
                assert (code, err) == (0, ""), (folder, line)
                assert "is complete: 2 complete" in out


class TestVerify:
    def _damaged(self, shop):
        configured().run()
        next(iter(Path("data").rglob("orders/**/shop-20260106.parquet"))).write_bytes(b"PAR1")
        return configured().verify()

    def test_status_shows_findings_until_a_run_repairs_them(self, shop, capsys):
        assert self._damaged(shop).exit_code == 1
        status = configured().status()
        assert (status.state, _states(status)) == ("failed", {"orders": "failed", "customers": "complete"})
        code, out, _ = _cli(capsys, "statekeeper status --exit-code --failed")
        assert code == 1
        assert "shop.orders: shop-20260106.parquet has 4 bytes" in out
        assert "shop.customers" not in out
        assert "is failed: 1 failed, 1 complete" in out
        command = out.split("`")[1]
        code, _, err = _cli(capsys, f"{command} --no-progress")
        assert code == 0, err
        assert configured().status().state == "complete"
        assert manifest().failures == ()

    def test_status_shows_findings_until_the_data_verifies_again(self, shop):
        path = next(iter(self._found(shop)))
        whole = path.read_bytes()
        path.write_bytes(b"PAR1")
        configured().verify()
        assert configured().status().state == "failed"
        path.write_bytes(whole)
        assert configured().verify().exit_code == 0
        assert configured().status().state == "complete"

    def _found(self, shop):
        configured().run()
        return Path("data").rglob("orders/**/shop-20260106.parquet")

    def test_findings_apply_only_to_the_data_that_was_verified(self, shop):
        """A run that has replaced the data meanwhile, and could not know of the finding, leaves nothing to mend."""
        self._damaged(shop)
        found = manifest().failures
        assert [(each.table.table_name, each.found_by) for each in found] == [("orders", FoundBy.VERIFY)]
        configured().run()
        late = manifest().with_failure(found[0])
        (Path("data") / "_runs" / f"{RUN_ID}.json").write_bytes(late.to_bytes())
        assert configured().status().state == "complete"
        assert configured().reset_failed() == ()

    def test_a_good_verification_writes_nothing(self, shop):
        configured().run()
        before = {path: path.stat().st_mtime_ns for path in Path("data").rglob("*")}
        assert configured().verify().exit_code == 0
        assert {path: path.stat().st_mtime_ns for path in Path("data").rglob("*")} == before

    def test_findings_are_reset_like_any_failure(self, shop):
        self._damaged(shop)
        assert configured().reset_failed() == ("shop.orders",)
        status = configured().status()
        assert _states(status) == {"orders": "pending", "customers": "complete"}
        assert configured().resume().exit_code == 0
