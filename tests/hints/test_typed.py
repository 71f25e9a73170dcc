"""What messages tell the reader to type is typed, as it stands: it is taken, and it helps."""

from __future__ import annotations

import re
import shutil
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from statekeeper.run import runner
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.locks.flock import acquire_flock
from statekeeper.store.process import this_process
from tests.messages import is_silent, says

from .typist import CONFIG, Typist, inline_engine

RUN = "statekeeper run shop.yml --date 2026-01-06"


@pytest.fixture
def typist(tmp_path, monkeypatch, capsys) -> Typist:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runner.Runner, "_engine", inline_engine)
    made = Typist(tmp_path, capsys)
    made.sql("create table orders as select i as id from range(3) as r(i)")
    return made


def _held(path: Path):
    """The lock of a table, held as by another runner."""
    held = partial(acquire_flock, LocalDisk(), path, owner=this_process(), ttl=timedelta(minutes=1))
    return held(take_over=lambda _epoch: None)


class TestRowsThatBreakTheSchema:
    def test_corrected_data_are_read_again_by_the_command_of_the_hint(self, typist):
        typist.write(CONFIG + "  - {table_name: orders, columns: {id: {type: int, ge: 1}}}\n")
        failed = typist.type(f"{RUN} --run-id again")
        assert failed.code == 1
        typist.sql("delete from orders where id = 0")
        assert typist.succeeds(failed.command("--force-reprocess", "--table")).code == 0
        assert typist.states() == {"orders": "complete"}

    def test_corrected_schemas_and_policies_are_used_by_the_command_of_the_hint(self, typist):
        typist.sql(*(f"create table {name} as from orders" for name in "abc"))
        strict = "columns: {id: {type: int, ge: 1}}"
        quarantine = "on_violation: quarantine, max_quarantined: 0, "
        tables = "".join(
            f"  - {{table_name: {name}, {more}{strict}}}\n"
            for name, more in zip("abc", ["", "", quarantine], strict=True)
        )
        typist.write(CONFIG + tables)
        failed = typist.type(RUN)
        for words in ("correct the schema", "set on_violation: warn or quarantine", "raise max_quarantined"):
            assert words in failed.words
        lines = tables.splitlines()
        lines[0] = lines[0].replace("ge: 1", "ge: 0")
        lines[1] = lines[1].replace("table_name", "on_violation: warn, table_name")
        lines[2] = lines[2].replace("max_quarantined: 0", "max_quarantined: 1")
        typist.write(CONFIG + "\n".join(lines) + "\n")
        typist.succeeds(next(each for each in failed.commands if each.startswith("statekeeper resume")))
        assert typist.states() == {"a": "complete", "b": "complete", "c": "complete"}

    def test_many_tables_are_reset_and_resumed_as_is_said_next(self, typist):
        typist.sql(*(f"create table {name} as from orders" for name in "abcd"))
        typist.write(
            CONFIG + "".join(f"  - {{table_name: {name}, columns: {{id: {{type: int, ge: 1}}}}}}\n" for name in "abcd")
        )
        failed = typist.type(RUN)
        typist.sql(*(f"delete from {name} where id = 0" for name in "abcd"))
        reset, resume = failed.next
        assert "reset" in reset
        assert typist.succeeds(reset).next == [resume]
        ended = typist.succeeds(resume)
        assert set(typist.states().values()) == {"complete"}
        (verify,) = ended.next
        assert "verify" in verify
        typist.succeeds(verify)


