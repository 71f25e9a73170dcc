"""One process per table of one run, all started together, as an orchestrator does: no table and no outcome is lost."""

from __future__ import annotations

import json

import pytest

from .pipeline import CONFIG, QUICK_ROWS, Workplace

_TABLES = ("large", "small", "empty", "missing")
_CONFIG = CONFIG.replace("  - {table_name: empty}\n", "  - {table_name: empty}\n  - {table_name: missing}\n")
_LEASE = _CONFIG.replace("{base_path: data}", "{base_path: data, lock: lease, lease_ttl: 2s}")


@pytest.mark.parametrize(("config", "rounds"), [(_CONFIG, 2), (_LEASE, 1)], ids=["flock", "lease"])
def test_runs_started_together_lose_no_table_and_no_failure(tmp_path, config, rounds):
    work = Workplace.make(tmp_path / "work", rows=QUICK_ROWS, config=config)
    for day in range(1, rounds + 1):
        date = f"2026-01-0{day}"
        run = ("run", "nightly.yml", "--date", date, "--table")
        processes = {table: work.start(*run, table) for table in _TABLES}
        ended = {table: (process.communicate(timeout=120), process.returncode) for table, process in processes.items()}
        assert {table: code for table, (_, code) in ended.items()} == {
            "large": 0, "small": 0, "empty": 0, "missing": 1,
        }, ended  # fmt: skip
        shown = work.run("status", "nightly.yml", "--date", date, "--json", "--exit-code")
        status = json.loads(shown.stdout)
        assert {table["table_name"]: table["state"] for table in status["tables"]} == {
            "large": "complete", "small": "complete", "empty": "complete", "missing": "failed",
        }  # fmt: skip
        assert (status["state"], status["processes"], shown.returncode) == ("failed", [], 1)
        manifest = json.loads((work.folder / f"data/_runs/nightly-2026010{day}.json").read_text())
        assert {table["table_name"] for table in manifest["tables"]} == set(_TABLES)
        assert (manifest["ended_at"] is not None, manifest["exit_code"]) == (True, 1)
