"""Engines from packages, and engines that are passed as objects, run the jobs of a run."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import closing

import duckdb
import pytest

from statekeeper.api.extractor import DataExtractor
from statekeeper.api.stateful import StatefulDataExtractor
from statekeeper.config.loader import pipeline_of
from statekeeper.config.sections.engines import ENGINES as NAMES
from statekeeper.engines.choice import ENGINES, engine_type
from statekeeper.engines.inline import InlineEngine
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import EngineSetup, EngineType, Job
from statekeeper.errors import ConfigError, Interrupted, UsageError
from tests.distributions import install
from tests.messages import raises_message, says, text_of
from tests.test_extending import block


class Noted(InlineEngine):
    """A user's engine, which records its calls."""

    def __init__(self):
        super().__init__()
        self.tables: list[str] = []
        self.closed = 0

    async def run(self, job):
        self.tables.append(job.table)
        return await super().run(job)

    async def close(self):
        await super().close()
        self.closed += 1


class NotedType(EngineType):
    """Starts an engine for each run."""

    def __init__(self):
        self.setups: list[EngineSetup] = []

    def start(self, setup):
        self.setups.append(setup)
        return Noted()


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with closing(duckdb.connect("shop.duckdb")) as database:
        database.execute("create table t as select i::int as id from range(10) r(i)")
    (tmp_path / "shop.yml").write_text(
        "pipeline: p\nsources: {shop: {type: duckdb, path: shop.duckdb}}\noutput: {base_path: lake}\n"
        "tables: [{table_name: t, columns: {id: {type: int}}}]\n"
    )
    return tmp_path


def manifest(shop):
    (found,) = (shop / "lake" / "_runs").glob("*.json")
    return json.loads(found.read_text())


def test_every_shipped_engine_is_known_to_the_configuration():
    assert set(NAMES.shipped) == set(ENGINES.shipped)
    assert all(isinstance(engine_type(name), EngineType) for name in NAMES.shipped)


@pytest.mark.usefixtures("shop")
def test_an_engine_that_is_passed_does_the_work_of_each_run_and_is_closed(tmp_path):
    engine = Noted()
    extractor = StatefulDataExtractor.from_config("shop.yml", engine=engine)
    assert extractor.run().exit_code == 0
    assert "shop.t" in engine.tables
    assert engine.closed == 1
    assert manifest(tmp_path)["engine"] == "Noted"
    assert extractor.run(force_reprocess=True).exit_code == 0
    assert engine.closed == 2


@pytest.mark.usefixtures("shop")
def test_the_local_engine_serves_one_run_after_another():
    engine = LocalEngine(workers=1, budgets={"shop": 1}, memory_limit="200MB")
    extractor = StatefulDataExtractor.from_config("shop.yml", engine=engine)
    assert extractor.run().exit_code == 0
    assert engine.pids == ()
    assert extractor.run(force_reprocess=True).exit_code == 0
    assert engine.pids == ()


@pytest.mark.usefixtures("shop")
def test_a_closed_local_engine_takes_no_job_of_the_loop_that_closed_it():
    engine = LocalEngine(workers=1, budgets={}, memory_limit="200MB")
    job = Job("shop.t", _work, None)

    async def run_after_close():
        assert await engine.run(job) == "done"
        await engine.close()
        with raises_message(Interrupted, "engines.engine_is_closed"):
            await engine.run(job)

    asyncio.run(run_after_close())


def _work(spec, context):
    del spec, context
    return "done"


@pytest.mark.usefixtures("shop")
def test_an_engine_type_starts_one_engine_for_each_run():
    kind = NotedType()
    pipeline = StatefulDataExtractor.from_config("shop.yml")
    extractor = StatefulDataExtractor(pipeline.pipeline, pipeline.identity, engine=kind)
    extractor.run()
    extractor.run()
    assert [setup.pipeline.name for setup in kind.setups] == ["p", "p"]
    assert "statekeeper.sources.duckdb.session" in kind.setups[0].modules
    assert extractor.extract_table(source_name="shop", table_name="t", columns={"id": {"type": "int"}}, run_id="other")
    assert len(kind.setups) == 3


@pytest.mark.usefixtures("shop")
def test_single_tables_are_extracted_by_the_engine_that_is_passed():
    engine = Noted()
    sources = {"shop": {"type": "duckdb", "path": "shop.duckdb"}}
    extractor = DataExtractor(sources=sources, engine=engine)
    assert extractor.extract_table(source_name="shop", table_name="t", columns={"id": {"type": "int"}})
    assert "shop.t" in engine.tables


@pytest.mark.usefixtures("shop")
def test_an_engine_of_a_package_is_used_by_its_name(tmp_path, monkeypatch):
    install(
        tmp_path / "site",
        "statekeeper-inline",
        entry_points="[statekeeper.engines]\ninline = statekeeper_inline:ENGINE\n",
        modules={"statekeeper_inline": block("python", "class InlineType")},
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    try:
        assert StatefulDataExtractor.from_config("shop.yml", engine="inline").run().exit_code == 0
        assert manifest(tmp_path)["engine"] == "inline"
        execution = {"engine": "inline"}
        assert (
            pipeline_of(
                {
                    "sources": {"a": {"type": "duckdb", "path": "x"}},
                    "execution": execution,
                    "tables": [{"table_name": "t"}],
                }
            ).execution.engine
            == "inline"
        )
    finally:
        sys.modules.pop("statekeeper_inline", None)


@pytest.mark.usefixtures("shop")
def test_an_object_that_is_no_engine_is_refused_before_anything_starts():
    with raises_message(UsageError, "run.expected_an_engine", found="dict"):
        StatefulDataExtractor.from_config("shop.yml", engine={})
    with raises_message(UsageError, "run.expected_the_engine", known="local or spark", found="flink") as error:
        StatefulDataExtractor.from_config("shop.yml", engine="flink")
    assert says(error.value.hint, "registry.another_package_may_bring_it", kind="engine", group="statekeeper.engines")


def test_an_unknown_engine_in_a_configuration_names_the_known_ones():
    sections = {"sources": {"a": {"type": "duckdb", "path": "x"}}, "tables": [{"table_name": "t"}]}
    with pytest.raises(ConfigError) as error:
        pipeline_of({**sections, "execution": {"engine": "sprak"}})
    assert error.value.message == "execution.engine: " + ". hint: ".join(
        (
            text_of("config.expected", expected="one of 'local', 'spark'", found="'sprak'"),
            text_of("config.did_you_mean", key="spark")
            + "; "
            + text_of("registry.another_package_may_bring_it", kind="engine", group="statekeeper.engines"),
        )
    )
