"""The entry point of jobs and notebooks: its parameters, and how it ends."""

from __future__ import annotations

import json
import logging

import duckdb
import pytest

from statekeeper import databricks_job
from statekeeper.databricks_job import JobParameters, RunIncomplete, run_job, run_notebook
from statekeeper.errors import ConfigError, UsageError
from statekeeper.report import RunReport

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


def test_widgets_that_are_not_ours_are_left_alone():
    found = JobParameters.from_widgets(_Dbutils(config="a.yml", date="2026-01-06", colour="red"))
    assert found == JobParameters(config="a.yml", date="2026-01-06")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "config is missing"),
        (["--config="], "config is missing"),
        (["shop.yml"], "expected --name=value"),
        (["--config=a", "--tabel=b"], "there is no parameter 'tabel'"),
        (["--config=a", "--force-reprocess=maybe"], "true or false"),
        (["--config=a", "--workers=0"], "at least 1"),
        (["--config=a", "--engine=dask"], "local or spark"),
    ],
)
def test_a_wrong_parameter_is_told_before_anything_is_begun(arguments, error):
    with pytest.raises(UsageError, match=error):
        JobParameters.from_arguments(arguments)


def test_a_job_runs_skips_and_is_forced(shop):
    parameters = JobParameters(config="shop.yml", folder=str(shop))
    assert [table.outcome for table in run_job(parameters).tables] == ["completed", "completed"]
    assert [table.outcome for table in run_job(parameters).tables] == ["skipped", "skipped"]
    forced = JobParameters(config="shop.yml", folder=str(shop), table="orders, customers", force_reprocess="True")
    assert [table.outcome for table in run_job(forced).tables] == ["completed", "completed"]
    one = JobParameters(config="shop.yml", folder=str(shop), table="orders", date="2026-01-07", run_id="again")
    report = run_job(one)
    assert (report.run_id, report.extraction_date, len(report.tables)) == ("again", "2026-01-07", 1)


def test_a_job_whose_table_fails_raises_and_its_retry_goes_on(shop):
    with duckdb.connect(shop / "shop.duckdb") as connection:
        connection.execute("alter table customers rename to clients")
    parameters = JobParameters(config="shop.yml", folder=str(shop))
    with pytest.raises(RunIncomplete, match=r"1 of 2 tables are not complete\nshop\.\S*customers: failed") as caught:
        run_job(parameters)
    assert caught.value.report.exit_code == 1
    with duckdb.connect(shop / "shop.duckdb") as connection:
        connection.execute("alter table clients rename to customers")
    assert [table.outcome for table in run_job(parameters).tables] == ["skipped", "completed"]


def test_a_notebook_ends_with_the_report(shop):
    dbutils = _Dbutils(config="shop.yml", folder=str(shop), table="")
    with pytest.raises(_Dbutils.Ended):
        run_notebook(dbutils)
    report = RunReport.model_validate_json(_without_exit_code(dbutils.ended_with))
    assert [table.outcome for table in report.tables] == ["completed", "completed"]


def test_a_notebook_whose_configuration_is_wrong_fails(shop):
    with pytest.raises(ConfigError):
        run_notebook(_Dbutils(config="other.yml", folder=str(shop)))


def test_the_entry_point_prints_the_report_and_ends_nothing(shop, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["job", "--config=shop.yml", f"--folder={shop}", "--table=orders"])
    databricks_job.main()
    out, err = capsys.readouterr()
    assert json.loads(out)["tables"][0]["outcome"] == "completed"
    assert "shop-20260106" in err


def _without_exit_code(text):
    body = json.loads(text)
    assert body.pop("exit_code") == 0
    return json.dumps(body)
