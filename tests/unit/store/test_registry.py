"""Stores by the scheme of a base path: the shipped one of folders, and one that a package brings."""

from __future__ import annotations

import ast
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from statekeeper.api.stateful import StatefulDataExtractor
from statekeeper.config.loader import pipeline_of
from statekeeper.config.outline import base_path_of
from statekeeper.config.sections.output import OutputConfig, WritesKind
from statekeeper.config.sections.stores import STORES as NAMES
from statekeeper.config.sections.stores import place_of, scheme_of
from statekeeper.errors import ConfigError
from statekeeper.model.manifest import RunManifest
from statekeeper.run.status import read_status
from statekeeper.store.files.disk import LocalDisk, WholeFileDisk
from statekeeper.store.files.durable import NO_FENCE
from statekeeper.store.manifest import load_manifest, update_manifest
from statekeeper.store.registry import STORES, reading_disk, state_store, store_of, writing_disk
from statekeeper.store.state import LocalStateStore
from tests.distributions import install
from tests.messages import says
from tests.test_extending import block

SECTIONS = {"sources": {"a": {"type": "duckdb", "path": "x"}}, "tables": [{"table_name": "t"}]}
NOW = datetime(2026, 1, 6, tzinfo=UTC)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """The store of the page, installed; its files lie in the folder `really`."""
    install(
        tmp_path / "site",
        "statekeeper-mirror",
        entry_points="[statekeeper.stores]\nmirror = statekeeper_mirror:STORE\n",
        modules={"statekeeper_mirror": block("python", "class MirrorStore")},
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("MIRROR_ROOT", str(tmp_path / "really"))
    yield tmp_path / "really"
    sys.modules.pop("statekeeper_mirror", None)


def test_every_shipped_store_is_known_to_the_configuration():
    assert set(NAMES.shipped) == set(STORES.shipped)


def test_folders_are_the_store_of_every_plain_path(tmp_path):
    assert type(reading_disk(tmp_path)) is LocalDisk
    assert type(writing_disk(tmp_path, WritesKind.WHOLE)) is WholeFileDisk
    assert isinstance(state_store(LocalDisk(), tmp_path / "s.json", NO_FENCE), LocalStateStore)
    assert scheme_of(Path("data")) == scheme_of(Path("/a:/b")) == scheme_of(Path("/")) == "file"
    assert place_of("file:///x") is place_of("data") is place_of("hdfs://bucket/x") is None
    assert scheme_of(place_of("S3://bucket/x")) == "s3"


@pytest.mark.usefixtures("mirror")
def test_a_base_path_in_the_store_of_a_package_is_the_same_from_everywhere(tmp_path, monkeypatch):
    pipeline = pipeline_of({**SECTIONS, "output": {"base_path": "mirror://team/lake"}}, root=tmp_path / "elsewhere")
    assert pipeline.base_path == pipeline.base_path.absolute() == Path("/mirror:/team/lake")
    assert scheme_of(pipeline.base_path / "shop" / "t.json") == "mirror"
    (tmp_path / "c.yml").write_text("pipeline: p\noutput: {base_path: mirror://team/lake}\n")
    assert base_path_of(tmp_path / "c.yml", environ={}) == pipeline.base_path


def test_a_run_writes_to_the_store_and_status_reads_from_it(mirror, tmp_path):
    place = place_of("mirror://team/lake")
    assert place is not None
    run = RunManifest(
        run_id="p-20260106",
        pipeline="p",
        extraction_date="2026-01-06",
        config_path=None,
        config_fingerprint="f",
        base_path=str(place),
        engine="local",
        statekeeper_version="0.1.0",
        tables=(),
        started_at=NOW,
    )
    disk = writing_disk(place, WritesKind.AUTO)
    output = OutputConfig(base_path="mirror://team/lake")
    assert update_manifest(disk, output, "p-20260106", lambda _: run) == run
    assert (mirror / "team" / "lake" / "_runs" / "p-20260106.json").exists()
    found = load_manifest(reading_disk(place), place, "p-20260106")
    assert found is not None
    assert found.config_fingerprint == "f"
    assert read_status(place, "p-20260106").run_id == "p-20260106"
    assert not Path("/mirror:").exists()


@pytest.mark.usefixtures("mirror")
def test_each_extractor_reads_from_the_store_of_its_base_path(tmp_path):
    (tmp_path / "c.yml").write_text(
        "pipeline: p\nsources: {a: {type: duckdb, path: x.duckdb}}\noutput: {base_path: mirror://lake}\n"
        "tables: [{table_name: t, columns: {id: {type: int}}}]\n"
    )
    extractor = StatefulDataExtractor.from_config(tmp_path / "c.yml")
    assert type(extractor._runner.disk).__name__ == "MirrorDisk"
    assert store_of(extractor.base_path) is not store_of(tmp_path)


def test_the_store_of_no_package_is_refused_and_says_where_others_come_from():
    with pytest.raises(ConfigError) as error:
        pipeline_of({**SECTIONS, "output": {"base_path": "mirror://team/lake"}})
    assert says(error.value.message, "config.object_store_address", path="mirror://team/lake")
    assert says(error.value.message, "registry.another_package_may_bring_it", kind="store", group="statekeeper.stores")


def test_nothing_but_the_shipped_stores_makes_a_disk_or_a_state_store():
    package = Path(__file__).parents[3] / "statekeeper"
    makers = [
        path.relative_to(package)
        for path in package.rglob("*.py")
        if {"LocalDisk", "WholeFileDisk", "LocalStateStore"}
        & {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
    ]
    assert {str(path.parent) for path in makers} == {"store/files", "store/objects"}
