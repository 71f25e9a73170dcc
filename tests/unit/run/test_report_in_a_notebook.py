"""What `display()` of a notebook shows of a report, and the links that a run keeps of the job that started it."""

from __future__ import annotations

import pytest

from statekeeper.databricks.load import LoadOutcome, LoadReport, TableLoad
from statekeeper.errors import UsageError
from statekeeper.model.job_run import JobRun
from statekeeper.model.manifest import RunManifest
from statekeeper.model.table import TableRef
from statekeeper.run.report import Outcome, RunReport, TableReport
from tests.messages import raises_message
from tests.unit.small_shop import Shop

TABLE = TableRef(source_name="erp", schema_name="HR", table_name="<b>", path_name="b")


def test_a_report_is_shown_as_a_table_without_active_content():
    report = RunReport(
        run_id="erp-20260106",
        pipeline="erp",
        extraction_date="2026-01-06",
        base_path="/Volumes/main/raw/erp",
        tables=(
            TableReport(table=TABLE, outcome=Outcome.COMPLETED, records=1234567, bytes=2_000_000, output_path="/V/x"),
            TableReport(table=TABLE, outcome=Outcome.HELD, reason="held by <script>\x1b[2J"),
        ),
        duration_seconds=1.0,
    )
    shown = report._repr_html_()
    assert "<td>erp.HR.&lt;b&gt;</td><td>completed</td><td>1,234,567</td><td>2.0 MB</td>" in shown
    assert "<td>held</td>" in shown
    assert "<script>" not in shown
    assert "\x1b" not in shown


def test_the_report_of_a_load_is_shown_as_a_table_too():
    load = TableLoad(table=TABLE, into="main.erp.b", outcome=LoadOutcome.PRESENT, rows=1000)
    shown = LoadReport(run_id="erp-20260106", into="main.erp", tables=(load,))._repr_html_()
    assert "<td>main.erp.b</td><td>present</td><td>1,000</td>" in shown


@pytest.mark.parametrize(
    "workspace",
    [
        "https://adb-1.azuredatabricks.net",
        "adb-1.azuredatabricks.net",
        "https://me:secret@adb-1.azuredatabricks.net/?t=s",
    ],
)
def test_links_contain_a_host_and_two_numbers_but_no_login_or_token(workspace):
    found = JobRun.on_databricks(workspace_url=workspace, job_id="17", job_run_id="4711")
    assert found.job_url == "https://adb-1.azuredatabricks.net/jobs/17"
    assert found.run_url == "https://adb-1.azuredatabricks.net/jobs/17/runs/4711"


@pytest.mark.parametrize(
    ("workspace", "job", "run"),
    [
        ("{{workspace.url}}", "17", "4711"),
        ("https://adb-1.net", "{{job.id}}", "4711"),
        ("https://adb-1.net", "17", "x/y"),
    ],
)
def test_an_unresolved_reference_gives_no_link(workspace, job, run):
    with raises_message(UsageError, "model.expected_a_job_run"):
        JobRun.on_databricks(workspace_url=workspace, job_id=job, job_run_id=run)


def test_metadata_and_manifest_name_the_job_run_that_extracted(tmp_path):
    from dataclasses import replace

    shop = Shop(tmp_path)
    shop.execute("create table orders as select 1 as id")
    link = JobRun.on_databricks(workspace_url="https://adb-1.net", job_id="17", job_run_id="4711")
    runner = shop.runner("orders")
    replace(runner, identity=replace(runner.identity, job_run=link)).run(runner.pipeline.tables)
    assert shop.metadata().job_run == link
    manifest = tmp_path / "data/_runs/shop-20260106.json"
    assert RunManifest.from_bytes(manifest.read_bytes(), where="it").job_run == link
    shop.run("orders", is_forced=True)
    assert shop.metadata().job_run is None
    assert RunManifest.from_bytes(manifest.read_bytes(), where="it").job_run is None
