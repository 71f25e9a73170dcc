"""A file that is no configuration is refused with a message, whatever is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from statekeeper.config.loader import load_pipeline, pipeline_of
from statekeeper.config.resolved import Pipeline
from statekeeper.errors import ConfigError
from tests.unit.config.config_files import FULL, HEAD, load, problems

pytestmark = pytest.mark.usefixtures("config_folder")


@pytest.mark.parametrize("tables", ["3", '"x"', "{}", "[]", "null", '{"tables": {}}', '{"table": []}'])
def test_a_file_that_is_no_list_of_tables_is_refused(tables):
    (message, *_) = problems(HEAD, tables=tables, suffix="json")
    assert message.startswith("t.json:1:")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    Path("latin.yml").write_bytes(b"pipeline: p\nx: \xe9\n")
    for name, words in [
        ("none.yml", "there is no such file"),
        (".", "found a folder"),
        ("latin.yml", "latin.yml:2:4: expected text in UTF-8; found the byte 0xe9"),
        ("a\0b", "cannot be read"),
        ("x" * 5000, "cannot be read"),
        ("hr.py/c.yml", "cannot be read"),
    ]:
        with pytest.raises(ConfigError, match=re.escape(words)):
            load_pipeline(Path(name), environ={})


GARBAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["${A}", "${", "1d", "key"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["table_name", "type", "key", "", "x"]), inner)
    ),
    max_leaves=5,
)


def _paths(data, path=()):
    yield path
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from _paths(value, (*path, key))


def _replaced(data, path, value):
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = _replaced(data[path[0]], path[1:], value)
    return copy


FULL_DATA = yaml.safe_load(FULL)


def _only_config_errors(load_it):
    try:
        pipeline = load_it()
    except ConfigError:
        return
    assert isinstance(pipeline, Pipeline)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(_paths(FULL_DATA))), GARBAGE), min_size=1, max_size=3))
def test_a_damaged_configuration_raises_nothing_but_config_errors(changes):
    data = FULL_DATA
    for path, value in changes:
        try:
            data = _replaced(data, path, value)
        except (KeyError, IndexError, TypeError):
            continue
    text = yaml.safe_dump(data, allow_unicode=True)
    _only_config_errors(lambda: load(text, environ={"A": "x", "NAME": "n", "TOKEN": "t"}))
    if isinstance(data, dict):
        _only_config_errors(lambda: pipeline_of(data))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text(st.sampled_from("abc:-{}[]&*!|>'\"%@#,?\n\t 01.~<=$"), max_size=60)
    | st.text(max_size=60)
    | st.binary(max_size=60)
)
@example("tables: [{table_name: A}]\n? [x]\n: y")
@example("a: &x [*x]")
def test_any_file_at_all_raises_nothing_but_config_errors(text):
    content = text if isinstance(text, bytes) else text.encode(errors="replace")
    for name in ("any.yml", "any.json"):
        Path(name).write_bytes(content)
        _only_config_errors(lambda name=name: load_pipeline(Path(name), environ={}))
        Path("c.yml").write_text(HEAD)
        _only_config_errors(lambda name=name: load_pipeline(Path("c.yml"), environ={}, tables_path=Path(name)))
