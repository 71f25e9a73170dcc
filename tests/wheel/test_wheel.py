"""The project's wheel in an environment of its own, with Spark beside it: the Databricks entry point runs the demo."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.wheel


def _run(*command, cwd, **environ):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | environ
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `env/`, in which the wheel and Spark are installed, and the demo's files; no source tree."""
    place = tmp_path_factory.mktemp("wheel")
    pip = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
    _run(sys.executable, *pip, "wheel", "--no-deps", "-w", place / "dist", ROOT, cwd=place)
    (wheel,) = (place / "dist").glob("statekeeper-*.whl")
    _run(sys.executable, "-m", "venv", place / "env", cwd=place)
    _run(place / "env/bin/python", *pip, "install", f"{wheel}[spark,databricks]", cwd=place)
    (place / "configs").mkdir()
    for name in ("configs/demo.yml", "configs/make_demo.py"):
        shutil.copy(ROOT / name, place / name)
    shutil.copytree(ROOT / "schemas", place / "schemas", ignore=shutil.ignore_patterns("__pycache__"))
    (place / "data/demo").mkdir(parents=True)
    _run(place / "env/bin/python", "configs/make_demo.py", "data/demo/shop.duckdb", cwd=place)
    config = (place / "configs/demo.yml").read_text()
    # As a cluster's job would have it: an absolute path, here on a disk that is treated as a volume.
    config = config.replace("base_path: data/demo/out", f"base_path: {place / 'out'}\n  writes: whole")
    assert "writes: whole" in config
    (place / "configs/demo.yml").write_text(config)
    return place


def _job(place, *arguments):
    done = _run(
        place / "env/bin/statekeeper-databricks-job",
        *arguments,
        cwd=place / "out-of-the-way",
        DATABRICKS_RUNTIME_VERSION="16.4",
    )
    return {table["table"]["table_name"]: table["outcome"] for table in json.loads(done.stdout)["tables"]}


def test_the_entry_point_runs_the_demo_on_spark_and_skips_it_then(place):
    (place / "out-of-the-way").mkdir()
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