class TestNextSteps:
    def test_damaged_state_is_reset_then_resumed(self, typist):
        typist.write(CONFIG + "  - {table_name: orders}\n")
        typist.succeeds(RUN)
        (state,) = typist.folder.rglob("*_state.json")
        state.write_text("{")
        told = typist.succeeds("statekeeper status")
        typist.succeeds(typist.succeeds(told.command("reset", "orders")).command("resume"))
        assert typist.states() == {"orders": "complete"}

    def test_what_verify_finds_is_mended_by_its_hint(self, typist):
        typist.write(CONFIG + "  - {table_name: orders}\n  - {table_name: gone}\n")
        assert typist.type(RUN).code == 1
        typist.sql("create table gone as from orders")
        not_there = typist.type("statekeeper verify")
        assert not_there.code == 1
        typist.succeeds(not_there.command("resume"))
        next(typist.folder.rglob("shop-20260106.parquet")).write_bytes(b"")
        damaged = typist.type("statekeeper verify")
        assert damaged.code == 1
        (again,) = {each for each in damaged.commands if " --table " in each}
        typist.succeeds(again)
        typist.succeeds("statekeeper verify")

    def test_stale_tables_are_extracted_by_the_command_that_names_them(self, typist):
        typist.write(CONFIG + "  - {table_name: orders}\n")
        typist.succeeds(RUN)
        typist.write(CONFIG + "  - {table_name: orders, columns: {id: {type: int, nullable: true}}}\n")
        told = typist.succeeds("statekeeper resume shop.yml --date 2026-01-06")
        assert "stale" in typist.type("statekeeper resume shop.yml --date 2026-01-06").text
        typist.succeeds(told.command("run", "--table", "orders"))
        assert "stale" not in typist.succeeds("statekeeper resume").text

    def test_several_stale_tables_are_resumed_as_is_said_next(self, typist):
        typist.sql("create table others as from orders")
        names = ("orders", "others")
        typist.write(CONFIG + "".join(f"  - {{table_name: {name}}}\n" for name in names))
        typist.succeeds(RUN)
        strict = "columns: {id: {type: int, nullable: true}}"
        typist.write(CONFIG + "".join(f"  - {{table_name: {name}, {strict}}}\n" for name in names))
        told = typist.succeeds("statekeeper resume")
        typist.succeeds(told.command("resume", "--stale"))
        assert "stale" not in typist.succeeds("statekeeper resume").text

    def test_commands_lead_from_one_to_the_next(self, typist):
        """From a draft to what is published: each command says the next one."""
        drafted = typist.succeeds("statekeeper init --duckdb shop.duckdb --out new.yml")
        check, run = drafted.next
        for line in re.findall(r"^#   (statekeeper .*)$", Path("new.yml").read_text(encoding="utf-8"), re.MULTILINE):
            typist.succeeds(line)
        plan = typist.succeeds(check).command("plan")
        assert typist.succeeds("statekeeper check new.yml").next == [check]
        again = typist.succeeds(plan).command("run")
        dry = typist.succeeds("statekeeper run new.yml --dry-run --force-reprocess").command("--force-reprocess")
        for line in (run, again, dry):
            typist.succeeds(typist.succeeds(line).command("verify"))


class TestWhichRun:
    def test_where_there_is_none_the_way_to_a_first_one_is_said(self, typist):
        typist.write("", "empty.yml")
        for line in ("statekeeper status", "statekeeper check none.yml", "statekeeper check empty.yml"):
            told = typist.type(line)
            assert told.code == 2
            typist.succeeds(told.command("init"))

    def test_missing_run_is_made_by_the_command_of_the_hint(self, typist):
        typist.write(CONFIG + "  - {table_name: orders}\n")
        none = typist.type("statekeeper status shop.yml --date 2026-01-05")
        assert none.code == 2
        typist.succeeds(none.command("run"))
        typist.succeeds("statekeeper status shop.yml --date 2026-01-05")
        other_day = typist.type("statekeeper resume --date 2026-01-04")
        typist.succeeds(other_day.command("run"))
        unknown = typist.type("statekeeper status --run-id nope")
        assert unknown.code == 2
        assert "shop-20260104" in typist.succeeds(unknown.command("status")).text
        shutil.rmtree("data")
        lost = typist.type("statekeeper status")
        assert typist.succeeds(lost.command("run")).code == 0

    def test_date_or_id_is_left_out_as_is_said(self, typist):
        typist.write(CONFIG + "  - {table_name: orders}\n")
        typist.succeeds(RUN)
        told = typist.type("statekeeper status --date 2026-01-06 --run-id shop-20260106")
        assert told.code == 0
        typist.succeeds("statekeeper run shop.yml --date 2026-01-05")
        told = typist.type("statekeeper status --date 2026-01-05 --run-id shop-20260106")
        assert (told.code, "leave out --date, or --run-id" in told.text) == (2, True)
        typist.succeeds("statekeeper status --date 2026-01-05")
        typist.succeeds("statekeeper status --run-id shop-20260106")

    def test_second_config_of_one_name_is_run_by_the_command_of_the_refusal(self, typist):
        typist.write(CONFIG + "  - {table_name: orders}\n")
        typist.write(CONFIG + "  - {table_name: orders, path_name: mine}\n", "other.yml")
        typist.succeeds(RUN)
        refused = typist.type(RUN.replace("shop.yml", "other.yml"))
        assert refused.code == 2
        typist.succeeds(refused.command("run", "--run-id"))

    def test_entry_for_another_run_is_run_by_a_matching_date_and_id(self, typist):
        typist.write(CONFIG + "  - {table_name: orders, extraction_date: 2026-01-05, run_id: mine}\n")
        refused = typist.type(RUN)
        assert (refused.code, "a matching --date and --run-id" in refused.words) == (2, True)
        typist.succeeds("statekeeper run shop.yml --date 2026-01-05 --run-id mine")

    def test_held_table_is_followed_by_the_command_of_the_hint(self, typist):
        typist.write(CONFIG + "  - {table_name: orders}\n")
        typist.succeeds(RUN)
        (path,) = (typist.folder / "data/shop").rglob("shop-20260106.lock")
        with _held(path):
            told = typist.type("statekeeper reset --table orders")
            assert told.code == 3
        typist.succeeds(told.command("status", "--watch"))


