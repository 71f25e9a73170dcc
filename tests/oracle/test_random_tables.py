"""Whole tables drawn at random, extracted over the wire, and compared value by value with what the server stores."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from math import inf, nan
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from statekeeper.engines.inline import InlineEngine
from statekeeper.run.report import Outcome
from statekeeper.run.runner import Runner
from statekeeper.runtime.progress import NullReporter
from tests.oracle.pipelines import Lake, serving
from tests.oracle.stored import published_rows, stored_rows

FIRST, LAST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001 - wall clocks
NAMES = (
    "ID", "SELECT", "DATE", "LEVEL", "Mixed Case", "lower", "Gr\u00f6\u00dfe", "a/b", "1ST", "_X", "ORA$1", "#", "A.B",
    "N_GUARD", "it's", "%s", ":b1", "X" * 100, "\u5217", "q", "ROW NUM", "\U0001f600",
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A declared type, values of it, and the type of the file's column."""

    declared: str
    values: st.SearchStrategy[Any]
    arrow: pa.DataType
    is_key: bool = False


def numbers(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**digits - 1
    whole = st.one_of(st.sampled_from([0, 1, -1, most, -most]), st.integers(-most, most))
    return whole.map(lambda value: Decimal(f"{value}E{-scale}"))


def number(precision: int, scale: int, arrow: pa.DataType) -> Kind:
    return Kind(f"NUMBER({precision},{scale})", numbers(precision, scale), arrow, is_key=True)


def texts(most: int) -> st.SearchStrategy[str]:
    characters = st.characters(exclude_categories=("Cs",), exclude_characters="\x00")
    return st.one_of(
        st.sampled_from(["", " ", "x" * most, "\u4e2d" * (most // 4), "NULL", "'", "\n"]),
        st.text(characters, max_size=most // 4),
    )


def moments(unit: timedelta, least: datetime = FIRST, most: datetime = LAST) -> st.SearchStrategy[datetime]:
    drawn = st.one_of(st.sampled_from([least, most]), st.datetimes(least, most))
    return drawn.map(lambda value: value - (value - FIRST) % unit)


SECOND, MILLI, MICRO = timedelta(seconds=1), timedelta(milliseconds=1), timedelta(microseconds=1)
ZONES = st.sampled_from([-12 * 60, -210, 0, 345, 14 * 60]).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.builds(
    lambda moment, zone: moment.replace(tzinfo=UTC).astimezone(zone),
    moments(MICRO, FIRST + timedelta(days=1), LAST - timedelta(days=1)),
    ZONES,
)
FLOATS = st.one_of(st.sampled_from([0.0, -0.0, inf, -inf, nan, 5e-324, 1.7976931348623157e308]), st.floats())
SINGLES = st.one_of(st.sampled_from([0.0, -0.0, inf, -inf, nan, 1e-45]), st.floats(width=32))
LARGE = st.one_of(texts(200), st.sampled_from(["y" * 4001, "\U0001f600" * 9000, "z" * 40_000]))
BYTES = st.one_of(st.binary(max_size=30), st.sampled_from([b"\x00", b"\xff" * 30]))
US = pa.timestamp("us")

KINDS = (
    number(9, 0, pa.int64()), number(18, 0, pa.int64()), number(19, 0, pa.decimal128(19, 0)),
    number(38, 0, pa.decimal128(38, 0)), number(9, 2, pa.decimal128(9, 2)),
    # no key: the test server compares with it in DuckDB, which rounds
    Kind("NUMBER(38,38)", numbers(38, 38), pa.decimal128(38, 38)),

    number(5, 10, pa.decimal128(10, 10)), number(5, -2, pa.decimal128(7, 0)),
    Kind("NUMBER", numbers(38, 10), pa.decimal128(38, 10), is_key=True),
    Kind("FLOAT(126)", numbers(30, 10), pa.decimal128(38, 10)),
    Kind("BINARY_DOUBLE", FLOATS, pa.float64()), Kind("BINARY_FLOAT", SINGLES, pa.float32()),
    Kind("VARCHAR2(40)", texts(40), pa.string(), is_key=True), Kind("VARCHAR2(40 CHAR)", texts(40), pa.string()),
    Kind("NVARCHAR2(40)", texts(40), pa.string()), Kind("CHAR(8)", texts(8), pa.string(), is_key=True),
    Kind("VARCHAR2(4000)", st.one_of(texts(40), st.just("w" * 4000)), pa.string()),
    Kind("CLOB", LARGE, pa.string()), Kind("NCLOB", LARGE, pa.string()), Kind("RAW(30)", BYTES, pa.binary()),
    Kind("BLOB", st.one_of(BYTES, st.just(bytes(range(256)) * 200)), pa.binary()),
    Kind("DATE", moments(SECOND), US, is_key=True), Kind("TIMESTAMP(0)", moments(SECOND), US, is_key=True),
    Kind("TIMESTAMP(3)", moments(MILLI), US, is_key=True), Kind("TIMESTAMP(6)", moments(MICRO), US, is_key=True),
    Kind("TIMESTAMP(6) WITH TIME ZONE", INSTANTS, pa.timestamp("us", tz="UTC")),
    Kind("TIMESTAMP(6) WITH LOCAL TIME ZONE", INSTANTS, pa.timestamp("us", tz="UTC")),
    Kind("BOOLEAN", st.booleans(), pa.bool_()),
)  # fmt: skip
MEMORY = Path("/dev/shm")
SMALL_KEY = number(9, 0, pa.int64())


@dataclass(frozen=True)
class Drawn:
    """A table, and how it is divided into chunks."""

    name: str
    columns: dict[str, Kind]
    rows: list[tuple[Any, ...]]
    rows_per_block: int
    chunking: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def zoned(self) -> frozenset[str]:
        return frozenset(name for name, kind in self.columns.items() if "LOCAL" in kind.declared)


@st.composite
def tables(draw: st.DrawFn) -> Drawn:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique_by=str.casefold))
    columns = {name: draw(st.sampled_from(KINDS)) for name in names}
    way = draw(st.sampled_from(["rowid", "key", "partition", "primary key", "auto", "none"]))
    options: dict[str, Any] = {}
    chunking: dict[str, Any] = {"strategy": way, "target_rows": draw(st.integers(1, 8))}
    if way == "partition":
        columns["K"] = SMALL_KEY
        options["partitions"] = ("K", [("P1", -100), ("p 2", 0), ("PMAX", None)])
        options["has_statistics"] = draw(st.booleans())
        chunking["strategy"] = draw(st.sampled_from(["partition", "auto", "rowid"]))
    elif way == "primary key":
        columns["K"] = SMALL_KEY
        options |= {"organization": "index", "primary_key": ["K"]}
        chunking["strategy"] = "auto"
    elif way == "key":
        keys = [name for name, kind in columns.items() if kind.is_key]
        chunking |= {"column": draw(st.sampled_from(keys))} if keys else {"strategy": "rowid"}
    values = [st.one_of(st.none(), kind.values) if name != "K" else kind.values for name, kind in columns.items()]
    count = draw(st.sampled_from([0, 1, 5, 12, 25]))
    rows = draw(st.lists(st.tuples(*values), min_size=count, max_size=count))
    if way == "primary key":  # whose values are not NULL, and differ
        rows = [(*row[:-1], number) for number, row in enumerate(rows)]
    name = draw(st.sampled_from(["ORDERS", "Order Lines", "select", "\u00dcbersicht", "T%1"]))
    return Drawn(name, columns, rows, draw(st.integers(1, 9)), chunking, options)


@pytest.fixture(scope="module")
def server():
    with serving("T") as server:
        yield server


def extracted(lake: Lake, table: Drawn) -> pa.Table:
    entry = {"schema_name": "T", "table_name": f'"{table.name}"', "path_name": "out", "chunking": table.chunking}
    lake.configure(entry)
    extractor = lake.extractor
    runner = Runner(
        pipeline=extractor.pipeline,
        identity=extractor.identity,
        reporter=NullReporter(),
        make_engine=lambda _pipeline: InlineEngine(memory_limit="64MiB"),
    )
    (report,) = runner.run(extractor.pipeline.tables).tables
    assert report.outcome is Outcome.COMPLETED, (report.reason, report.failure)
    event(f"files: {min(len(lake.metadata('out')['files']), 5)}")
    return lake.published("out")


@settings(
    max_examples=40,
    deadline=None,
    phases=set(Phase) - {Phase.explain},
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(table=tables())
def test_any_table_arrives_as_it_is_stored(server, table):
    server.sql(f'DROP TABLE IF EXISTS T."{table.name}"')
    declared = [(name, kind.declared) for name, kind in table.columns.items()]
    options = dict(table.options)
    has_statistics = options.pop("has_statistics", False)
    server.create_table("T", table.name, declared, table.rows, rows_per_block=table.rows_per_block, **options)
    if has_statistics:
        server.set_table("T", table.name, statistics_rows=len(table.rows))
    event(str(table.chunking["strategy"]))
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None  # a disk's speed is of no interest here
    folder = Path(tempfile.mkdtemp(prefix="statekeeper-tables-", dir=memory))
    try:
        found = extracted(Lake(folder, server), table)
    finally:
        shutil.rmtree(folder)
    assert found.schema.names == list(table.columns)
    assert found.schema.types == [kind.arrow for kind in table.columns.values()]
    assert found.num_rows == len(table.rows)
    assert published_rows(found) == stored_rows(server, "T", table.name, zoned=table.zoned)
