"""Templates of messages.toml are texts of the product and are used; tests word its messages nowhere else."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import statekeeper
import statekeeper.errors
from tests import messages
from tests.messages import (
    FILE,
    Message,
    is_silent,
    line_of,
    message,
    parts_of,
    raises_message,
    says,
    templates,
    text_of,
)

_TESTS = Path(__file__).parent
_PACKAGE = Path(statekeeper.__file__).parent
_ERRORS = {name for name, value in vars(statekeeper.errors).items() if isinstance(value, type)}
_FILLED_IN = "\0"
_WORDS = re.compile(r"[A-Za-z]{2,}(?:\\?[ ,:;]+[A-Za-z]{2,}){3}")
"""Four words in a row: a sentence, and no name, number or code."""
NOT_OURS = frozenset(
    {
        "IllegalArgumentException: Secret does not exist",
        r"RuntimeError: executor lost with \*\*\*$",
        "Too many open files",
        "input array too large",
        "Input should be greater than 0",
        "Value error, no twos",
        "infinity is not a date or time of the years 1 to 9999",
        "the disk is full",
        "the model is broken",
        "columns ID and Id",
    }
)
"""What drivers, the system, pydantic or the tests themselves say, or names alone."""


def _text(node: ast.AST) -> str | None:
    """A string of a source text; what is filled in is one character."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub("%[srd]", _FILLED_IN, text)
        case ast.JoinedStr(values=parts):
            return "".join(map(_part, parts))
        case _:
            return None


def _part(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=text):
            return str(text)
        case ast.FormattedValue(conversion=114):
            return f"'{_FILLED_IN}'"
        case _:
            return _FILLED_IN


def _texts() -> set[str]:
    """Every text in the product's source."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in _PACKAGE.rglob("*.py"))
    texts = (_text(node) for tree in trees for node in ast.walk(tree))
    return {text for text in texts if text}


def test_every_template_is_a_text_of_the_product():
    texts = _texts()
    reworded = []
    for name, template in templates().items():
        longest = max((literal for literal, _ in parts_of(template)), key=len)
        if not any(longest in text and Message(name).pattern.search(text) for text in texts):
            plain = "".join(literal + (_FILLED_IN if field else "") for literal, field in parts_of(template))
            near = difflib.get_close_matches(plain, texts, n=1, cutoff=0.3)
            now = near[0].replace(_FILLED_IN, "{}") if near else "nothing like it"
            reworded.append(f"tests/{FILE.name}:{line_of(name)}: {name} = {template!r}; the product has {now!r}")
    assert not reworded, "\n".join(reworded)


def test_every_template_is_used():
    tests = "\n".join(path.read_text(encoding="utf-8") for path in _TESTS.rglob("*.py"))
    quoted = set(re.findall(r"[\"'](\w+\.\w+)[\"']", tests))
    assert templates().keys() - quoted == set()


def _worded(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where an error of the product is expected by a sentence and not by the name of its message."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="raises"), args=[ast.Name(id=error)], keywords=keywords):
                texts = [_text(each.value) for each in keywords if each.arg == "match" and error in _ERRORS]
            case ast.Compare(left=left, comparators=[ast.Attribute(attr="message" | "hint")]):
                texts = [_text(left)]
            case ast.Compare(left=ast.Attribute(attr="message" | "hint"), comparators=[right]):
                texts = [_text(right)]
            case _:
                continue
        yield from ((node.lineno, text) for text in texts if text is not None and _WORDS.search(text))


def test_tests_word_no_message_themselves():
    found = []
    for path in sorted(_TESTS.rglob("test_*.py")):
        for line, text in _worded(ast.parse(path.read_text(encoding="utf-8"))):
            if text not in NOT_OURS:
                found.append(f"{path.relative_to(_TESTS.parent)}:{line}: {text}")
    assert not found, "\n".join(["name these in messages.toml", *found])


@pytest.mark.parametrize(
    "line",
    [
        'pytest.raises(ConfigError, match="there is no such file")',
        'pytest.raises(UsageError, match=f"the parameter {name} of the job is missing")',
        'assert "there is no such file" in error.message',
        'assert caught.value.hint == "raise the limit of open files"',
    ],
)
def test_message_that_a_test_words_is_found(line):
    assert len(list(_worded(ast.parse(line)))) == 1


@pytest.mark.parametrize(
    "line",
    ['pytest.raises(OSError, match="No space left on device")', 'pytest.raises(PlanError, match="shop.orders")'],
)
def test_text_of_others_and_names_stay_in_their_tests(line):
    assert list(_worded(ast.parse(line))) == []


@pytest.fixture
def _template(monkeypatch, tmp_path):
    file = tmp_path / "some.toml"
    file.write_text('[config]\nunknown_key = "{place}: unknown key {key}"\n', encoding="utf-8")
    monkeypatch.setattr(messages, "FILE", file)
    templates.cache_clear()
    yield
    templates.cache_clear()


@pytest.mark.usefixtures("_template")
class TestExpectedMessage:
    def test_fields_that_are_left_out_may_be_anything(self):
        assert says("c.yml: unknown key tabels. Did you mean tables?", "config.unknown_key", key="tabels")
        assert says(ValueError("c.yml: unknown key tabels"), "config.unknown_key")
        assert says("c.yml:3:1: unknown key tabels", message("config.unknown_key", place="c.yml:...", key="tabels"))

    @pytest.mark.parametrize(
        ("said", "fields"),
        [
            ("c.yml: unknown key tabels", {"key": "tables"}),
            ("c.yml: unknown key tabelses", {"key": "tabels"}),
            ("c.yml: unknown name tabels", {}),
            ("c.yml:\n unknown key tabels", {"place": "c.yml..."}),
            ("", {}),
            (None, {}),
        ],
    )
    def test_other_texts_fail_and_say_what_to_change(self, said, fields):
        with pytest.raises(pytest.fail.Exception, match=r"change tests/some\.toml:2$"):
            says(said, "config.unknown_key", **fields)

    def test_an_error_is_expected_by_its_kind_and_its_message(self):
        with raises_message(ValueError, "config.unknown_key", key="a") as caught:
            raise ValueError("c.yml: unknown key a")
        assert caught.type is ValueError
        with pytest.raises(pytest.fail.Exception), raises_message(ValueError, "config.unknown_key", key="b"):
            raise ValueError("c.yml: unknown key a")
        with pytest.raises(TypeError), raises_message(ValueError, "config.unknown_key"):
            raise TypeError("c.yml: unknown key a")

    def test_silence_is_of_the_same_message(self):
        assert is_silent("c.yml: unknown key b", "config.unknown_key", key="a")
        assert not is_silent("c.yml: unknown key a", "config.unknown_key", key="a")

    def test_whole_text_needs_every_field(self):
        assert text_of("config.unknown_key", place="c.yml", key="a") == "c.yml: unknown key a"
        with pytest.raises(KeyError):
            text_of("config.unknown_key", key="a")

    @pytest.mark.parametrize(("name", "fields"), [("config.unknown_kex", {}), ("config.unknown_key", {"kex": "a"})])
    def test_names_that_are_not_there_are_refused(self, name, fields):
        with pytest.raises(TypeError, match=r"kex"):
            message(name, **fields)