class TestLayouts:
    TABLE = "  - {table_name: orders}\n"

    @pytest.mark.parametrize(("had", "has"), [("dated", "hive"), ("hive", "dated")])
    def test_layout_that_is_kept_is_written_as_is_said(self, typist, had, has):
        typist.write(self._config(had))
        typist.succeeds(RUN)
        typist.write(self._config(has))
        refused = typist.type(RUN)
        other_day = typist.type("statekeeper run shop.yml --date 2026-01-07")
        assert (refused.code, other_day.code) == (2, 1)
        for told in (refused, other_day):
            assert says(told.words, "store.write_the_layout", layout=had)
        typist.write(self._config(had))
        typist.succeeds(RUN)
        typist.succeeds("statekeeper run shop.yml --date 2026-01-07")
        typist.write(self._config(has).replace("base_path: data", "base_path: other"))
        typist.succeeds(RUN)

    def test_date_is_gone_on_with_by_the_run_that_has_it(self, typist):
        typist.write(self._config("hive"))
        typist.succeeds(f"{RUN} --run-id first")
        refused = typist.type(RUN)
        assert (refused.code, "continue that run: --run-id first" in refused.words) == (1, True)
        typist.succeeds(f"{RUN} --run-id first")
        typist.succeeds("statekeeper run shop.yml --date 2026-01-07")

    def _config(self, layout):
        return CONFIG.replace("base_path: data", f"base_path: data, layout: {layout}") + self.TABLE


class TestSnapshotOfTheRun:
    CONFIG = CONFIG.replace("path: shop.duckdb", "path: shop.duckdb, snapshot_scope: run")

    def test_lost_one_is_taken_anew_by_the_command_of_the_hint(self, typist):
        typist.write(self.CONFIG + "  - {table_name: orders}\n  - {table_name: late}\n")
        assert typist.type(RUN).code == 1
        typist.sql("create table late as from orders")
        lost = typist.type("statekeeper resume")
        assert lost.code == 1
        typist.succeeds(lost.command("--force-reprocess"))
        assert typist.states() == {"orders": "complete", "late": "complete"}

    def test_table_that_is_referred_to_is_extracted_by_the_command_of_the_hint(self, typist):
        typist.sql("create table items as select id as order_id from orders")
        typist.write(
            self.CONFIG
            + "  - {table_name: orders}\n"
            + "  - {table_name: items, references: [{columns: order_id, table: orders, to: id}]}\n"
        )
        alone = typist.type(f"{RUN} --table items")
        assert alone.code == 1, alone.text
        typist.succeeds(alone.command("run", "--table shop.orders", "--table shop.items"))
        assert typist.states() == {"orders": "complete", "items": "complete"}


