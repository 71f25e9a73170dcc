"""No secret of a configuration is in a rendering, a message or a chain of errors."""

from __future__ import annotations

import pickle

import pytest

from statekeeper.errors import ConfigError
from tests.unit.config.config_files import FULL, HEAD, ONE, load, problems

pytestmark = pytest.mark.usefixtures("config_folder")


def test_secrets_are_in_no_rendering_of_a_pipeline():
    pipeline = load(FULL, environ={"NAME": "x", "TOKEN": "hunter2"})
    assert "hunter2" not in repr(pipeline)
    assert "hunter2" not in str(pipeline.states)
    assert pickle.loads(pickle.dumps(pipeline)) == pipeline


def test_the_value_of_a_reference_is_never_shown():
    text = (
        HEAD
        + "execution: {workers: '${W}', engine: '${W}'}\noutput: {lease_ttl: '${W}'}\n"
        + "tables: [{table_name: A, source_name: '${W}'}]"
    )
    found = problems(text, environ={"W": "hunter2"})
    assert len(found) == 4
    assert all("the value of ${W}" in message and "hunter2" not in message for message in found)


def test_a_secret_is_never_shown_however_it_is_written():
    hooks = ["webhook: 8731", "webhook: [8731]", "webhook: ftp://8731", "webhook: 'http://[8731'", "webhok: 8731"]
    text = ONE + "states: {on_enter: {failed: [{%s}]}}"
    for hook in hooks:
        found = problems(text % hook)
        assert found
        assert "8731" not in "".join(found)


def test_a_secret_is_not_in_the_chain_of_causes():
    with pytest.raises(ConfigError) as caught:
        load(ONE + "states: {on_enter: {failed: [{webhook: ftp://hunter2}]}}")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
