"""How a database is named on a command line: what is written down of it, and what is refused."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from statekeeper.cli.database import DatabaseOptions, database_options
from statekeeper.errors import UsageError
from tests.messages import message, raises_message

ORACLE = {"type": "oracle", "host": "${ORACLE_HOST}", "service": "${ORACLE_SERVICE}", "user": "${ORACLE_USER}"}


@pytest.fixture
def named(monkeypatch):
    for name in ("HOST", "PORT", "SERVICE", "DSN", "USER", "PASSWORD"):
        monkeypatch.delenv(f"ORACLE_{name}", raising=False)

    def named(*words):
        @click.command()
        @database_options
        @click.pass_context
        def command(ctx, /, *, schemas, **given):
            found.append(DatabaseOptions.of(ctx, given).database())

        found = []
        result = CliRunner().invoke(command, words, standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return found[0].name, dict(found[0].written)

    return named


def test_any_source_is_named_by_its_type_and_its_keys(named):
    assert named("--duckdb", "data/My Shop.duckdb") == ("my_shop", {"type": "duckdb", "path": "data/My Shop.duckdb"})
    assert named("--source", "duckdb", "--set", "path=a") == ("duckdb", {"type": "duckdb", "path": "a"})
    password = {"password": "${ORACLE_PASSWORD}"}
    assert named("--source", "oracle", "--set", "snapshot=none") == ("oracle", ORACLE | password | {"snapshot": "none"})


@pytest.mark.parametrize(
    ("written", "value"),
    [("7", 7), ("true", True), ("'7'", "7"), ("a=b", "a=b"), ("[1]", "[1]"), ("${PORT}", "${PORT}"), ("a: [", "a: [")],
)
def test_values_are_read_as_yaml_reads_them(named, written, value):
    assert named("--duckdb", "x", "--set", f"max_sessions={written}")[1]["max_sessions"] == value


def test_a_secret_is_only_taken_by_reference(named):
    assert named("--source", "oracle", "--set", "wallet_password=${W}")[1]["wallet_password"] == "${W}"
    with raises_message(UsageError, "cli.is_a_secret", key="wallet_password") as error:
        named("--source", "oracle", "--set", "wallet_password=hunter2")
    assert "hunter2" not in f"{error.value} {error.value.hint}"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), message("cli.no_database_was_named")),
        (("--source", "duckdb"), message("cli.duckdb_needs_a_path")),
        (("--duckdb", "x", "--host", "h"), message("cli.options_of_another_database")),
        (("--duckdb", "x", "--source", "oracle"), message("cli.options_of_another_database")),
        (
            ("--source", "duckdb", "--set", "path=x", "--host", "h"),
            message("cli.belongs_to_oracle", option="--host", type="duckdb"),
        ),
        (("--duckdb", "x", "--set", "path"), message("cli.expected_key_and_value", key="path")),
    ],
)
def test_what_leaves_open_which_database_is_refused(named, words, why):
    with raises_message(UsageError, why):
        named(*words)


def test_a_type_that_nobody_brings_is_refused_with_the_known_ones(named):
    with pytest.raises(click.BadParameter, match="'csv' is not one of 'duckdb', 'oracle'"):
        named("--source", "csv")