def test_tables_are_chosen_as_refusals_say(typist):
    typist.write(CONFIG + "  - {table_name: orders}\n")
    typist.succeeds(RUN)
    told = typist.type("statekeeper reset")
    assert (told.code, "either --failed, or --table PATTERN" in told.words) == (2, True)
    typist.succeeds("statekeeper reset --failed")
    typist.succeeds("statekeeper reset --table 'ord*'")
    told = typist.type(f"{RUN} --table orders --exclude orders")
    assert (told.code, "leave out an --exclude" in told.text) == (2, True)
    typist.succeeds(f"{RUN} --table orders")
    told = typist.type("statekeeper check shop.yml --connect --offline")
    assert (told.code, "either --connect or --offline" in told.text) == (2, True)
    typist.succeeds("statekeeper check shop.yml --connect")
    typist.succeeds("statekeeper check shop.yml --offline")


def test_models_are_drafted_and_exported_by_the_commands_that_are_named(typist):
    typist.write(CONFIG + "  - {table_name: orders}\n")
    for line in ("statekeeper schemas diff shop.yml", "statekeeper schemas export shop.yml --table orders"):
        assert "class Orders" in typist.succeeds(typist.type(line).command("infer")).text
    typist.write(CONFIG + "  - {table_name: orders, columns: {id: {type: int, nullable: true}}}\n")
    told = typist.type("statekeeper schemas export shop.yml --check")
    assert (told.code, "add --out DIR" in told.text) == (2, True)
    for name in ("export shop.yml --table orders --out js", "json --out all"):
        stale = typist.type(f"statekeeper schemas {name} --check")
        assert stale.code == 1
        written = typist.succeeds(stale.text.rpartition("write them anew: ")[2])
        typist.succeeds(written.text.rpartition("up to date: ")[2])
    infer = "statekeeper schemas infer shop.yml --out models.py"
    inferred = typist.succeeds(infer)
    assert says(inferred.text, "cli.name_the_model", out="models.py", model="Orders")
    typist.write(CONFIG + "  - {table_name: orders, schema: models.py:Orders}\n")
    typist.succeeds(typist.succeeds(inferred.text.rpartition(": ")[2]).text.rpartition("next: ")[2])
    typist.write(CONFIG + "  - {table_name: orders, columns: {id: {type: str}}}\n")
    differing = typist.type("statekeeper schemas diff shop.yml --table orders")
    assert differing.code == 1
    typist.write(CONFIG + "  - {table_name: orders, schema: models.py:Orders}\n")
    typist.succeeds(differing.text.rpartition("is changed: ")[2])
    assert says(typist.type(infer).text, "cli.add_force")
    typist.succeeds(f"{infer} --force")


def test_a_database_is_named_as_refusals_say(typist):
    typist.sql("create schema hr", "create table hr.jobs as from orders")
    infer = "statekeeper schemas infer"
    told = typist.type(infer)
    assert (told.code, "--duckdb PATH, or --source oracle" in told.text) == (2, True)
    assert says(typist.type(f"{infer} --source duckdb").text, "cli.add_duckdb")
    typist.succeeds(f"{infer} --duckdb shop.duckdb")
    several = typist.type(f"{infer} --duckdb shop.duckdb --schema hr --schema main --table jobs")
    assert "--table SCHEMA.NAME" in several.text
    typist.succeeds(f"{infer} --duckdb shop.duckdb --table hr.jobs")
    none = typist.type(f"{infer} --duckdb shop.duckdb --schema main --table 'j*'")
    assert (none.code, "--schema NAME says in which schema" in none.text) == (2, True)
    typist.succeeds(f"{infer} --duckdb shop.duckdb --schema hr --table 'j*'")
    told = typist.type("statekeeper init --duckdb shop.duckdb --out one.yml --schemas-out one.yml")
    assert says(told.text, "scaffold.two_files_are_one")
    typist.succeeds("statekeeper init --duckdb shop.duckdb --out one.yml --schemas-out one.py")


def test_forms_of_the_older_command_line_are_as_refusals_say(typist, monkeypatch):
    for name in ("HOST", "PORT", "SERVICE", "USER", "PASSWORD"):
        monkeypatch.delenv(f"ORACLE_{name}", raising=False)
    typist.succeeds(typist.type("data-extractor").command("--help"))
    typist.write(CONFIG + "  - {table_name: orders}\n")
    typist.write('[{"table_name": "orders"}]', "tables.json")
    assert says(typist.type("data-extractor --tables tables.json").text, "cli.add_config")
    typist.succeeds("data-extractor --tables tables.json --config shop.yml")
    assert says(typist.type("data-extractor --table-name orders").text, "cli.or_give_config")
    told = typist.type("data-extractor --config shop.yml --table-name orders")
    assert (told.code, "either --config (with --tables), or the options of one table" in told.text) == (2, True)
    typist.succeeds("data-extractor --config shop.yml")


