"""The configuration of an Oracle source."""

from __future__ import annotations

import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.config.resolved import Pipeline
from statekeeper.config.sections.oracle import OracleSource, SnapshotMode
from statekeeper.errors import ConfigError
from tests.messages import message, raises_message, says

LOGIN = {"user": "reader", "password": "hunter2-secret"}


def pipeline(**keys: object) -> Pipeline:
    return pipeline_of({"sources": {"ora": {"type": "oracle", **keys}}, "tables": [{"table_name": "T"}]})


def source(**keys: object) -> OracleSource:
    found = pipeline(**{**LOGIN, **keys}).sources["ora"]
    assert isinstance(found, OracleSource)
    return found


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"host": "h"}, message("config.exactly_one_of_service_sid_and_dsn")),
        ({"host": "h", "service": "s", "sid": "x"}, message("config.exactly_one_of_service_sid_and_dsn")),
        ({"service": "s"}, message("config.a_host_with", way="service")),
        ({"host": "h", "dsn": "h/s"}, message("config.host_inside_the_dsn_only")),
        ({"dsn": "u/p@h/s"}, message("config.dsn_without_user_and_password")),
        ({"dsn": "h/s", "user": None}, message("config.user_and_password")),
        ({"dsn": "h/s", "external_auth": True}, message("config.thick_mode_for_external_auth")),
        ({"dsn": "h/s", "client_lib_dir": "/x"}, message("config.thick_mode_for_client_lib_dir")),
        ({"dsn": "h/s", "snapshot": "transaction", "max_sessions": 2}, message("config.one_session_for_transaction")),
        ({"dsn": "h/s", "snapshot": "scnn"}, message("config.did_you_mean", key="scn")),
        ({"dsn": "h/s", "fractional_seconds": "ms"}, message("config.expected", expected="one of 'us' or 'ns'")),
        ({"dsn": "h/s", "port": 70000}, message("config.number_of_at_most", most=65535)),
        ({"dsn": "h/s", "servise": "x"}, message("config.unknown_key")),
    ],
)
def test_what_does_not_fit_is_said(keys, words):
    with pytest.raises(ConfigError) as caught:
        pipeline(**{**LOGIN, **keys})
    assert says(caught.value, words)
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("jdbc:oracle:thin:@//h:1521/s", message("config.write_what_follows_the_at")),
        ("jdbc:oracle:thin:@tcps://h:1521/s", message("config.write_what_follows_the_at")),
        ("jdbc:oracle:thin:@(DESCRIPTION=(ADDRESS=(HOST=h)(PORT=1)))", message("config.write_what_follows_the_at")),
        ("jdbc:oracle:oci:@alias", message("config.write_what_follows_the_at")),
        ("JDBC:oracle:thin:@h:1521:ORCL", message("config.write_host_port_and_sid")),
        ("jdbc:oracle:thin:scott/tiger@//h:1521/s", message("config.dsn_without_user_and_password")),
        ("jdbc:postgresql://h/s", message("config.dsn_without_jdbc")),
        ("h.example.com:1521:ORCL", message("config.write_host_port_and_sid")),
        ("//h:1521:ORCL", message("config.write_host_port_and_sid")),
        ("h:1521", message("config.write_host_port_and_service")),
        ("tcps://h:2484/", message("config.write_host_port_and_service")),
    ],
)
def test_a_dsn_in_the_form_of_another_tool_is_answered_with_what_to_write(dsn, words):
    with pytest.raises(ConfigError) as caught:
        pipeline(dsn=dsn, **LOGIN)
    assert says(caught.value, words)
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    "dsn",
    [
        "h/s",
        "h:1521/s",
        "//h:1521/s",
        "tcps://h:2484/s?wallet_location=x",
        "h1,h2:1521/s",
        "[::1]:1521/s",
        "h:1521/s:dedicated/instance",
        "alias",
        "alias.world",
        "(DESCRIPTION=(ADDRESS=(PROTOCOL=tcp)(HOST=h)(PORT=1)))",
    ],
)
def test_a_dsn_as_oracle_takes_it_is_taken(dsn):
    assert source(dsn=dsn).dsn == dsn


def test_secrets_are_known_and_never_shown():
    made = pipeline(host="h", service="s", wallet_password="wallet-secret", **LOGIN)
    assert set(made.secrets) == {"hunter2-secret", "wallet-secret"}
    assert not any(secret in repr(made) for secret in made.secrets)


def test_identity_is_of_the_database_and_not_of_its_hosts_users_or_budgets():
    plain = source(host="h1", service="PROD").identity_settings()
    assert plain == source(host="h2", port=1522, service="prod", user="x", max_sessions=3).identity_settings()
    assert plain == source(dsn="tcps://h3:2484/prod?x=y").identity_settings()
    assert plain == source(dsn="h3/prod").identity_settings()
    descriptor = "(DESCRIPTION=(ADDRESS=(HOST=h4)(PORT=1))(CONNECT_DATA=(SERVICE_NAME = prod)))"
    assert plain == source(dsn=descriptor).identity_settings()
    assert plain == source(dsn="PROD", config_dir="/x").identity_settings()
    assert plain != source(host="h1", service="other").identity_settings()
    assert plain != source(host="h1", service="prod", trim_char=True).identity_settings()
    assert plain != source(host="h1", service="prod", proxy_user="hr").identity_settings()


def test_a_transaction_has_one_session():
    assert source(dsn="h/s").session_budget(workers=4) == 4
    assert source(dsn="h/s", max_sessions=2).session_budget(workers=4) == 2
    transaction = source(dsn="h/s", snapshot="transaction")
    assert transaction.snapshot is SnapshotMode.TRANSACTION
    assert transaction.session_budget(workers=4) == 1


def test_flashback_is_for_oracle():
    entry = {"table_name": "T", "flashback_timestamp": "2026-01-05T00:00:00+00:00"}
    made = pipeline_of({"sources": {"ora": {"type": "oracle", "dsn": "h/s", **LOGIN}}, "tables": [entry]})
    assert made.tables[0].flashback_enabled
    with raises_message(ConfigError, "config.source_has_no_past", type="duckdb"):
        pipeline_of({"sources": {"d": {"type": "duckdb", "path": "x"}}, "tables": [entry]})
