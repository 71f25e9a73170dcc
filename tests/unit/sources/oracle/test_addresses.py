"""The addresses of a source's listeners, for each way to configure them, as the driver parses them."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.config.sections.oracle import OracleSource
from statekeeper.sources.registry import addresses_of

DESCRIPTOR = (
    "(DESCRIPTION=(ADDRESS_LIST=(ADDRESS=(PROTOCOL=tcp)(HOST=a)(PORT=1521))(ADDRESS=(PROTOCOL=tcps)(HOST=b)(PORT=2484)))"
    "(CONNECT_DATA=(SERVICE_NAME=s)))"
)


def found(**keys):
    config = OracleSource(type="oracle", user="u", password=SecretStr("p"), **keys)
    return [str(address) for address in addresses_of(config)]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"host": "db", "service": "s"}, ["db:1521"]),
        ({"host": "db", "port": 1600, "sid": "s"}, ["db:1600"]),
        ({"dsn": "tcps://db:2484/s"}, ["db:2484"]),
        ({"dsn": "db/s"}, ["db:1521"]),
        ({"dsn": "a,b:1522/s"}, ["a:1522", "b:1522"]),
        ({"dsn": DESCRIPTOR}, ["a:1521", "b:2484"]),
        ({"dsn": "tcps://db:2484/s?https_proxy=proxy&https_proxy_port=8080"}, ["proxy:8080"]),
    ],
)
def test_addresses_are_read_by_the_driver(keys, expected):
    assert found(**keys) == expected


def test_an_alias_is_looked_up_in_tnsnames(tmp_path):
    (tmp_path / "tnsnames.ora").write_text(f"erp = {DESCRIPTOR}\n")
    assert found(dsn="erp", config_dir=str(tmp_path)) == ["a:1521", "b:2484"]


def test_an_alias_that_only_the_client_libraries_know_has_none(tmp_path):
    assert found(dsn="erp", config_dir=str(tmp_path), thick_mode=True) == []


def test_a_file_has_none():
    assert addresses_of(DuckDBSource(type="duckdb", path="shop.duckdb")) == ()
