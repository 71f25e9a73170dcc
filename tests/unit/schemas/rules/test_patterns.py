from __future__ import annotations

from typing import Annotated

import duckdb
import pytest
from pydantic import Field, TypeAdapter, ValidationError

from statekeeper.schemas.rules.patterns import Untranslatable, finite_members, translate

SAMPLES = (
    "",
    "a",
    "A",
    "b9",
    "a\n",
    "\na",
    "a\x0bb",
    "a b",
    "9-9",
    "_",
    "abc_1",
    "a.b",
    "[",
    "]",
    "-",
    "12345",
    "\t",
    "\\",
    "}",
)

UNDERSTOOD = (
    *(r"^\d{5}$", r"^[A-Z]{2}\d+", r"\w+@\w+", r"a\sb", r"^a$", "a.b", r"\bb", r"\B9", "(?i)^ABC", "[^a]", r"[\w.-]+"),
    *(
        r"\x41",
        r"^(a|b9)?$",
        "a{0,2}",
        "a+?",
        r"\[",
        r"\]",
        r"\\",
        r"\A\w",
        r"\d\z",
        "",
        r"[a-c\d_-]",
        r"^\S+$",
        r"\D",
        r"[^\d\s]",
    ),
    *(r"\}", "[-a]", "[a-]", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", "]", "}"),
)
UNDERSTOOD += (
    *(r"^\p{Lu}\p{Ll}*$", r"[\p{L}_]+\p{Nd}", r"(?i)^\p{Lu}$", r"[^\p{L}\p{N}]", "[[:alpha:]_]", "^[^[:lower:]]+$"),
    *("(?P<n>a)b", "(?<n>9)-", "[[:digit:][:upper:].]", "(?i)[[:upper:]]b"),
)
NOT_UNDERSTOOD = (
    *(
        r"\p{Greek}",
        r"\P{L}",
        "(?i:a)",
        "(?m)^a",
        "(?s).",
        "[[:^alpha:]]",
        "[a&&b]",
        "[a--b]",
        "(?:a{100}){11}",
        r"\b{start}",
    ),
    *("(?x) a", "a(?i)b", "[a[b]]", r"\<a", "(?i)\u00e9", "a{1001}"),
)


@pytest.mark.parametrize("pattern", UNDERSTOOD)
def test_translation_agrees_with_pydantic_on_ascii(pattern):
    adapter = TypeAdapter(Annotated[str, Field(pattern=pattern)])
    found = translate(pattern)
    for text in SAMPLES:
        try:
            adapter.validate_python(text)
            expected = True
        except ValidationError:
            expected = False
        ((matched,),) = duckdb.sql("SELECT regexp_matches($t, $p)", params={"t": text, "p": found.pattern}).fetchall()
        assert matched is expected, (text, found)


@pytest.mark.parametrize("pattern", NOT_UNDERSTOOD)
def test_pattern_that_could_mean_two_things_is_not_translated(pattern):
    with pytest.raises(Untranslatable):
        translate(pattern)


@pytest.mark.parametrize("pattern", [r"\d", r"\w", r"\s", r"\b", r"[^\d]", "(?i)k", r"\D"])
def test_unicode_classes_hold_for_ascii_strings_only(pattern):
    assert translate(pattern).is_ascii_only


@pytest.mark.parametrize("pattern", ["^[A-Z]{2}$", "[^a]", ".", "\u00e9+", "^a|b$"])
def test_patterns_of_plain_characters_hold_for_every_string(pattern):
    assert not translate(pattern).is_ascii_only


@pytest.mark.parametrize(
    ("pattern", "members"),
    [
        ("^[FO]$", ("F", "O")),
        ("^(new|paid|)$", ("new", "paid", "")),
        ("^(?:A-1|B 2)$", ("A-1", "B 2")),
        ("^a[bc]d$", ("abd", "acd")),
        ("^A$", ("A",)),
        *(
            (pattern, None)
            for pattern in ("^A|B$", "[FO]", "^[FO]", "[FO]$", "^[^F]$", "^[A-C]$", "^a?$", "^a.$", "^.$")
        ),
        *(
            (pattern, None)
            for pattern in ("^(a|b)+$", "^((a)|b)$", r"^\d$", "(?i)^a$", "^[abcdef][abcdef]$", "^é$", "^$")
        ),
    ],
)
def test_a_pattern_that_lists_its_strings_is_those_strings(pattern, members):
    assert finite_members(pattern) == members
    for text in (*SAMPLES, *(members or ()), *(f"{one}\n" for one in members or ())):
        if members is not None:
            assert (text in members) is _accepts(pattern, text)


def _accepts(pattern, text):
    try:
        TypeAdapter(Annotated[str, Field(pattern=pattern)]).validate_python(text)
    except ValidationError:
        return False
    return True
