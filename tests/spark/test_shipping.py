"""Executors on which statekeeper is not installed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from statekeeper.engines.spark.shipping import zip_package
from tests.spark.modes import CLUSTER

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python with everything that statekeeper needs, and without it."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin/python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # A folder named by a .pth file: what other .pth files in it name, such as an editable install, is not followed.
    (Path(site) / "there.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = subprocess.run([python, "-c", "import statekeeper"], check=False, capture_output=True, cwd=folder)
    assert found.returncode != 0
    return python


def test_the_package_is_sent_where_it_is_missing(world, reference, bare, monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", str(bare))
    monkeypatch.setattr("tests.spark.world.ENVIRONMENT", {"SPARK_LOCAL_IP": "127.0.0.1"})
    monkeypatch.setattr("tests.spark.world.ROOT", world.folder)
    world.configure("shipped", mode=CLUSTER)
    assert world.run("run", "shipped.yml") == 0, world.said
    assert "it was sent there" in world.said
    world.assert_same("shipped", reference)


def test_the_zip_can_be_imported_from(tmp_path, bare):
    zipped = zip_package(tmp_path)
    code = "import statekeeper.engines.spark.partition, statekeeper.part_check as check; print(check.__file__)"
    found = subprocess.run(
        [bare, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONPATH": str(zipped)}, cwd=tmp_path
    )
    assert str(zipped) in found.stdout
