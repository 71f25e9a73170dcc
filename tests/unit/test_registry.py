"""Kinds that packages bring: found by entry points, imported when asked for, and named where they are at fault."""

from __future__ import annotations

import subprocess
import sys

import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.config.sections.file import config_json_schema
from statekeeper.config.sections.sources import SECTIONS, section_of
from statekeeper.errors import ConfigError
from statekeeper.registry import Registry
from statekeeper.sources.registry import session_modules, source_type
from tests.distributions import install
from tests.messages import raises_message, says, text_of

REGISTRY = Registry(group="test.animals", what="animal", shipped={"dict": "builtins:dict"})
SOURCE = '''
from typing import Literal

from statekeeper.sources.protocol import SourceSection, SourceType


class Lines(SourceSection):
    """A file of lines."""

    type: Literal["lines"]
    path: str

    def identity_settings(self):
        return {"path": self.path}


class LinesType(SourceType[Lines]):
    section = Lines

    def open_session(self, config, *, memory_limit):
        return (config.path, memory_limit)

    def list_tables(self, config, schemas):
        return schemas


SOURCE = LinesType()
'''
LINES = {"type": "lines", "path": "a.txt"}


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Installs distributions for this test alone."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def add(name, entry_points, **modules):
        install(tmp_path, name, entry_points=entry_points, modules=modules)

    before = set(sys.modules)
    yield add
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def lines(packages):
    packages("lines-source", "[statekeeper.sources]\nlines = lines_source:SOURCE\n", lines_source=SOURCE)


def config(**sections):
    return pipeline_of({"sources": sections, "tables": [{"source_name": "a", "table_name": "t"}]})


def test_a_name_is_known_before_anything_of_its_package_is_imported(packages):
    packages("zoo", "[test.animals]\ncat = zoo_cats:CAT\n", zoo_cats="CAT = 'miaow'")
    assert REGISTRY.names == ("dict", "cat")
    assert REGISTRY.module_of("cat") == "zoo_cats"
    assert REGISTRY.has("cat")
    assert not REGISTRY.has("dog")
    assert "zoo_cats" not in sys.modules
    assert REGISTRY.load("cat") == "miaow"
    assert REGISTRY.load("dict") is dict


def test_what_a_package_registers_is_an_object_of_the_class_that_is_asked_for(packages):
    packages("zoo", "[test.animals]\ncat = zoo_cats:CAT\n", zoo_cats="CAT = 'miaow'")
    assert REGISTRY.instance("cat", str) == "miaow"
    with raises_message(
        ConfigError, "registry.not_an_instance", kind="animal", name="cat", found="str", parent="int"
    ) as told:
        REGISTRY.instance("cat", int)
    assert told.value.hint == "correct what zoo_cats registers"


def test_a_package_cannot_replace_what_is_shipped(packages):
    packages("thief", "[test.animals]\ndict = thief:DICT\n", thief="DICT = 'mine'")
    assert REGISTRY.names == ("dict",)
    assert REGISTRY.load("dict") is dict


def test_two_packages_with_one_name_are_both_named(packages):
    packages("zoo-a", "[test.animals]\ncat = zoo_a:CAT\n", zoo_a="CAT = 1")
    packages("zoo-b", "[test.animals]\ncat = zoo_b:CAT\n", zoo_b="CAT = 2")
    with raises_message(
        ConfigError,
        "registry.two_packages_bring_it",
        packages="the package zoo-a and the package zoo-b",
        kind="animal",
        name="cat",
    ):
        REGISTRY.load("cat")


def test_a_package_that_cannot_be_imported_is_named_with_its_error(packages):
    packages("zoo", "[test.animals]\ncat = zoo_cats:CAT\n", zoo_cats="import no_such_driver")
    with raises_message(
        ConfigError,
        "registry.cannot_be_imported",
        name="cat",
        package="the package zoo",
        error="ModuleNotFoundError",
        text="...no_such_driver",
    ):
        REGISTRY.load("cat")