def test_what_is_in_the_way_is_moved_away_or_avoided_as_is_said(typist):
    typist.write(CONFIG + "  - {table_name: orders}\n")
    folder = typist.folder / "data/shop/orders/202601/06"
    folder.mkdir(parents=True)
    for name, put in {
        "shop-20260106.parquet": lambda path: path.write_bytes(b"mine"),
        "shop-20260106.lock": lambda path: path.write_bytes(b"mine"),
        "shop-20260106_state.json": lambda path: path.mkdir(),
    }.items():
        put(folder / name)
        failed = typist.type(RUN)
        assert failed.code == 1, name
        assert str(folder.relative_to(typist.folder) / name) in failed.words
        assert "away" in failed.words, name
        typist.succeeds(f"{RUN} --run-id other-{len(name)}")
        (folder / name).rename(typist.folder / name)
        typist.succeeds(RUN)
        shutil.rmtree(typist.folder / "data/_runs")
        for path in folder.glob("shop-20260106*"):
            path.unlink()
    (folder / "shop-20260106_metadata.json").symlink_to(typist.folder / "shop.yml")
    failed = typist.type(RUN)
    assert (failed.code, "remove the link" in failed.words) == (1, True)
    (folder / "shop-20260106_metadata.json").unlink()
    typist.succeeds(RUN)


def test_windows_that_are_not_over_are_extracted_as_is_said(typist):
    entry = "  - {table_name: events, incremental_column: at, is_full_extract: false, incremental_timezone: UTC"
    typist.sql("create table events as select timestamp '2026-01-01' as at")
    typist.write(CONFIG + entry + "}\n")
    typist.succeeds("statekeeper run shop.yml --date 2026-01-05")
    open_window = typist.type("statekeeper run shop.yml --date today")
    assert (open_window.code, "an earlier --date, or set allow_open_window: true" in open_window.words) == (1, True)
    typist.succeeds("statekeeper run shop.yml --date 2026-01-06")
    typist.write(CONFIG + entry + ", allow_open_window: true}\n")
    typist.succeeds("statekeeper run shop.yml --date today")
    not_begun = typist.type("statekeeper run shop.yml --date 2999-01-01")
    assert (not_begun.code, "with an earlier --date" in not_begun.words) == (1, True)


def test_a_column_without_a_zone_is_extracted_as_is_said(typist):
    typist.sql(
        "create table events as select timestamp '2026-01-01' as at, timestamptz '2026-01-01 00:00:00Z' as zoned"
    )

    def configure(keys):
        typist.write(CONFIG + f"  - {{table_name: events, {keys}}}\n")

    configure("incremental_column: at")
    for command in ("plan", "check --connect", "run"):
        refused = typist.type(f"statekeeper {command} shop.yml")
        assert (refused.code, "write incremental_timezone: UTC, or the zone of the programs" in refused.words) == (
            1,
            True,
        )
    configure("incremental_column: zoned, path_name: zoned")
    typist.succeeds("statekeeper check --connect shop.yml")
    typist.succeeds("statekeeper run shop.yml --date 2026-01-05")
    configure("incremental_column: at, incremental_timezone: UTC")
    typist.succeeds("statekeeper run shop.yml --date 2026-01-05")
    configure("incremental_column: at, incremental_timezone: Europe/Madrid")
    other = typist.type("statekeeper run shop.yml --date 2026-01-06")
    assert (other.code, "set incremental_timezone: UTC, or give the table a path_name" in other.words) == (1, True)
    configure("incremental_column: at, incremental_timezone: UTC")
    typist.succeeds("statekeeper run shop.yml --date 2026-01-06")
    configure("incremental_column: at, incremental_timezone: Europe/Madrid, path_name: in_madrid")
    typist.succeeds("statekeeper run shop.yml --date 2026-01-06")


