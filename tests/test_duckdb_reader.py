"""The independent reader itself, on tables that the formats' own libraries have written: it sees what is there."""

from __future__ import annotations

import uuid

import deltalake
import duckdb
import pytest
from pyiceberg.catalog import load_catalog

from tests import duckdb_reader

QUERY = "select * from orders"
TYPES = {
    "id": "BIGINT",
    "amount": "DECIMAL(38,10)",
    "note": "VARCHAR",
    "at": "TIMESTAMP",
    "zoned": "TIMESTAMP WITH TIME ZONE",
    "day": "DATE",
    "data": "BLOB",
    "ratio": "DOUBLE",
}


@pytest.fixture
def source(tmp_path):
    """A database with 100 rows of many types, of which two are the same."""
    path = tmp_path / "source.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(
            "create table orders as select (i // 2 * 2)::bigint as id, (i // 2 / 3)::decimal(38, 10) as amount, "
            "case when i // 2 % 7 > 0 then 'Zoë ' || i // 2 end as note, timestamp '2026-01-06 01:02:03.456789' as at, "
            "timestamptz '2026-01-06 01:02:03+05:45' as zoned, date '2026-01-06' as day, '\\x00\\xFF'::blob as data, "
            "case when i // 2 % 2 = 0 then 'nan'::double else -0.5 end as ratio from range(100) as r(i)"
        )
    return path


class Place:
    """Where the tables of a test are: on this disk or, if there is a server, in its bucket."""

    def __init__(self, folder, server=None):
        self.server = server
        self.base = f"{server.url}/{uuid.uuid4().hex}" if server else str(folder / "lake")
        self.storage = server.storage if server else {}
        self.catalog = f"sqlite:///{folder}/catalog.db"

    def write_delta(self, rows):
        options = {f"aws_{name}": value for name, value in self.storage.items()} | {"allow_http": "true"}
        deltalake.write_deltalake(f"{self.base}/delta", rows, storage_options=options if self.server else None)
        return duckdb_reader.delta(f"{self.base}/delta", self.storage)

    def write_iceberg(self, rows):
        names = {"endpoint": "endpoint", "region": "region", "access_key_id": "access-key-id"}
        keys = {**names, "secret_access_key": "secret-access-key"}
        login = {f"s3.{keys[name]}": value for name, value in self.storage.items()}
        where = {"type": "sql", "uri": self.catalog, "warehouse": f"{self.base}/iceberg"}
        with load_catalog("lake", **where, **login) as catalog:
            catalog.create_namespace("shop")
            table = catalog.create_table("shop.orders", rows.schema)
            table.append(rows)
            return duckdb_reader.iceberg(table.metadata_location, self.storage)


@pytest.fixture(params=["folder", "bucket"])
def place(request, tmp_path):
    return Place(tmp_path, request.getfixturevalue("seaweed") if request.param == "bucket" else None)


@pytest.mark.parametrize("format_name", ["delta", "iceberg"])
def test_the_reader_sees_types_and_every_row_once(source, place, format_name, tmp_path):
    exported = tmp_path / "source.parquet"
    assert duckdb_reader.export(source, QUERY, exported) == TYPES
    with duckdb.connect(source) as connection:
        rows = connection.sql(QUERY).to_arrow_table()
        one_more = connection.sql(f"{QUERY} union all from orders where rowid = 0").to_arrow_table()
    write = getattr(place, f"write_{format_name}")
    table = write(rows)
    comparison = table.compare(exported)
    comparison.assert_equal(rows=100)
    assert comparison.types == TYPES
    assert table.rows()["id"].to_pylist() == rows["id"].to_pylist()
    assert table.compare(exported, where="id < 10").missing == 90

    place.base += "-other"
    place.catalog = place.catalog.replace("catalog", "other")
    doubled = getattr(place, f"write_{format_name}")(one_more).compare(exported)
    assert (doubled.rows, doubled.missing, doubled.surplus) == (101, 0, 1)
