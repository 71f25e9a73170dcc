"""The bundle of this repository deploys: its job is one that Databricks' own types take, for every target."""

from __future__ import annotations

import re
import tomllib
from copy import deepcopy
from datetime import date, datetime, timedelta
from importlib import import_module
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from databricks.bundles.jobs import Job

from statekeeper.databricks.job import JobParameters

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "databricks.yml").read_text()
BUNDLE = yaml.safe_load(TEXT)
RUNTIME = {
    "job.parameters.date": "",
    "job.parameters.force_reprocess": "false",
    "job.trigger.time.iso_date": "2026-01-07",
    "workspace.url": "https://adb-1.azuredatabricks.net",
    "job.id": "17",
    "job.run_id": "4711",
}


def _job(target):
    """The job as the command line makes it for a target: tasks are merged by their keys."""
    job = deepcopy(BUNDLE["resources"]["jobs"]["nightly"])
    own = BUNDLE["targets"][target]["resources"]["jobs"]["nightly"]
    tasks = {task["task_key"]: task for task in job["tasks"]}
    for task in own["tasks"]:
        tasks[task["task_key"]] |= task
    return job | own | {"tasks": list(tasks.values())}


def _parameters(task):
    """The arguments of a task, with what bundle and service fill in."""
    variables = {f"var.{name}": each.get("default", "x") for name, each in BUNDLE["variables"].items()}
    variables |= {"workspace.file_path": str(ROOT)}
    filled = [
        re.sub(
            r"\{\{(.*?)\}\}", lambda found: RUNTIME[found[1]], re.sub(r"\$\{(.*?)\}", lambda f: variables[f[1]], text)
        )
        for text in task["python_wheel_task"]["parameters"]
    ]
    return JobParameters.from_arguments(filled)


def test_the_documentation_shows_the_bundle_as_it_is():
    (shown,) = re.findall(r"```yaml\n(# A bundle.*?)```", (ROOT / "docs/databricks.md").read_text(), re.DOTALL)
    assert shown == TEXT


@pytest.mark.parametrize("target", BUNDLE["targets"])
def test_the_job_of_every_target_satisfies_the_types_of_databricks(target):
    job = Job.from_dict(_job(target)).as_dict()
    assert job["max_concurrent_runs"] == 1
    assert {task["task_key"] for task in job["tasks"]} == {"extract", "load"}


def test_the_types_refuse_unknown_keys():
    with pytest.raises(ValueError, match="max_concurent_runs"):
        Job.from_dict(_job("prod") | {"max_concurent_runs": 1})


@pytest.mark.parametrize("target", BUNDLE["targets"])
def test_every_task_runs_on_compute_of_the_job_with_the_wheel(target):
    job = _job(target)
    clusters = {each["job_cluster_key"] for each in job.get("job_clusters", ())}
    environments = {each["environment_key"]: each["spec"]["dependencies"] for each in job.get("environments", ())}
    for task in job["tasks"]:
        if "job_cluster_key" in task:
            assert task["job_cluster_key"] in clusters
            assert {"whl": "./dist/*.whl"} in task["libraries"]
        else:
            assert "./dist/*.whl" in environments[task["environment_key"]]
    assert bool(clusters) != bool(environments)


def test_a_production_target_sets_its_folder_and_its_user():
    for target in BUNDLE["targets"].values():
        assert target["mode"] == "production"
        assert target["workspace"]["root_path"].endswith("${bundle.name}/${bundle.target}")
        assert "current_user" not in str(target)
        who = target["run_as"]["service_principal_name"]
        assert {"level": "CAN_VIEW", "service_principal_name": who} in target["permissions"]


def test_every_variable_is_declared_and_used():
    assert set(re.findall(r"\$\{var\.(\w+)\}", TEXT)) == set(BUNDLE["variables"])


def test_the_schedule_runs_once_a_day_even_when_clocks_change():
    schedule = BUNDLE["resources"]["jobs"]["nightly"]["schedule"]
    _, minute, hour, *rest = schedule["quartz_cron_expression"].split()
    assert rest == ["*", "*", "?"]
    zone, day = ZoneInfo(schedule["timezone_id"]), date(2026, 1, 1)
    offsets = set()
    while day < date(2028, 1, 1):
        first, second = (
            datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=zone, fold=fold).utcoffset()
            for fold in (0, 1)
        )
        assert first == second, f"{day}: that hour is skipped or repeated"
        offsets.add(first)
        day += timedelta(days=1)
    assert len(offsets) == 2, "the zone has no summer time"


@pytest.mark.parametrize("number", [0, 1])
def test_every_task_calls_an_entry_point_with_known_parameters(number):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    task = BUNDLE["resources"]["jobs"]["nightly"]["tasks"][number]
    called = task["python_wheel_task"]
    assert called["package_name"] == project["name"]
    module, _, function = project["scripts"][called["entry_point"]].partition(":")
    assert callable(getattr(import_module(module), function))
    parameters = _parameters(task)
    assert parameters.unknown == ()
    assert (parameters.today, parameters.unity_catalog_volume) == ("2026-01-07", "main.raw.erp")
    assert (ROOT / parameters.config).is_file()


def test_the_load_loads_the_run_that_was_extracted():
    extract, load = map(_parameters, BUNDLE["resources"]["jobs"]["nightly"]["tasks"])
    assert (load.config, load.folder, load.date, load.today) == (
        extract.config,
        extract.folder,
        extract.date,
        extract.today,
    )
    assert load.unity_catalog_volume == extract.unity_catalog_volume
    assert load.into == "main.erp"
    assert extract.job_run.run_url == "https://adb-1.azuredatabricks.net/jobs/17/runs/4711"


def test_what_the_job_reads_is_deployed():
    (config,) = {_parameters(task).config for task in BUNDLE["resources"]["jobs"]["nightly"]["tasks"]}
    models = {entry["schema"].split("/")[0] for entry in yaml.safe_load((ROOT / config).read_text())["tables"]}
    assert {config.split("/")[0], *models} <= set(BUNDLE["sync"]["paths"])