def test_windows_that_others_have_taken_or_nobody_has_are_extracted_as_is_said(typist):
    typist.sql(
        "create table events as select i as id, timestamp '2026-01-01' + to_days(i - 1) as at, "
        "null::timestamp as other from range(1, 8) r(i)"
    )
    entry = "  - {table_name: events, incremental_column: at, is_full_extract: false, incremental_timezone: UTC"

    def run(day, *options):
        return typist.type(" ".join(("statekeeper run shop.yml --date", f"2026-01-0{day}", *options)))

    def configure(more=""):
        typist.write(CONFIG + entry + more + "}\n")

    configure()
    assert run(1).code == run(3).code == 0
    covered = run(2)
    assert (covered.code, "run that date with --force-reprocess" in covered.words) == (1, True)
    assert run(3, "--force-reprocess").code == 0
    configure(", on_gap: fail")
    missing = run(5)
    assert (missing.code, "run --date 2026-01-04 first" in missing.words) == (1, True)
    assert run(4).code == run(5).code == 0
    configure(", on_gap: extend")
    other = CONFIG + entry.replace("column: at", "column: other") + "}\n"
    typist.write(other)
    refused = run(6)
    assert (refused.code, "set incremental_column: at" in refused.words) == (1, True)
    configure(", columns: {id: {type: int, lt: 6}, at: {type: datetime}, other: {type: datetime, nullable: true}}")
    assert run(6).code == 1
    configure()
    unfinished = run(7)
    assert unfinished.code == 0
    typist.succeeds(unfinished.command("run", "2026-01-06"))
    shutil.rmtree(typist.folder / "data/shop/events/202601/05")
    (typist.folder / "data/shop/events/_windows.json").unlink()
    hole = run(7, "--force-reprocess")
    typist.succeeds(hole.command("run", "2026-01-05"))


def test_rows_are_compared_anew_by_the_commands_that_are_named(typist):
    typist.sql(
        "create table events as select i as id, timestamp '2026-01-01' + to_hours(9 * i) as at from range(9) r(i)"
    )
    typist.write(
        CONFIG
        + "  - {table_name: events, incremental_column: at, incremental_timezone: UTC, lookback: 1d, unique: [id], "
        "mark_taken_before: true}\n"
    )
    for day in (1, 2):
        typist.succeeds(f"statekeeper run shop.yml --date 2026-01-0{day}")
    with (typist.folder / "data/shop/events/202601/02/shop-20260102.parquet").open("ab") as file:
        file.write(b"damage")
    failed = typist.type("statekeeper run shop.yml --date 2026-01-03")
    assert failed.code == 1
    again, own = failed.commands[:2]
    replaced = typist.succeeds(again)
    assert is_silent(replaced.words, "plan.marks_of_what_is_replaced")
    typist.succeeds(own)
    replaced = typist.succeeds(f"{again} --force-reprocess")
    typist.succeeds(replaced.command("2026-01-03", "--force-reprocess"))


def test_holes_are_filled_by_the_backfill_that_history_types(typist):
    typist.sql(
        "create table events as select i as id, timestamp '2026-01-01' + to_days(i - 1) as at from range(1, 8) r(i)",
        "create table names as select 1 as id",
    )
    entry = "  - {table_name: events, incremental_column: at, incremental_timezone: UTC}\n"
    typist.write(CONFIG + entry + "  - table_name: names\n")
    dates = "--from 2026-01-01 --to 2026-01-07"
    whole = typist.type(f"statekeeper backfill shop.yml {dates} --table names")
    assert (whole.code, "choose others with --table, or give the table" in whole.words) == (2, True)
    typist.succeeds(f"statekeeper backfill shop.yml {dates} --table events")
    for day in ("02", "05"):
        shutil.rmtree(typist.folder / f"data/shop/events/202601/{day}")
    history = typist.type("statekeeper history events shop.yml")
    typist.succeeds(history.command("backfill"))
    assert "hole" not in typist.type("statekeeper history events shop.yml").words


