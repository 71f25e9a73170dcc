"""The entry point of jobs and notebooks: its parameters, and how it ends."""

from __future__ import annotations

import json
import logging
import types

import duckdb
import pytest

from statekeeper.databricks import job as databricks_job
from statekeeper.databricks.job import JobParameters, RunIncomplete, load_job, run_job, run_notebook
from statekeeper.errors import ConfigError, UsageError
from statekeeper.run.report import RunReport
from tests.messages import is_silent, message, raises_message, says, text_of

CONFIG = """\
pipeline: shop
extraction_date: 2026-01-06
sources: {shop: {type: duckdb, path: shop.duckdb}}
output: {base_path: data, writes: whole}
execution: {engine: local, workers: 1}
tables: [{table_name: orders}, {table_name: customers}]
"""


class _Dbutils:
    """The widgets that a notebook has, and what it ends with."""

    class Ended(Exception):
        pass

    def __init__(self, **widgets):
        self.ended_with = None
        self.widgets = self.notebook = self
        self._widgets = widgets

    def getAll(self):  # noqa: N802 - as Databricks spells it
        return self._widgets

    def exit(self, value):
        self.ended_with = value
        raise self.Ended


@pytest.fixture
def shop(tmp_path):
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute("create table orders as select i as id from range(10) as r(i)")
        connection.execute("create table customers as select i as id from range(3) as r(i)")
    (tmp_path / "shop.yml").write_text(CONFIG)
    yield tmp_path
    logging.getLogger("statekeeper").handlers.clear()
    logging.getLogger("statekeeper").propagate = True


def test_arguments_name_the_parameters():
    found = JobParameters.from_arguments(["--config=a.yml", "--run-id", "r", "--force_reprocess=true", "--table="])
    assert found == JobParameters(config="a.yml", run_id="r", force_reprocess="true")


def test_other_widgets_are_ignored():
    found = JobParameters.from_widgets(_Dbutils(config="a.yml", date="2026-01-06", colour="red"))
    assert found == JobParameters(config="a.yml", date="2026-01-06")


def test_an_argument_without_a_name_is_the_configuration():
    found = JobParameters.from_arguments(["a.yml", "--date", "2026-01-06", "--table", ""])
    assert found == JobParameters(config="a.yml", date="2026-01-06")


def test_unknown_parameters_of_the_job_are_ignored_with_a_warning():
    found = JobParameters.from_arguments(["--config=a.yml", "--tabel=orders", "--colour=red"])
    assert found == JobParameters(config="a.yml", unknown=("tabel", "colour"))
    of_a_typo, of_another = found.warnings()
    assert of_a_typo == text_of("databricks.no_such_parameter", name="tabel", hint="did you mean table?")
    assert says(of_another, "databricks.no_such_parameter", name="colour", hint="the parameters are config, folder...")


@pytest.mark.parametrize(
    ("given", "day"),
    [
        ("2026-01-06", "2026-01-06"),
        ("2026-01-06T23:30:00", "2026-01-06"),
        ("2026-01-06T23:30:00.123Z", "2026-01-06"),
        ("2026-01-06T23:30:00-02:00", "2026-01-07"),
        ("yesterday", "yesterday"),
        ("", ""),
    ],
)
def test_a_date_is_a_day_or_the_utc_day_of_a_timestamp(given, day):
    assert JobParameters.of({"config": "a.yml", "date": given}).date == day


def test_an_unresolved_reference_is_explained():
    with raises_message(UsageError, "databricks.expected_a_day", name="date", found="{{job.triger.time}}") as caught:
        JobParameters.of({"config": "a.yml", "date": "{{job.triger.time}}"})
    assert says(caught.value.hint, "databricks.reference_is_passed_on")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], message("databricks.no_config")),
        (["--config="], message("databricks.no_config")),
        (["shop.yml", "2026-01-06"], message("databricks.expected_name_and_value", argument="2026-01-06")),
        (["shop.yml", "--table", "--date=2026-01-06"], message("databricks.expected_a_value", argument="--table")),
        (["shop.yml", "--date"], message("databricks.expected_a_value", argument="--date")),
        (["shop.yml", "--today=yesterday"], message("databricks.expected_a_day", name="today")),
        (["--config=a", "--force-reprocess=maybe"], message("databricks.true_or_false", found="maybe")),
        (["--config=a", "--workers=0"], message("databricks.expected_workers", found="0")),
        (["--config=a", "--engine=dask"], message("run.expected_the_engine", known="local or spark", found="dask")),
    ],
)
def test_a_wrong_parameter_is_reported_before_anything_starts(arguments, error):
    with raises_message(UsageError, error):
        JobParameters.from_arguments(arguments)


