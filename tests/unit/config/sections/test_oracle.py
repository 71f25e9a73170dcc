"""The configuration of an Oracle source."""

from __future__ import annotations

import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.config.resolved import Pipeline
from statekeeper.config.sections.oracle import OracleSource, SnapshotMode
from statekeeper.errors import ConfigError

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
        ({"host": "h"}, "exactly one of service, sid and dsn"),
        ({"host": "h", "service": "s", "sid": "x"}, "exactly one of service, sid and dsn"),
        ({"service": "s"}, "a host with the service"),
        ({"host": "h", "dsn": "h/s"}, "the host inside the dsn only"),
        ({"dsn": "u/p@h/s"}, "a dsn without user and password"),
        ({"dsn": "h/s", "user": None}, "a user and a password"),
        ({"dsn": "h/s", "external_auth": True}, "thick_mode: true, which external_auth needs"),
        ({"dsn": "h/s", "client_lib_dir": "/x"}, "thick_mode: true with client_lib_dir"),
        ({"dsn": "h/s", "snapshot": "transaction", "max_sessions": 2}, "max_sessions: 1"),
        ({"dsn": "h/s", "snapshot": "scnn"}, "did you mean 'scn'"),
        ({"dsn": "h/s", "fractional_seconds": "ms"}, "'us' or 'ns'"),
        ({"dsn": "h/s", "port": 70000}, "at most 65535"),
        ({"dsn": "h/s", "servise": "x"}, "unknown key"),
    ],
)
def test_what_does_not_fit_is_said(keys, words):
    with pytest.raises(ConfigError) as caught:
        pipeline(**{**LOGIN, **keys})
    assert words in caught.value.message
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("dsn", "words"),
    [
        ("jdbc:oracle:thin:@//h:1521/s", "write only what follows the @: dsn: //HOST:PORT/SERVICE"),
        ("jdbc:oracle:thin:@tcps://h:1521/s", "write only what follows the @"),
        ("jdbc:oracle:thin:@(DESCRIPTION=(ADDRESS=(HOST=h)(PORT=1)))", "write only what follows the @"),
        ("jdbc:oracle:oci:@alias", "write only what follows the @"),
        ("JDBC:oracle:thin:@h:1521:ORCL", "write host: HOST, port: PORT and sid: SID"),
        ("jdbc:oracle:thin:scott/tiger@//h:1521/s", "a dsn without user and password"),
        ("jdbc:postgresql://h/s", "without the prefix of a JDBC URL"),
        ("h.example.com:1521:ORCL", "write host: HOST, port: PORT and sid: SID"),
        ("//h:1521:ORCL", "write host: HOST, port: PORT and sid: SID"),
        ("h:1521", "write dsn: HOST:PORT/SERVICE"),
        ("tcps://h:2484/", "write dsn: HOST:PORT/SERVICE"),
    ],
)
def test_a_dsn_in_the_form_of_another_tool_is_answered_with_what_to_write(dsn, words):
    with pytest.raises(ConfigError) as caught:
        pipeline(dsn=dsn, **LOGIN)
    assert words in caught.value.message
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
    assert "secret" not in repr(made)


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
    with pytest.raises(ConfigError, match="a duckdb source cannot read at an earlier time"):
        pipeline_of({"sources": {"d": {"type": "duckdb", "path": "x"}}, "tables": [entry]})