def test_variable_that_is_not_set_is_exported_or_given_a_default(typist, monkeypatch):
    plain, by_default = (
        CONFIG.replace("path: shop.duckdb", f"path: '${{{name}}}'") + "  - {table_name: orders}\n"
        for name in ("SHOP_FILE", "SHOP_FILE:-shop.duckdb")
    )
    typist.write(plain)
    told = typist.type("statekeeper check shop.yml")
    assert (told.code, "export SHOP_FILE, or give a default: ${SHOP_FILE:-...}" in told.words) == (2, True)
    typist.write(by_default)
    typist.succeeds("statekeeper check shop.yml")
    typist.write(plain)
    monkeypatch.setenv("SHOP_FILE", "shop.duckdb")
    typist.succeeds("statekeeper check shop.yml")


def test_entries_of_one_folder_are_told_apart_by_the_names_that_are_proposed(typist):
    entries = ["table_name: orders", "table_name: orders", "schema_name: main, table_name: orders"]
    entries = ["schema_name: main, table_name: orders", *entries, "table_name: x, path_name: orders_2"]
    typist.write(CONFIG + "".join(f"  - {{{entry}}}\n" for entry in entries))
    refused = typist.type("statekeeper check shop.yml")
    found = re.findall(r"tables\[(\d)\].*?such as (\w+)", refused.words)
    assert [number for number, _ in found] == ["1", "2", "3"]
    for number, name in found:
        entries[int(number)] += f", path_name: {name}"
    typist.write(CONFIG + "".join(f"  - {{{entry}}}\n" for entry in entries))
    typist.succeeds("statekeeper check shop.yml")


def test_state_of_another_table_is_avoided_by_another_path_name_or_moved_away(typist):
    typist.write(CONFIG + "  - {table_name: orders}\n")
    typist.succeeds(RUN)
    entry = "table_name: orders, schema_name: main"
    typist.write(CONFIG + f"  - {{{entry}}}\n")
    stopped = typist.type(RUN)
    assert (stopped.code, "give the table another path_name, or move the file away" in stopped.words) == (1, True)
    reset, resume = stopped.next
    typist.write(CONFIG + f"  - {{{entry}, path_name: others}}\n")
    typist.succeeds(RUN)
    typist.write(CONFIG + f"  - {{{entry}}}\n")
    typist.type(RUN)
    typist.succeeds(reset)
    for name in ("data", "metadata"):
        in_the_way = typist.type(resume)
        (path,) = re.findall(r"hint: move (\S+) away", in_the_way.words)
        Path(path).rename(f"elsewhere.{name}")
    typist.succeeds(resume)


class TestDidYouMean:
    """The word that is meant is taken in place of the one that was written."""

    def asked(self, said, *, written: str) -> str:
        (meant,) = set(re.findall(r"did you mean '?([\w.]+)'?\?", said.words))
        assert meant.casefold() != written.casefold()
        return meant

    @pytest.mark.parametrize(
        "wrong", ["sources", "path", "output", "base_path", "table_name", "on_violation", "nullable", "shop", "int"]
    )
    def test_of_keys_and_values_of_a_config(self, typist, wrong):
        entry = "source_name: shop, table_name: orders, on_violation: warn, columns: {id: {type: int, nullable: true}}"
        right = CONFIG.replace("tables:", f"tables:\n  - {{{entry}}}")
        right = right.replace("sources:", "sources:\n  other: {type: duckdb, path: other.duckdb}")
        typist.write(right)
        typist.succeeds("statekeeper check shop.yml")
        misspelt = wrong[:-1] + "x" if len(wrong) > 3 else wrong + "t"
        pattern = rf"(?<=source_name: ){wrong}\b" if wrong == "shop" else rf"\b{wrong}\b"
        typist.write(re.sub(pattern, misspelt, right))
        meant = self.asked(typist.type("statekeeper check shop.yml"), written=misspelt)
        typist.write(re.sub(pattern, meant, right))
        typist.succeeds("statekeeper check shop.yml")

    def test_of_tables_and_models(self, typist):
        typist.write(CONFIG + "  - {table_name: orders}\n")
        meant = self.asked(typist.type(f"{RUN} --table ordres"), written="ordres")
        typist.succeeds(f"{RUN} --table {meant}")
        typist.write("import pydantic\nclass Order(pydantic.BaseModel):\n    id: int | None\n", "models.py")
        typist.write(CONFIG + "  - {table_name: orders, schema: 'models.py:Ordre'}\n")
        meant = self.asked(typist.type("statekeeper check shop.yml"), written="Ordre")
        typist.write(CONFIG + f"  - {{table_name: orders, schema: 'models.py:{meant}'}}\n")
        typist.succeeds("statekeeper check shop.yml")
        typist.write(CONFIG + "  - {table_name: ordrs}\n")
        schema, name = self.asked(typist.type(RUN), written="ordrs").split(".")
        typist.write(CONFIG + f"  - {{schema_name: {schema}, table_name: {name}}}\n")
        typist.succeeds("statekeeper run shop.yml --date 2026-01-07")