def test_each_shipped_source_has_one_section_in_both_registries():
    for name in SECTIONS.shipped:
        assert source_type(name).section is section_of(name)
        assert section_of(name).type_name() == name


@pytest.mark.usefixtures("lines")
def test_a_source_of_a_package_is_configured_like_any_other():
    pipeline = config(a=LINES, b={"type": "duckdb", "path": "b.duckdb"})
    assert [source.type_name() for source in pipeline.sources.values()] == ["lines", "duckdb"]
    assert source_type("lines").open_session(pipeline.sources["a"], memory_limit="1MB") == ("a.txt", "1MB")
    assert session_modules(["lines", "duckdb"]) == ("statekeeper.sources.duckdb.session", "lines_source")
    assert "Lines" in config_json_schema()["$defs"]


@pytest.mark.usefixtures("lines")
def test_a_mistake_in_its_section_is_told_with_its_place():
    with pytest.raises(ConfigError) as error:
        config(a=LINES | {"pathh": "b"})
    assert error.value.message == ". hint: ".join(
        (f"sources.a.pathh: {text_of('config.unknown_key')}", text_of("config.did_you_mean", key="path"))
    )


@pytest.mark.usefixtures("lines")
def test_a_key_of_another_type_is_told_to_be_one():
    with raises_message(ConfigError, "config.unknown_key") as caught:
        config(a=LINES | {"host": "b"})
    assert says(caught.value, "config.it_is_a_key_of", type="oracle")
    assert caught.value.message.startswith("sources.a.host: ")


def test_an_unknown_type_names_the_known_ones_and_where_others_come_from():
    with pytest.raises(ConfigError) as error:
        config(a=LINES)
    assert error.value.message == "sources.a.type: " + ". hint: ".join(
        (
            text_of("config.expected", expected="one of 'duckdb', 'oracle'", found="'lines'"),
            text_of("registry.another_package_may_bring_it", kind="type of source", group="statekeeper.sources"),
        )
    )


def test_a_misspelt_type_is_guessed_too():
    with raises_message(ConfigError, "registry.another_package_may_bring_it") as caught:
        config(a={"type": "orcale"})
    assert says(caught.value, "config.did_you_mean", key="oracle")


def test_a_package_at_fault_stops_only_those_who_use_it(packages):
    packages("lines-source", "[statekeeper.sources]\nlines = lines_source:SOURCE\n", lines_source="import no_driver")
    assert config(a={"type": "duckdb", "path": "b"}).sources
    with raises_message(ConfigError, "config.expected", expected="one of 'duckdb', 'oracle'", found="'csv'"):
        config(a={"type": "csv"})
    with raises_message(
        ConfigError,
        "registry.cannot_be_imported",
        kind="type of source",
        name="lines",
        package="the package lines-source",
    ):
        config(a=LINES)


@pytest.mark.parametrize(
    "text",
    ["SOURCE = object()", SOURCE.replace('Literal["lines"]', 'Literal["other"]')],
    ids=["no section", "another type"],
)
def test_a_package_whose_section_is_not_of_its_type_is_refused(packages, text):
    packages("lines-source", "[statekeeper.sources]\nlines = lines_source:SOURCE\n", lines_source=text)
    with raises_message(ConfigError, "config.source_type_without_a_section", type="lines") as error:
        config(a=LINES)
    assert says(error.value.hint, "config.must_register_a_section", module="lines_source")


def test_only_the_type_that_a_config_names_is_imported():
    program = """
import sys
from statekeeper.config.loader import pipeline_of
pipeline_of({"sources": {"a": {"type": "duckdb", "path": "b"}}, "tables": [{"table_name": "t"}]})
print([name for name in ("statekeeper.config.sections.oracle", "oracledb", "duckdb") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_the_status_imports_no_type_of_source():
    program = """
import sys, statekeeper.run.status
named = ("statekeeper.config.sections.duckdb", "statekeeper.config.sections.oracle", "statekeeper.sources")
print(sorted(name for name in sys.modules if name.startswith(named)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
