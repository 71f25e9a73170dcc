"""The project's wheel in environments of its own: with Spark beside it, among the packages of Databricks' runtimes, and
beside Airflow 3 and pyiceberg.

`runtimes.json` has names and versions, as Databricks publishes them for each runtime, of the packages that the wheel
may bring. A runtime has Python 3.12; the tests take the Python that runs them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.messages import says

ROOT = Path(__file__).parent.parent.parent
RUNTIMES = json.loads((Path(__file__).parent / "runtimes.json").read_text())
SUPPORTED = ("17.3", "18", "19", "serverless 4", "serverless 6")
REPLACED = {"typing-extensions": ">=", "databricks-sdk": ">=", "protobuf": "~="}
"""What pip may replace in a runtime, by newer releases that older code goes on working with: oracledb needs newer
typing-extensions than 17.3 and 18 have, standard access mode a newer databricks-sdk, which refuses protobuf 5.29.4."""
BROUGHT = {"statekeeper", "duckdb", "oracledb", "transitions", "six", "typing-inspection"}
"""What a runtime may lack and pip adds."""
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")

pytestmark = pytest.mark.wheel


def _try(*command, cwd, **environ):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | environ
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=environ, capture_output=True, text=True, check=False)


def _run(*command, cwd, **environ):
    done = _try(*command, cwd=cwd, **environ)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, *PIP, "wheel", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("statekeeper-*.whl")
    return wheel


def _place(folder, *requirements):
    """`folder` with `env/`, in which the wheel is installed, and the demo's files; no source tree."""
    _run(sys.executable, "-m", "venv", folder / "env", cwd=folder)
    _run(folder / "env/bin/python", *PIP, "install", *requirements, cwd=folder)
    (folder / "configs").mkdir()
    (folder / "out-of-the-way").mkdir()
    for name in ("configs/demo.yml", "configs/make_demo.py"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "schemas", folder / "schemas", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data/demo").mkdir(parents=True)
    _run(folder / "env/bin/python", "configs/make_demo.py", "data/demo/shop.duckdb", cwd=folder)
    config = (folder / "configs/demo.yml").read_text()
    # As a cluster's job would have it: an absolute path, here on a disk that is treated as a volume.
    config = config.replace("base_path: data/demo/out", f"base_path: {folder / 'out'}\n  writes: whole")
    assert "writes: whole" in config
    (folder / "configs/demo.yml").write_text(config)
    return folder


@pytest.fixture(scope="module")
def place(wheel, tmp_path_factory):
    return _place(tmp_path_factory.mktemp("wheel"), f"{wheel}[spark,databricks]")


def _constraints(folder, name):
    """The runtime's packages as constraints for pip; what may be replaced is at least as it is there."""
    path = folder / "constraints.txt"
    packages = RUNTIMES[name]["packages"].items()
    path.write_text("".join(f"{each}{REPLACED.get(each, '==')}{version}\n" for each, version in packages))
    return path


def _job(place, *arguments, runtime="17.3"):
    done = _run(
        place / "env/bin/statekeeper-databricks-job",
        *arguments,
        cwd=place / "out-of-the-way",
        DATABRICKS_RUNTIME_VERSION=runtime,
    )
    return {table["table"]["table_name"]: table["outcome"] for table in json.loads(done.stdout)["tables"]}


def test_the_entry_point_runs_the_demo_on_spark_and_skips_it_then(place):
    parameters = (f"--folder={place}", "--config=configs/demo.yml", "--engine=spark", "--date=", "--table=")
    assert set(_job(place, *parameters).values()) == {"completed"}
    assert set(_job(place, *parameters).values()) == {"skipped"}
    assert len(list((place / "out").rglob("*_metadata.json"))) == 7


def test_what_is_installed_is_the_wheel_and_both_packages_of_it(place):
    script = (
        "import data_extractor.databricks as older, statekeeper.databricks as ours, importlib.metadata as metadata\n"
        "assert older.DatabricksDataExtractor is ours.DatabricksDataExtractor\n"
        "print(ours.__file__, metadata.version('statekeeper'))"
    )
    assert str(place / "env") in _run(place / "env/bin/python", "-c", script, cwd=place).stdout


@pytest.mark.parametrize("name", SUPPORTED)
def test_among_a_runtimes_packages_the_wheel_replaces_none_and_the_job_runs(name, wheel, tmp_path):
    place = _place(tmp_path, f"{wheel}[databricks]", "--constraint", _constraints(tmp_path, name))
    there = RUNTIMES[name]["packages"]
    listed = json.loads(_run(place / "env/bin/python", *PIP[:-1], "list", "--format=json", cwd=place).stdout)
    installed = {package["name"].lower().replace("_", "-"): package["version"] for package in listed}
    assert installed.keys() - there.keys() - BROUGHT <= {"pip", "setuptools"}
    replaced = {each for each in installed.keys() & there.keys() if installed[each] != there[each]}
    assert replaced <= REPLACED.keys()
    parameters = (f"--folder={place}", "--config=configs/demo.yml", "--engine=local")
    outcomes = _job(place, *parameters, runtime=RUNTIMES[name]["runtime"])
    assert len(outcomes) == 7
    assert set(outcomes.values()) == {"completed"}


def test_pip_finds_releases_of_airflow_3_and_pyiceberg_that_stand_beside_the_wheel(wheel, place, tmp_path):
    """As Airflow's users install what its constraints do not name: beside the Airflow that they have, without them."""
    report = tmp_path / "report.json"
    asked = (f"{wheel}[spark,databricks]", "apache-airflow>=3,<4", "pyiceberg>=0.9")
    options = ("--dry-run", "--ignore-installed", "--report", report)
    _run(place / "env/bin/python", *PIP, "install", *options, *asked, cwd=tmp_path)
    found = [each["metadata"] for each in json.loads(report.read_text())["install"]]
    versions = {each["name"]: each["version"] for each in found}
    assert {"statekeeper", "apache-airflow", "pyiceberg", "pyspark", "databricks-sdk"} <= versions.keys()
    assert versions["apache-airflow"].startswith("3.")


def test_an_older_runtimes_packages_are_refused_by_pip_and_the_runtime_by_name(wheel, place, tmp_path):
    constraints = _constraints(tmp_path, "16.4")
    done = _try(place / "env/bin/python", *PIP, "install", "--dry-run", wheel, "-c", constraints, cwd=tmp_path)
    assert done.returncode != 0
    assert "ResolutionImpossible" in done.stderr
    done = _try(
        place / "env/bin/statekeeper-databricks-job", "--config=x.yml", cwd=place, DATABRICKS_RUNTIME_VERSION="16.4"
    )
    assert done.returncode != 0
    assert says(done.stderr, "config.old_runtime", version="16.4")
    assert says(done.stderr, "config.old_runtime", major=17, minor=3)