def test_a_job_runs_then_skips_then_is_forced(shop):
    parameters = JobParameters(config="shop.yml", folder=str(shop))
    assert [table.outcome for table in run_job(parameters).tables] == ["completed", "completed"]
    assert [table.outcome for table in run_job(parameters).tables] == ["skipped", "skipped"]
    forced = JobParameters(config="shop.yml", folder=str(shop), table="orders, customers", force_reprocess="True")
    assert [table.outcome for table in run_job(forced).tables] == ["completed", "completed"]
    one = JobParameters(config="shop.yml", folder=str(shop), table="orders", date="2026-01-07", run_id="again")
    report = run_job(one)
    assert (report.run_id, report.extraction_date, len(report.tables)) == ("again", "2026-01-07", 1)


def test_a_job_repaired_after_midnight_extracts_the_day_of_its_trigger(shop, capsys):
    (shop / "shop.yml").write_text(CONFIG.replace("2026-01-06", "yesterday"))
    given = {"config": "shop.yml", "folder": str(shop), "date": ""}
    report = run_job(JobParameters.of(given | {"today": "2026-01-07T23:59:00"}))
    assert (report.run_id, report.extraction_date) == ("shop-20260106", "2026-01-06")
    assert is_silent(capsys.readouterr().err, "databricks.counts_from_the_present")
    report = run_job(JobParameters.of(given | {"date": "today", "today": "2026-01-08"}))
    assert report.extraction_date == "2026-01-08"
    run_job(JobParameters.of(given))
    assert says(capsys.readouterr().err, "databricks.counts_from_the_present", day="yesterday")


def test_a_job_with_a_failed_table_raises_and_its_retry_continues(shop):
    with duckdb.connect(shop / "shop.duckdb") as connection:
        connection.execute("alter table customers rename to clients")
    parameters = JobParameters(config="shop.yml", folder=str(shop))
    with pytest.raises(RunIncomplete, match=r"1 of 2 tables are not complete\nshop\.\S*customers: failed") as caught:
        run_job(parameters)
    assert caught.value.report.exit_code == 1
    with duckdb.connect(shop / "shop.duckdb") as connection:
        connection.execute("alter table clients rename to customers")
    assert [table.outcome for table in run_job(parameters).tables] == ["skipped", "completed"]


def test_metadata_have_the_links_of_the_job(shop):
    given = ["shop.yml", f"--folder={shop}", "--table=orders", "--workspace-url=https://adb-1.net", "--job-id=17"]
    run_job(JobParameters.from_arguments([*given, "--job-run-id=4711"]))
    metadata = json.loads(next((shop / "data").glob("**/*_metadata.json")).read_text())
    assert metadata["job_run"]["run_url"] == "https://adb-1.net/jobs/17/runs/4711"


def test_a_load_without_a_schema_is_refused():
    with raises_message(UsageError, "databricks.no_parameter_into"):
        load_job(JobParameters(config="shop.yml"))


def test_a_notebook_ends_with_the_report(shop):
    dbutils = _Dbutils(config="shop.yml", folder=str(shop), table="")
    with pytest.raises(_Dbutils.Ended):
        run_notebook(dbutils)
    report = RunReport.model_validate_json(_without_exit_code(dbutils.ended_with))
    assert [table.outcome for table in report.tables] == ["completed", "completed"]


def test_a_notebook_reads_secrets_by_its_own_dbutils(shop, monkeypatch):
    asked = []
    dbutils = _Dbutils(config="shop.yml", folder=str(shop))
    dbutils.secrets = types.SimpleNamespace(get=lambda *name: asked.append(name) or "shop.duckdb")
    (shop / "shop.yml").write_text(CONFIG.replace("path: shop.duckdb", "path: '${databricks:shop/path}'"))
    with pytest.raises(_Dbutils.Ended):
        run_notebook(dbutils)
    assert asked == [("shop", "path")]


def test_a_notebook_whose_configuration_is_wrong_fails(shop):
    with pytest.raises(ConfigError):
        run_notebook(_Dbutils(config="other.yml", folder=str(shop)))


def test_the_entry_point_prints_the_report_and_does_not_exit(shop, capsys, monkeypatch):
    arguments = ["shop.yml", f"--folder={shop}", "--table", "orders", "--colour=red"]
    monkeypatch.setattr("sys.argv", ["job", *arguments])
    databricks_job.main()
    out, err = capsys.readouterr()
    assert json.loads(out)["tables"][0]["outcome"] == "completed"
    assert "shop-20260106" in err
    assert says(err, "databricks.no_such_parameter", name="colour")


def _without_exit_code(text):
    body = json.loads(text)
    assert body.pop("exit_code") == 0
    return json.dumps(body)
