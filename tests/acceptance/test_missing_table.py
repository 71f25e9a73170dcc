"""A table that cannot be read fails alone; once it can be read, `resume` extracts only that table."""

from __future__ import annotations

from .pipeline import QUICK_CONFIG, QUICK_ROWS, Workplace


def test_a_missing_table_fails_alone_and_resume_extracts_only_it(tmp_path):
    config = QUICK_CONFIG + "  - {table_name: missing}\n"
    work = Workplace.make(tmp_path / "work", rows=QUICK_ROWS, config=config)

    run = work.run("run", "nightly.yml")

    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    work.assert_equals_source("large", "small", "empty")
    tables = work.tables()
    assert work.status()["state"] == "failed"
    assert {name: tables[name]["state"] for name in ("large", "small", "empty")} == dict.fromkeys(
        ("large", "small", "empty"), "complete"
    )
    failure = tables["missing"]["failure"]
    assert (tables["missing"]["state"], failure["kind"]) == ("failed", "source")
    assert "missing" in failure["message"]
    assert failure["hint"]
    shown = work.run("status")
    assert failure["message"] in " ".join(shown.stdout.split())
    assert failure["hint"] in " ".join(shown.stdout.split())

    work.sql("create table missing as select i as id from range(10) as r(i)")
    before = work.fingerprint("large", "small", "empty")
    (work.folder / "queries.jsonl").unlink()
    resumed = work.run("resume")

    assert resumed.returncode == 0, resumed.stderr
    assert work.fingerprint("large", "small", "empty") == before
    assert work.tables_read() == {"missing"}
    work.assert_equals_source("missing")
    assert work.status()["state"] == "complete"
    assert work.tables()["missing"]["failure"] is None
