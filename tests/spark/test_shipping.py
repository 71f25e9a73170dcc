"""Executors on which statekeeper is not installed, and that cannot connect to a source."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import sysconfig
from contextlib import closing
from pathlib import Path

import pytest

from statekeeper.engines.spark.preflight import zip_package
from tests.messages import says
from tests.spark.modes import CLUSTER, mode_named
from tests.spark.world import LIMIT

pytestmark = pytest.mark.spark

INSPECT = """\
import json, logging, sys
from pathlib import Path
from statekeeper.config.sections.oracle import OracleSource
from statekeeper.config.sections.spark import SparkConfig
from statekeeper.engines.spark.preflight import inspect
from statekeeper.engines.spark.session import hold_session
from statekeeper.engines.context import JobSource

logging.basicConfig(level=logging.INFO)
section, ports, exchange = json.loads(sys.argv[1])
login = {"type": "oracle", "host": "127.0.0.1", "service": "S", "user": "u", "password": "p"}
sources = {name: JobSource(name, OracleSource(**login, port=port)) for name, port in ports.items()}
held = hold_session(SparkConfig(**section))
cluster = inspect(held, Path(exchange), parallelism=2, sources=sources)
print(json.dumps([held.flavour, dict(cluster.unreachable)]))
held.stop()
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A Python with everything that statekeeper needs, but without statekeeper."""
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
    assert says(world.said, "spark.sent_to_the_executors")
    world.assert_same("shipped", reference)


@pytest.mark.parametrize(("name", "flavour"), [("local-cluster", "classic"), ("connect", "connect")])
def test_executors_are_sent_the_package_and_say_which_source_they_cannot_connect_to(
    name, flavour, world, bare, monkeypatch, tmp_path
):
    environment = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost", "PYSPARK_PYTHON": str(bare)}
    monkeypatch.setattr("tests.spark.modes.ENVIRONMENT", environment)
    with closing(socket.socket()) as bound, mode_named(name, world.folder, {"PYTHONPATH": ""}) as mode:
        bound.bind(("127.0.0.1", 0))  # nobody listens at it
        ports = {"near": world.server.port, "far": bound.getsockname()[1]}
        done = subprocess.run(
            [sys.executable, "-c", INSPECT, json.dumps([mode.section, ports, str(tmp_path)])],
            env=os.environ | environment, check=True, capture_output=True, text=True, timeout=LIMIT,
        )  # fmt: skip
    found, unreachable = json.loads(done.stdout.splitlines()[-1])
    assert found == flavour
    assert says(done.stderr, "spark.sent_to_the_executors")
    assert set(unreachable) == {"far"}
    assert f"cannot connect to the source far (127.0.0.1:{ports['far']}: " in unreachable["far"]


def test_the_zip_can_be_imported_from(tmp_path, bare):
    zipped = zip_package(tmp_path)
    code = "import statekeeper.engines.spark.partition, statekeeper.validate.check_part as check; print(check.__file__)"
    found = subprocess.run(
        [bare, "-c", code], check=True, capture_output=True, text=True, env={"PYTHONPATH": str(zipped)}, cwd=tmp_path
    )
    assert str(zipped) in found.stdout
