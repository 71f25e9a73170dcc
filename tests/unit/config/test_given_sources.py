from __future__ import annotations

import pytest
from pydantic import SecretStr

from statekeeper.api import DataExtractor
from statekeeper.config.given_sources import GivenSources, OracleLogin
from statekeeper.errors import ConfigError, UsageError
from tests.messages import raises_message

SHOP = {"shop": {"type": "duckdb", "path": "shop.duckdb"}}
LOGIN = {"oracle_host": "h", "oracle_service": "s", "oracle_user": "u", "oracle_password": "p"}


def test_no_database_at_all_is_refused() -> None:
    with raises_message(UsageError, "config.neither_database_nor_sources"):
        DataExtractor()


def test_two_ways_to_say_a_database_are_refused() -> None:
    with raises_message(UsageError, "config.found_sources_and_a_database", database="oracle_host"):
        DataExtractor(sources=SHOP, oracle_host="h")


@pytest.mark.parametrize("missing", LOGIN)
@pytest.mark.parametrize("nothing", [None, ""])
def test_a_database_that_is_not_said_in_full_is_refused_by_what_is_missing(missing: str, nothing: str | None) -> None:
    with raises_message(UsageError, "config.database_keys_are_missing", missing=missing):
        DataExtractor(**LOGIN | {missing: nothing})  # type: ignore[arg-type]


def test_one_database_goes_by_whatever_name_an_entry_uses() -> None:
    given = GivenSources.of(None, OracleLogin("h", 1522, "s", "u", SecretStr("p")))
    entries = [{"source_name": "a", "table_name": "T"}, {"source_name": "b", "table_name": "T"}]
    sections = given.for_entries(entries)
    assert list(sections) == ["a", "b"]
    assert sections["a"] == {
        "type": "oracle",
        "host": "h",
        "port": 1522,
        "service": "s",
        "user": "u",
        "password": SecretStr("p"),
    }


def test_the_password_is_in_no_repr() -> None:
    extractor = DataExtractor(**LOGIN | {"oracle_password": "s3cr3t-word"})  # type: ignore[arg-type]
    login = OracleLogin("h", 1521, "s", "u", "s3cr3t-word")
    assert "s3cr3t-word" not in repr(vars(extractor)) + repr(login)


def test_an_entry_that_is_wrong_is_reported_and_nothing_is_connected_to() -> None:
    extractor = DataExtractor(**LOGIN)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"tables\[0\]\.colour: "):
        extractor.extract_tables_parallel([{"source_name": "a", "table_name": "T", "colour": "red"}])
    with pytest.raises(ConfigError, match=r"tables\[0\]\.table_name: "):
        extractor.extract_tables_parallel([{"source_name": "a"}])
