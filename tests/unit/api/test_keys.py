"""Keyword arguments of the Python API: known to type checkers as the configuration knows them, and checked at once."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Literal, get_args, get_type_hints

import pytest

from statekeeper import ConfigError, DatabricksDataExtractor, DataExtractor, Table, UsageError
from statekeeper.api import keys
from statekeeper.config.sections.chunking import ChunkingPolicy
from statekeeper.config.sections.file import ConfigFile
from statekeeper.config.sections.keys import ReferenceEntry
from statekeeper.config.sections.policies import RetryPolicy
from statekeeper.config.sections.tables import TableEntry
from tests.messages import raises_message, says, text_of

SHOP = {"shop": {"type": "duckdb", "path": "shop.duckdb"}}


def _keys_of(model):
    found = set()
    for name, field in model.model_fields.items():
        choices = getattr(field.validation_alias, "choices", None)
        found |= {*choices} if choices else {field.alias or name}
    return found


@pytest.mark.parametrize(
    ("typed", "model", "otherwise"),
    [
        (keys.EntryKeys, TableEntry, {"table_name"}),
        (keys.ChunkingKeys, ChunkingPolicy, set()),
        (keys.RetryKeys, RetryPolicy, set()),
        (keys.ReferenceKeys, ReferenceEntry, set()),
        (keys.SectionKeys, ConfigFile, {"sources", "tables", "root", "extraction_date"}),
    ],
)
def test_type_checkers_know_the_keys_of_the_configuration(typed, model, otherwise):
    assert {*get_type_hints(typed)} == _keys_of(model) - otherwise


def _words(annotation):
    """The words that a type allows, whether it is a Literal or an Enum; None where it allows other text."""
    parts = get_args(annotation) or (annotation,)
    for part in (annotation, *parts):
        if getattr(part, "__origin__", None) is Literal:
            return {*get_args(part)}
        if isinstance(part, type) and issubclass(part, Enum):
            return {each.value for each in part}
    return None


def test_type_checkers_know_the_allowed_words_of_a_key():
    fields = {field.alias or name: field.annotation for name, field in TableEntry.model_fields.items()}
    hints = get_type_hints(keys.EntryKeys)
    with_words = {key: _words(annotation) for key, annotation in fields.items() if _words(annotation)}
    assert len(with_words) >= 6
    assert {key: _words(hints[key]) for key in with_words} == with_words


class TestUnknownArguments:
    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("oracle_hots", text_of("config.did_you_mean", key="oracle_host")),
            ("ouput", text_of("config.did_you_mean", key="output")),
            ("tables", text_of("api.tables_belong_to_the_call")),
            ("base_path", text_of("api.output_base_path_is_meant")),
        ],
    )
    def test_unknown_arguments_are_refused_when_the_extractor_is_made(self, name, hint):
        with raises_message(UsageError, "api.no_such_argument", extractor="DataExtractor", name=name) as caught:
            DataExtractor(sources=SHOP, **{name: "x"})
        assert caught.value.hint == hint

    def test_an_argument_unlike_any_known_one_is_refused_with_the_list(self):
        with pytest.raises(UsageError) as caught:
            DataExtractor(sources=SHOP, qqqqqq=1)
        assert caught.value.hint.startswith("it takes defaults, engine, execution, oracle_host, ")

    def test_suggestions_for_a_subclass_include_its_own_parameters(self):
        with raises_message(
            UsageError, "api.no_such_argument", extractor="DatabricksDataExtractor", name="unity_catalog_volum"
        ) as caught:
            DatabricksDataExtractor(sources=SHOP, output_base_path="lake", unity_catalog_volum="a/b/c")
        assert caught.value.hint == text_of("config.did_you_mean", key="unity_catalog_volume")

    def test_unknown_keys_of_a_table_are_refused_before_anything_starts(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        extractor = DataExtractor(sources=SHOP)
        with raises_message(ConfigError, "config.unknown_key") as caught:
            extractor.extract_table(source_name="shop", table_name="orders", schema_nam="hr")
        assert "schema_nam: " in caught.value.message
        assert says(caught.value, "config.did_you_mean", key="schema_name")
        assert [*Path().iterdir()] == []


def test_every_mistake_in_a_section_is_reported_when_the_extractor_is_made():
    with pytest.raises(ConfigError) as caught:
        DataExtractor(
            sources={"shop": {"type": "duckdbb"}}, output={"compresion": "zstd"}, execution={"workers": "many"}
        )
    lines = [line.split(";")[0] for line in str(caught.value).splitlines()]
    assert lines == [
        "output.compresion: unknown key. hint: did you mean 'compression'?",
        "sources.shop.type: expected one of 'duckdb', 'oracle'",
        "execution.workers: expected a whole number",
    ]


def test_a_default_that_needs_keys_of_a_table_is_accepted():
    DataExtractor(sources=SHOP, defaults={"is_full_extract": False})


class TestTable:
    def test_a_table_equals_its_mapping_and_can_be_extracted(self):
        table = Table("orders", source_name="shop", chunking={"strategy": "key", "column": "id"})
        assert dict(table) == {
            "table_name": "orders",
            "source_name": "shop",
            "chunking": {"strategy": "key", "column": "id"},
        }
        assert table == Table(**table)
        assert repr(Table("orders", schema_name="hr")) == "Table(table_name='orders', schema_name='hr')"

    def test_a_wrong_table_is_refused_when_it_is_created(self):
        with pytest.raises(ConfigError) as caught:
            Table("orders", schema_nam="hr", verify="fully")
        assert str(caught.value).splitlines() == [
            "schema_nam: unknown key. hint: did you mean 'schema_name'?",
            "verify: expected one of 'full' or 'quick'; found 'fully'. hint: did you mean 'full'?",
        ]

    def test_a_table_is_independent_of_the_values_it_was_given_and_returned(self):
        chunking = {"strategy": "none"}
        table = Table("orders", chunking=chunking)
        chunking["strategy"] = "key"
        table["chunking"]["strategy"] = "rowid"
        assert table["chunking"] == {"strategy": "none"}
        with pytest.raises(TypeError):
            table["verify"] = "full"
        with pytest.raises(AttributeError):
            table.verify = "full"
