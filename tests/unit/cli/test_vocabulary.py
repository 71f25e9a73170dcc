"""One vocabulary of options: every command that an option suits has it, and it means the same everywhere."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click
import duckdb
import pytest

from statekeeper.cli import app
from statekeeper.cli.options import extraction_date
from tests.messages import Message, message, says

CONFIG = """
pipeline: demo
extraction_date: 2026-01-06
sources: {shop: {type: duckdb, path: shop.duckdb}}
output: {base_path: data}
execution: {workers: 1}
tables:
  - {schema_name: fin, table_name: accounts}
  - {schema_name: fin, table_name: ledger}
  - {schema_name: hr, table_name: jobs}
"""
PROGRAM = app.app.load_all()
SCHEMAS = {f"schemas {name}": command for name, command in PROGRAM["schemas"].commands.items()}
COMMANDS = {**PROGRAM, **SCHEMAS}
OF_RUNS = {"run", "plan", "verify", "resume", "status", "reset"}
OF_TABLES = {*OF_RUNS, "backfill", "check", "init", "schemas infer", "schemas diff", "schemas export"}
HAVE = {
    "--table": OF_TABLES,
    "--exclude": OF_TABLES,
    "--date": OF_RUNS,
    "--run-id": OF_RUNS,
    "--json": {*OF_TABLES, "history", "schemas json"},
    "--quiet": {*OF_TABLES, "history", "schemas json"},
}


RUN = "statekeeper run demo.yml --date 2026-01-06"


def options(name: str) -> set[str]:
    return {option for parameter in COMMANDS[name].params for option in parameter.opts}


@pytest.mark.parametrize("option", HAVE)
def test_every_command_that_an_option_suits_has_it(option: str) -> None:
    assert {name for name in COMMANDS if option in options(name)} == HAVE[option]


@pytest.mark.parametrize(("text", "ago"), [("today", 0), ("yesterday", 1)])
def test_date_takes_the_words_of_a_config(text: str, ago: int) -> None:
    @click.command()
    @extraction_date
    def command(*, day: date) -> None:
        days.append(day)

    days: list[date] = []
    before = datetime.now(UTC).date()
    command.main(["--date", text], standalone_mode=False)
    assert days[0] + timedelta(days=ago) in {before, datetime.now(UTC).date()}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo.yml").write_text(CONFIG)
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        for table in ("fin.accounts", "fin.ledger", "hr.jobs"):
            connection.execute(f"create schema if not exists {table.split('.')[0]}")
            connection.execute(f"create table {table} as select 1::int as id")
    return tmp_path


def tables(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """What a command chooses, by `check --json`."""
    assert app.run_command(["check", "demo.yml", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)["tables"]


@pytest.mark.usefixtures("folder")
def test_tables_are_chosen_by_name_and_pattern_and_left_out_by_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    both, jobs = ["shop.fin.accounts", "shop.fin.ledger"], ["shop.hr.jobs"]
    assert tables(capsys, "--table", "fin.*") == both
    assert tables(capsys, "--table", "fin.*", "--table", "jobs") == [*both, *jobs]
    assert tables(capsys, "--table", "shop.*", "--exclude", "*.ledger") == [both[0], *jobs]
    assert tables(capsys, "--exclude", "fin.*") == jobs
    assert tables(capsys, "--table", "[aj]*") == [both[0], *jobs]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--table", "sales.*"], message("config.no_such_table", name="sales.*")),
        (["--exclude", "job"], message("config.did_you_mean_table", key="shop.hr.jobs")),
        (["--table", "jobs", "--exclude", "hr.*"], message("config.exclude_leaves_no_table")),
        (["--table", "JOBS"], message("config.no_such_table", name="JOBS")),
    ],
)
@pytest.mark.usefixtures("folder")
def test_name_of_no_table_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: Message
) -> None:
    for command in ("run", "plan", "check"):
        assert app.run_command([command, "demo.yml", *arguments]) == 2
        assert says(capsys.readouterr().err, complaint)


def test_dry_run_is_plan_and_a_quiet_run_says_only_what_went_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run_command(["plan", "demo.yml", "--table", "fin.*"]) == 0
    planned = capsys.readouterr().out
    assert app.run_command(["run", "demo.yml", "--table", "fin.*", "--dry-run"]) == 0
    assert capsys.readouterr().out == planned
    assert "shop.fin.ledger: start" in planned
    assert not (folder / "data").exists()

    assert app.run_command(["run", "demo.yml", "--quiet", "--table", "fin.*"]) == 0
    assert app.run_command(["verify", "demo.yml", "--quiet"]) == 0
    assert app.run_command(["check", "demo.yml", "-q"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")

    assert app.run_command(["plan", "demo.yml"]) == 0
    assert "BIGINT" not in (text := capsys.readouterr().out)
    assert "shop.fin.ledger: skip" in text
    assert app.run_command(["plan", "demo.yml", "--types", "--table", "ledger"]) == 0
    assert "id      INTEGER        int32      yes" in capsys.readouterr().out
    assert app.run_command(["run", "demo.yml", "--dry-run", "--force-reprocess", "--table", "ledger"]) == 0
    assert "shop.fin.ledger: restart" in capsys.readouterr().out

    with duckdb.connect(folder / "shop.duckdb") as connection:
        connection.execute("drop table hr.jobs")
    assert app.run_command(["run", "demo.yml", "--quiet"]) == 1
    captured = capsys.readouterr()
    assert "shop.hr.jobs: failed" in captured.err
    assert "hr.jobs" in captured.out
    assert "INFO" not in captured.err
    assert "shop.fin" not in captured.out


def test_run_is_resumed_shown_and_reset_by_pattern(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def states(*arguments: str) -> dict[str, str]:
        assert app.run_command(["status", "--json", *arguments]) == 0
        return {table["table_name"]: table["state"] for table in json.loads(capsys.readouterr().out)["tables"]}

    assert app.run_command(["run", "demo.yml", "--quiet", "--table", "hr.*"]) == 0
    assert app.run_command(["resume", "demo.yml", "--quiet", "--table", "fin.*", "--exclude", "ledger"]) == 0
    assert states() == {"accounts": "complete", "ledger": "pending", "jobs": "complete"}
    assert states("--table", "fin.*") == {"accounts": "complete", "ledger": "pending"}
    assert states("--exclude", "fin.*") == {"jobs": "complete"}
    assert app.run_command(["status", "--table", "sales.*"]) == 2
    capsys.readouterr()
    assert app.run_command(["reset", "--table", "*", "--exclude", "hr.*", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run_id": "demo-20260106", "reset": ["shop.fin.accounts"]}
    assert states() == {"accounts": "pending", "ledger": "pending", "jobs": "complete"}
    assert app.run_command(["status", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert app.run_command(["resume", "--table", "*.ledger", "--quiet"]) == 0  # it is named, if never asked for before
    assert states()["ledger"] == "complete"
    assert app.run_command(["reset", "--table", "ledger", "-q"]) == 0
    assert app.run_command(["resume", "--quiet"]) == 0
    assert app.run_command(["run", "demo.yml", "--quiet"]) == 0


@pytest.mark.parametrize(
    ("arguments", "typed"),
    [
        (["check", "demo.yml"], "statekeeper check --connect demo.yml"),
        (["check", "demo.yml", "--connect"], "statekeeper plan demo.yml"),
        (["plan", "demo.yml", "--table", "fin.*"], f"{RUN} --table 'fin.*'"),
        (
            ["run", "demo.yml", "--table", "jobs", "--dry-run"],
            "statekeeper run demo.yml --date 2026-01-06 --table jobs",
        ),
        (["init", "--duckdb", "shop.duckdb", "--out", "new.yml"], "statekeeper check --connect new.yml"),
        (["schemas", "diff", "demo.yml", "--table", "jobs"], "statekeeper plan demo.yml --table jobs"),
        (
            ["schemas", "infer", "demo.yml", "--inline", "--out", "t.yml"],
            "statekeeper plan demo.yml --tables t.yml",
        ),
        (["schemas", "json", "--out", "all"], "statekeeper schemas json --out all --check"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_end_of_a_command_says_what_to_type_next_and_it_works(
    capsys: pytest.CaptureFixture[str], arguments: list[str], typed: str
) -> None:
    assert app.run_command(arguments) == 0
    told = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines() if line.startswith("next")]
    assert told[0] == typed
    for command in told:
        assert app.run_command(shlex.split(command)[1:]) == 0


def test_package_is_a_program(folder: Path) -> None:
    command = [sys.executable, "-m", "statekeeper", "run", "demo.yml", "--table", "jobs"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 completed" in done.stdout) == (0, True), done.stderr


def test_tables_of_a_database_are_chosen_alike(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["schemas", "infer", "--duckdb", "shop.duckdb", "--json"]
    chosen = {}
    for choice in (("--table", "fin.*"), ("--exclude", "fin.a*"), ("--table", "hr.jobs")):
        assert app.run_command([*arguments, *choice]) == 0
        chosen[choice] = [table["table"] for table in json.loads(capsys.readouterr().out)["tables"]]
    assert list(chosen.values()) == [["fin.accounts", "fin.ledger"], ["fin.ledger", "hr.jobs"], ["hr.jobs"]]
    assert app.run_command([*arguments, "--table", "sales.*"]) == 2
    assert says(capsys.readouterr().err, "cli.no_table_matches")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completes_commands_and_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    monkeypatch.setenv("_STATEKEEPER_COMPLETE", f"{shell}_source")
    assert app.run_command([]) == 0
    assert "statekeeper" in capsys.readouterr().out
    monkeypatch.setenv("_STATEKEEPER_COMPLETE", f"{shell}_complete")
    for words, last, expected in (("statekeeper re", "1", "resume"), ("statekeeper run --ex", "2", "--exclude")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", words.split()[-1] if shell == "fish" else last)
        assert app.run_command([]) == 0
        assert expected in capsys.readouterr().out
