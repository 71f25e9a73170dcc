"""Iceberg tables for tests: on this disk with a catalog in SQLite, and on SeaweedFS with that or its REST catalog."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import load_catalog

from statekeeper.config.sections.storage import StorageConfig
from statekeeper.config.sections.stores import place_of
from statekeeper.table_formats.iceberg.format import FORMAT as ICEBERG
from statekeeper.table_formats.protocol import Change, Definition, NewFile, TablePlace

DAY = date(2026, 1, 6)
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string())])


class LocalTable:
    """A table on this disk."""

    def __init__(self, folder):
        catalog = {"name": "default", "type": "sql", "uri": f"sqlite:///{folder / 'catalog.db'}"}
        self.place = TablePlace(folder / "orders", "shop.orders", catalog=catalog, namespace="shop", table="orders")

    def with_catalog(self, **properties):
        self.place = replace(self.place, catalog={**self.place.catalog, **properties})
        return self

    def put(self, path, table, **options):
        """Write a file to its place in the table's folder."""
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, **options)
        data = sink.getvalue().to_pybytes()
        self.write(path, data)
        return NewFile(path, len(data), pq.read_metadata(pa.BufferReader(data)))

    def write(self, path, data):
        file = self.place.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def create(self, columns=SCHEMA, *, is_by_date=True, **more):
        return ICEBERG.create(self.place, Definition(columns, is_by_date, **more))

    def find(self):
        found = ICEBERG.find(self.place)
        assert found is not None
        return found

    def add(self, path, table, *, removed=(), day=DAY, **sequences):
        """Commit a file on the current version; `a=1` is the sequence 1 of the application a."""
        file = self.put(path, table)
        self.find().commit(Change([file], removed, sequences, day))
        return file

    def reader(self):
        """The table, as another program with pyiceberg opens it."""
        properties = {name: text for name, text in self.place.catalog.items() if not name.startswith("statekeeper.")}
        catalog = load_catalog(**properties, **self.login())
        return catalog.load_table(("shop", self.place.table))

    def login(self):
        return {}

    def rows(self):
        found = self.reader().scan().to_arrow()
        return sorted(found.to_pylist(), key=str)


class BucketTable(LocalTable):
    """A table in the bucket of SeaweedFS, with a catalog in SQLite."""

    def __init__(self, folder, server):
        super().__init__(folder)
        self.server, self.prefix = server, uuid.uuid4().hex
        storage = StorageConfig.model_validate(server.storage)
        self.place = replace(self.place, folder=place_of(f"{server.url}/{self.prefix}/orders"), storage=storage)

    def write(self, path, data):
        self.server.bucket.put(f"{self.prefix}/orders/{path}", data)

    def login(self):
        storage = self.server.storage
        return {f"s3.{name.replace('_', '-')}": text for name, text in storage.items()}


class RestTable(BucketTable):
    """A table in the bucket of SeaweedFS, in SeaweedFS's own catalog, which keeps metadata in a bucket of its own."""

    def __init__(self, folder, server):
        super().__init__(folder, server)
        catalog = {**server.catalog, "name": "default", "statekeeper.location": "catalog"}
        self.place = replace(self.place, catalog=catalog, table=f"orders_{self.prefix}")


def rows_of(*ids, name="x"):
    return pa.table({"id": pa.array(ids, pa.int64()), "name": pa.array([name] * len(ids), pa.string())}, schema=SCHEMA)