class TestColumns:
    @pytest.mark.parametrize("is_inline", [True, False])
    def test_declaration_of_a_new_one_is_taken_as_it_is_said(self, typist, is_inline):
        columns = "no decimal(12, 2) not null, moment timestamp, name varchar, day date not null, raw blob, big hugeint"
        typist.sql(
            f"create table wide (id integer, {columns})", "insert into wide values (1,1,null,'a','2026-01-01',null,2)"
        )
        before = "    id: int | None\n"
        if is_inline:
            typist.write(CONFIG + "  - {table_name: wide, columns: {'id': {type: int, nullable: true}}}\n")
        else:
            typist.write(CONFIG + "  - {table_name: wide, schema: 'models.py:Wide'}\n")
            typist.write("import pydantic\nclass Wide(pydantic.BaseModel):\n" + before, "models.py")
        refused = typist.type(RUN)
        declared = list(dict.fromkeys(re.findall(r"declare `([^`]*)`", refused.words)))
        assert len(declared) == 6, refused.text
        if is_inline:
            columns = ", ".join(["id: {type: int, nullable: true}", *declared])
            typist.write(CONFIG + f"  - {{table_name: wide, columns: {{{columns}}}}}\n")
        else:
            imports = "import pydantic\nfrom datetime import date\nfrom decimal import Decimal\n"
            imports += "from pydantic import NaiveDatetime\n"
            fields = "".join(f"    {each}\n" for each in declared)
            typist.write(f"{imports}class Wide(pydantic.BaseModel):\n{before}{fields}", "other.py")
            typist.write(CONFIG + "  - {table_name: wide, schema: 'other.py:Wide'}\n")
        typist.succeeds(refused.command("resume"))

    @pytest.mark.parametrize(
        ("made", "declared"),
        [
            ("timestamp_ns '2026-01-01 00:00:00.000000001'", "datetime"),
            ("timestamp_ns '2026-01-01 00:00:00.000000001'", ""),
            ("'10:00:00.000000001'::time_ns", ""),
            ("'10:00:00.000000001'::time_ns", "time"),
            ("timestamp 'infinity'", ""),
            ("time '24:00:00'", ""),
            ("[1, 2]", ""),
            ("null", ""),
        ],
    )
    def test_one_that_cannot_be_read_is_selected_as_it_is_said(self, typist, made, declared):
        typist.sql(f"create view odd as select {made} as c")
        columns = f", columns: {{c: {{type: {declared}}}}}" if declared else ""
        typist.write(CONFIG + f"  - {{table_name: odd{columns}}}\n")
        refused = typist.type(RUN)
        assert refused.code == 1
        told = re.findall(r'(?:date_trunc|to_json)\([^)]*\)|"?\bc"?::[A-Z]+\b', refused.words)
        assert told, refused.text
        for expression in dict.fromkeys(told):
            typist.write(
                CONFIG
                + f"  - {{table_name: odd, custom_query: 'select {expression} as c from odd'}}\n".replace(
                    "'microsecond'", "''microsecond''"
                )
            )
            typist.succeeds(f"{RUN} --run-id again --force-reprocess")

    def test_one_that_a_reader_refuses_is_selected_as_it_is_said(self, typist):
        typist.sql("create table hours as select time '10:00:00' as c")
        config = CONFIG.replace("base_path: data", "base_path: data, readers: [spark]")
        typist.write(config + "  - {table_name: hours}\n")
        refused = typist.type(RUN)
        assert (refused.code, "CAST(... AS VARCHAR)" in refused.words) == (1, True)
        typist.write(config + "  - {table_name: hours, custom_query: select CAST(c AS VARCHAR) as c from hours}\n")
        typist.succeeds(RUN)
