from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from statekeeper.cli import data_extractor
from tests.messages import Message, message, says

CONFIG = """
pipeline: shop
extraction_date: 2026-01-06
sources:
  shop: {type: duckdb, path: shop.duckdb}
tables:
  - {table_name: orders}
"""
TABLE = ["--source-name", "db", "--table-name", "T", "--host", "h", "--service", "s", "--user", "u"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("ORACLE_")]:
        monkeypatch.delenv(name)
    with duckdb.connect("shop.duckdb") as connection:
        connection.execute("create table orders as select 1 as id")
        connection.execute("create table others as select 1 as id")
    Path("shop.yml").write_text(CONFIG)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], message("cli.nothing_was_named")),
        (
            ["--config", "shop.yml", "--host", "h", "--table-name", "t"],
            message("cli.config_defines_all", options="--host, --table-name"),
        ),
        (["--tables", "t.json"], message("cli.tables_need_a_config")),
        (
            ["--table-name", "t", "--host", "h"],
            message("cli.one_table_also_needs", options="--source-name, --service (or ORACLE_SERVICE)..."),
        ),
        (TABLE, message("cli.one_table_also_needs", options="ORACLE_PASSWORD (or --password)")),
        (["--config", "none.yml"], message("config.no_such_file", path="none.yml")),
    ],
)
def test_wrong_usage_says_what_is_missing_and_ends_with_2(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], error: Message
) -> None:
    assert data_extractor.run_command(words) == 2
    assert says(capsys.readouterr().err, error)
    assert not Path("data").exists()


def test_a_configuration_is_run_and_the_environment_of_a_database_is_no_contradiction(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORACLE_HOST", "elsewhere")
    monkeypatch.setenv("ORACLE_PASSWORD", "secret")
    Path("tables.json").write_text('[{"table_name": "others"}]')
    for words, lines in (
        (["--config", "shop.yml"], ["shop.orders  completed"]),
        (["--config", "shop.yml"], ["shop.orders  skipped"]),
        (["--config", "shop.yml", "--force-reprocess"], ["shop.orders  completed"]),
        (["--config", "shop.yml", "--tables", "tables.json"], ["shop.others  completed"]),
    ):
        assert data_extractor.run_command(words) == 0
        out, err = capsys.readouterr()
        assert all(line in out for line in lines)
        assert "warning" not in err


def test_an_unreachable_database_ends_with_4_and_a_warned_password_is_not_shown(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*TABLE, "--host", "localhost", "--port", "1", "--password", "s3cr3t-word"]
    assert data_extractor.run_command(words) == 4
    out, err = capsys.readouterr()
    assert says(err, "cli.password_is_shown")
    assert "next: repeat the same call or command" in out
    assert "s3cr3t-word" not in out + err
    assert not [path for path in here.rglob("*") if path.is_file() and b"s3cr3t-word" in path.read_bytes()]


def test_help_and_usage_load_no_driver_and_no_arrow(here: Path) -> None:
    program = (
        "import sys; from statekeeper.cli.data_extractor import run_command; code = run_command(sys.argv[1:]); "
        "loaded = {'pyarrow', 'duckdb', 'oracledb'} & set(sys.modules); "
        "sys.exit(f'loaded {loaded}' if loaded else code)"
    )
    done = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_import_paths_of_older_programs_lead_to_the_same_classes(here: Path) -> None:
    program = (
        "import data_extractor.core as core, statekeeper.api as own; "
        "assert core.DataExtractor is own.DataExtractor; assert core.StatefulDataExtractor is own.StatefulDataExtractor"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
