"""docs/extending.md holds: the source that it walks through is taken out of it, installed, run, killed and resumed."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from statekeeper.model.receipt import Receipt
from tests.acceptance.pipeline import paths_matching
from tests.distributions import install
from tests.messages import says

_PAGE = Path(__file__).parent.parent / "docs" / "extending.md"
_FILES, _ROWS = 24, 2000
_ODD = ("007", "1.50", "", " padded ", 'a "quoted" word', "two\nlines", "na", "NULL", "\u540d", "1e400", "true", ",")


def block(language: str, first: str) -> str:
    """The one block of the page in this language that holds a text."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", _PAGE.read_text(), re.DOTALL) if first in text]
    return found


def install_from_page(folder: Path) -> Path:
    """Install the distribution of the page as pip would; `folder` belongs on PYTHONPATH."""
    project = tomllib.loads(block("toml", "statekeeper.sources"))["project"]
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items())
        for group, named in project["entry-points"].items()
    )
    text = block("python", "class CsvSession")
    return install(folder, project["name"], entry_points=points, modules={"statekeeper_csv": text})


def rows_of(number: int) -> list[tuple[str, str, str]]:
    return [(f"{number:02}-{row:04}", _ODD[row % len(_ODD)], str(row / 7)) for row in range(_ROWS)]


@pytest.fixture
def landing(tmp_path):
    """A folder with a table of many files, one of a single file, and one of a file without rows."""
    tables = {
        "orders": {f"{number:02}.csv": rows_of(number) for number in range(_FILES)},
        "clients": {"all.csv": rows_of(99)},
        "returns": {"none.csv": []},
    }
    for table, files in tables.items():
        (tmp_path / "landing" / table).mkdir(parents=True)
        for name, rows in files.items():
            with (tmp_path / "landing" / table / name).open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([("id", "word", "amount"), *rows])
    return tmp_path


@pytest.fixture
def cli(landing):
    """Runs the program with the distribution of the page installed."""
    folder = install_from_page(landing / "site")
    environ = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}

    def start(*words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "statekeeper", *words],
            cwd=landing,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def done(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def receipts_in(folder: Path) -> list[Receipt]:
    found = paths_matching(folder, "**/receipts/chunk-*.json")
    return [Receipt.from_bytes(each.read_bytes(), where=str(each)) for each in found]


def test_the_source_of_the_page_is_killed_in_the_middle_and_resumed(landing, cli):
    text = block("python", "class CsvSession")
    assert len(text.splitlines()) < 65, "it is a source of fifty lines"
    done(cli("init", "--source", "csv", "--set", "path=landing", "--out", "landing.yml"))
    assert "type: csv" in (landing / "landing.yml").read_text()

    run = cli("run", "landing.yml", "--date", "2026-01-06", "--workers", "1")
    orders = landing / "data" / "csv" / "orders"
    deadline = time.monotonic() + 200
    while len(receipts_in(orders)) < 2:
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=60)
    kept = receipts_in(orders)
    assert 2 <= len(kept) < _FILES
    assert not list(landing.glob("data/csv/orders/**/*.parquet"))

    done(cli("resume", "landing.yml", "--date", "2026-01-06"))
    status = json.loads(done(cli("status", "landing.yml", "--json")))
    assert {table["state"] for table in status["tables"]} == {"complete"}
    (found,) = orders.glob("202601/06/*.parquet")
    assert ds.dataset(found).to_table().to_pylist() == [
        dict(zip(("id", "word", "amount"), row, strict=True)) for number in range(_FILES) for row in rows_of(number)
    ]
    (metadata,) = orders.glob("202601/06/*_metadata.json")
    published = {file["md5"] for file in json.loads(metadata.read_text())["files"]}
    assert len(published) == _FILES
    assert {receipt.md5 for receipt in kept} <= published, "what had a receipt was read again"
    (empty,) = landing.glob("data/csv/returns/202601/06/*.parquet")
    assert ds.dataset(empty).schema.names == ["id", "word", "amount"]
    assert "skipped" in done(cli("run", "landing.yml", "--date", "2026-01-06"))


def test_without_the_package_its_type_is_refused(landing):
    (landing / "landing.yml").write_text(
        "pipeline: p\nsources: {csv: {type: csv, path: landing}}\ntables: [{table_name: orders}]\n"
    )
    words = [sys.executable, "-m", "statekeeper", "check", "landing.yml"]
    refused = subprocess.run(words, cwd=landing, capture_output=True, text=True, timeout=100, check=False)
    assert refused.returncode == 2
    assert "landing.yml:2:23: sources.csv.type: expected one of 'duckdb', 'oracle'; found 'csv'" in refused.stderr
    assert says(refused.stderr, "registry.another_package_may_bring_it", kind="type of source")
