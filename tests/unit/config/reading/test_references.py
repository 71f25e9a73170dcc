import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeeper.config.reading.document import ConfigDocument
from statekeeper.config.reading.references import resolve_references

ENVIRON = {"HOST": "db1", "EMPTY": "", "TRICKY": "${HOST} $${ a: [b"}


def filled(text):
    found = resolve_references(ConfigDocument(name="c.yml", data={"k": [text]}), ENVIRON)
    assert found.wrong == ()
    return found.document.data["k"][0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${HOST}", "db1"),
        ("x-${HOST}-${HOST}", "x-db1-db1"),
        ("${PORT:-1521}", "1521"),
        ("${HOST:-other}", "db1"),
        ("${PORT:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("$${HOST}", "${HOST}"),
        ("{as_of} $HOST {HOST}", "{as_of} $HOST {HOST}"),
        ("${TRICKY}", "${HOST} $${ a: [b"),
    ],
)
def test_a_reference_stands_for_a_variable_or_its_default(text, value):
    assert filled(text) == value


@given(st.text())
def test_text_without_references_is_left_alone(text):
    assert filled(text.replace("${", "")) == text.replace("${", "")


@given(st.text())
def test_any_text_can_be_written_literally(text):
    assert filled(text.replace("${", "$${")) == text


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A:?x}", "a${ HOST }"])
def test_what_is_no_reference_is_refused_without_being_shown(text):
    document = ConfigDocument(name="c.yml", data={"k": f"hunter2{text}"})
    found = resolve_references(document, ENVIRON)
    unchanged, (problem,) = found.document, found.problems
    assert "c.yml: k: expected ${NAME}" in str(problem)
    assert "hunter2" not in str(problem)
    assert unchanged.data == document.data


def test_an_unset_variable_is_named():
    (problem,) = resolve_references(ConfigDocument(name="c.yml", data={"k": "hunter2 ${PORT}"}), ENVIRON).unset
    assert str(problem).startswith("c.yml: k: the environment variable PORT is not set")
    assert "hunter2" not in str(problem)
