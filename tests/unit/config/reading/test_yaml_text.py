import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from statekeeper.config.reading import yaml_text as yaml_source
from statekeeper.config.reading.document import Position, path_text
from statekeeper.config.reading.yaml_text import read_json, read_yaml
from statekeeper.errors import ConfigError
from tests.messages import message, says


def read(text):
    document, problems = read_yaml(text, name="c.yml")
    assert problems == []
    return document


def refusal(text, reader=read_yaml):
    with pytest.raises(ConfigError) as caught:
        reader(text, name="c.yml")
    return caught.value.message


@pytest.fixture(params=["libyaml", "pure python"])
def loader(request, monkeypatch):
    if request.param == "pure python":
        monkeypatch.setattr(yaml_source, "_LOADER", yaml.SafeLoader)
    elif not hasattr(yaml, "CSafeLoader"):
        pytest.skip("this PyYAML has no libyaml")


def test_every_key_and_value_has_its_place(loader):
    document = read("a: 1\nb:\n  - x: {y: z}\n  -   2\n")
    assert document.data == {"a": 1, "b": [{"x": {"y": "z"}}, 2]}
    assert document.keys[("b", 0, "x", "y")] == Position(3, 9)
    assert document.values[("b", 0, "x", "y")] == Position(3, 12)
    assert document.values[("b", 1)] == Position(4, 7)
    assert document.position(("b", 0, "missing", "deeper")) == Position(3, 5)
    assert document.position(("a",), of_key=True) == Position(1, 1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2026-01-01", "2026-01-01"),
        ("010", "010"),
        ("12:30", "12:30"),
        ("0x1F", "0x1F"),
        (".inf", ".inf"),
        ("1_000_000", 1_000_000),
        ("-5", -5),
        ("0.1", 0.1),
        ("12345678901234567890.12345", "12345678901234567890.12345"),
        ("9" * 38, int("9" * 38)),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("no", False),
        ("On", True),
        ("~", None),
        ("", None),
    ],
)
def test_a_scalar_loses_nothing_of_what_was_written(text, value):
    found = read(f"a: {text}").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_always_text():
    assert read("NO: 1\n1: 2\nnull: 3\n").data == {"NO": 1, "1": 2, "null": 3}


def test_anchors_and_merge_keys_work(loader):
    document = read("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{z: 0}, *a]}\n")
    assert document.data == {"a": {"x": 1, "y": 2}, "b": {"y": 3, "x": 1}, "c": {"z": 0, "x": 1, "y": 2}}


def test_a_duplicate_key_is_a_problem_where_it_stands(loader):
    document, problems = read_yaml("a: 1\nb: {c: 1, c: 2}\n\na: 3", name="c.yml")
    assert document.data == {"a": 1, "b": {"c": 1}}
    assert [str(problem) for problem in problems] == [
        "c.yml:4:1: a: duplicate key; the first is on line 1. hint: remove one",
        "c.yml:2:11: b.c: duplicate key; the first is on line 2. hint: remove one",
    ]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "c.yml:1:1", message("config.file_is_empty")),
        ("# nothing\n", "c.yml:1:1", message("config.file_is_empty")),
        ("a: 1\n\tb: 2\n", "c.yml:2:1", message("config.indent_with_spaces")),
        ("a: b: c", "c.yml:1:5", message("config.quote_text_with_a_colon")),
        ("a: @x", "c.yml:1:4", message("config.quote_text_that_begins_with", text="@")),
        ("a: {p: ${P}}", "c.yml:1:9", message("config.reference_is_quoted")),
        ("a: [1,", "c.yml:", message("config.not_yaml")),
        ("a: 1\n---\nb: 2", "c.yml:2:1", message("config.not_yaml")),
        ("x\na: \x07", "c.yml:2:4", message("config.character_is_not_allowed", code="0007")),
        ("a: !x y", "c.yml:1:4", message("config.tag_has_no_meaning")),
        ("a: !x {}", "c.yml:1:4", message("config.tag_has_no_meaning")),
        ("? [a]\n: b", "c.yml:1:3", message("config.expected_a_key_that_is_text")),
        ("<<: 3", "c.yml:1:5", message("config.expected_a_mapping_to_merge")),
        ('a: "\\UFFFFFFFF"', "c.yml", message("config.not_yaml")),
        ("a: &x [*x]", "c.yml:1:4", message("config.nested_deeper")),
        ("a: &x {<<: *x}", "c.yml:1:4", message("config.nested_deeper")),
    ],
)
def test_what_cannot_be_read_is_located(loader, text, place, words):
    refused = refusal(text)
    assert refused.startswith(place)
    assert says(refused, words)
    assert "\n" not in refused


def test_text_that_a_reader_refuses_for_its_depth_is_located(loader):
    refused = refusal("[" * 5000 + "]" * 5000)
    assert refused.startswith("c.yml:1:")
    is_in_words_of_libyaml = "maximum nesting depth" in refused
    assert is_in_words_of_libyaml or says(refused, "config.nested_deeper")
    assert "\n" not in refused


def test_aliases_cannot_grow_without_bound():
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    assert "aliases" in refusal(bomb)
    merges = "a0: &a0 {}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))
    assert "aliases" in refusal(merges)


@pytest.mark.parametrize("text", ["password: *hunter2", "password: !hunter2 x", "password: !hunter2! x"])
def test_a_secret_that_is_no_valid_yaml_is_not_quoted(loader, text):
    message = refusal(text)
    assert "hunter2" not in message
    assert message.startswith("c.yml:1:")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x85\u2028\u2029")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc<=~"), inner, max_size=4),
    max_leaves=10,
)


@given(JSON, st.sampled_from([None, "\t", 2]))
@example({"a": "\U0001f600", "b": "\\ud83d", "c": "tab\t"}, None)
def test_json_is_read_as_json(value, indent):
    document, problems = read_json(json.dumps(value, indent=indent), name="t.json")
    assert document.data == value
    assert problems == []


@pytest.mark.parametrize("text", ["", "{", '[{"a": 1,}]', "a: 1", "[" * 5000, '["\\ud83d"]', "[1]]"])
def test_what_is_no_json_is_located(text):
    assert refusal(text, read_json).startswith("c.yml")


def test_a_path_is_shown_as_a_person_writes_it():
    assert path_text(("tables", 1, "columns", "A B", "ge")) == "tables[1].columns['A B'].ge"
