"""Oracle's clients for Node.js and for Rust read from the test server what was stored in it, on each of its releases.

What one client forgives, another does not: a field too many in an answer, a layout that depends on what the client
announced, an order of messages. Where a client fails here, the server is wrong.
"""

import datetime as dt
import math
from decimal import Decimal
from urllib.parse import quote

import adbc_driver_oracle.dbapi
import oracledb
import pytest

from tests.oracle_server import OracleServer
from tests.oracle_server.database import types
from tests.oracle_server.wire.handshake import RELEASES
from tests.oracle_server_tests.other_clients import NodeClient, RustClient
from tests.oracle_server_tests.test_values import EVERY_TYPE, INDIA

READ = [release for release in RELEASES if release >= 12]
EARLIEST = dt.datetime(100, 1, 1)
"""The first that all clients tell: a JavaScript Date takes the years 0 to 99 for 1900 to 1999."""
COLUMNS = [
    *((name, declared, [EARLIEST if value == dt.datetime(1, 1, 1) else value for value in values])
      for name, declared, values in EVERY_TYPE),
    ("TZ", "TIMESTAMP(6) WITH TIME ZONE", [dt.datetime(2020, 1, 1, 12, tzinfo=INDIA), None,
                                           dt.datetime(1950, 6, 1, 1, 2, 3, 4000, tzinfo=dt.UTC)]),
    ("YM", "INTERVAL YEAR TO MONTH", [14, -25, None]),
]  # fmt: skip
DESCRIBED = [
    ("I9", "NUMBER(9)", ("NUMBER", 9, 0, None), "number(9,0)"),
    ("N", "NUMBER", ("NUMBER", 0, -127, None), "number"),
    ("NEG", "NUMBER(5,-2)", ("NUMBER", 5, -2, None), "number(5,-2)"),
    ("VC", "VARCHAR2(40)", ("VARCHAR2", None, None, 40), "varchar"),
    ("CH", "CHAR(5)", ("CHAR", None, None, 5), "char"),
    ("R", "RAW(30)", ("RAW", None, None, 30), "raw"),
    ("DA", "DATE", ("DATE", None, None, None), "date"),
    ("TS3", "TIMESTAMP(3)", ("TIMESTAMP", 3, None, None), "timestamp(3)"),
    ("TZ9", "TIMESTAMP(9) WITH TIME ZONE", ("TIMESTAMP WITH TIME ZONE", 9, None, None), "timestamp_tz(9)"),
    ("CL", "CLOB", ("CLOB", None, None, None), "clob"),
]


@pytest.fixture(scope="module", params=READ)
def server(request):
    with OracleServer.start(users={"APP": "app secret"}, release=request.param) as started:
        rows = [*zip(*(values for _, _, values in COLUMNS), strict=True), (None,) * len(COLUMNS)]
        started.create_table("APP", "EVERYTHING", [(name, declared) for name, declared, _ in COLUMNS], rows)
        texts = [None if n % 5 == 0 else f"text \u00e9\U0001f600 {n} " * n for n in range(1, 121)]
        bytes_ = [None if n % 3 == 0 else bytes((n,)) * n * 9 for n in range(1, 121)]
        lobs = list(zip(range(1, 121), texts, bytes_, strict=True))
        started.create_table("APP", "LOBS", [("ID", "NUMBER(9)", "NOT NULL"), ("C", "CLOB"), ("B", "BLOB")], lobs)
        named = [(name, declared) for name, declared, *_ in DESCRIBED]
        started.create_table("APP", "DESCRIBED", [*named, ("ID", "NUMBER(9)", "NOT NULL")])
        yield started


@pytest.fixture(params=["node-oracledb", "Rust"])
def client(request, tmp_path):
    return RustClient(tmp_path) if request.param == "Rust" else NodeClient()


def stored(declared, value, client):
    """A value as a client can tell it."""
    kind = types.parse(declared)
    if value is None:
        return None
    if kind.is_number:
        return Decimal(value)
    if kind.is_moment:
        if value.tzinfo is not None:
            value = value.astimezone(dt.UTC).replace(tzinfo=None)
        return value.replace(microsecond=value.microsecond // client.keeps * client.keeps)
    return value


def test_every_type_arrives_as_it_was_stored(server, client):
    everything = client.read(server, "select * from everything order by rowid")
    assert everything.error is None
    assert list(everything.columns) == [name for name, _, _ in COLUMNS]
    got = dict(zip(everything.columns, zip(*everything.rows, strict=True), strict=True))
    expected = {
        name: (*(stored(declared, value, client) for value in values), None) for name, declared, values in COLUMNS
    }
    assert got == expected
    assert math.copysign(1, got["BD"][0]) == -1


def test_lobs_arrive_over_many_fetches_with_nulls_between(server, client):
    reading = client.read(server, "select * from lobs order by id", rows=7)
    assert reading.error is None
    assert reading.rows == [
        (Decimal(id_) if isinstance(reading.rows[0][0], Decimal) else id_, text, data)
        for id_, text, data in server.rows("APP", "LOBS")
    ]


def test_python_oracledb_reads_every_type_on_every_release(server):
    names = [name for name, _, _ in COLUMNS if name not in {"TZ", "YM"}]  # a zone is lost, months are of another type
    with oracledb.connect(**server.credentials) as connection, connection.cursor() as cursor:
        query = f"select {', '.join(names)} from everything order by rowid"
        rows = cursor.execute(query, fetch_decimals=True, fetch_lobs=False).fetchall()
    got = dict(zip(names, zip(*rows, strict=True), strict=True))
    assert got == {name: (*values, None) for name, _, values in COLUMNS if name in names}


def test_adbc_reads_lobs_on_every_release(server):
    login = f"APP:{quote(server.users['APP'])}@{server.host}:{server.port}"
    url = f"oracle://{login}/{server.service}"
    with adbc_driver_oracle.dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("select id, c, b from lobs order by id")
        rows = cursor.fetchall()
    assert [(int(id_), text, data) for id_, text, data in rows] == server.rows("APP", "LOBS")


def test_columns_are_described_as_they_were_declared(server, client):
    reading = client.read(server, "select * from described")
    assert reading.error is None
    assert reading.rows == []
    for name, _, by_node, by_rust in DESCRIBED:
        said = reading.columns[name]
        if isinstance(client, RustClient):
            assert said["source_type"] == by_rust
        else:
            assert (said["type"], said.get("precision"), said.get("scale"), said.get("bytes")) == by_node
            assert said["nullable"]
    if isinstance(client, NodeClient):
        assert not reading.columns["ID"]["nullable"]


def test_an_error_amid_the_fetches_is_told_as_what_it_is(server, client):
    server.fault("error", match="from lobs", code=1555, after_rows=30, times=9)  # the Rust driver describes first
    reading = client.read(server, "select id from lobs order by id", rows=10)
    assert "ORA-01555" in reading.error
    assert max(entry["rows"] for entry in server.log() if entry["error"] == 1555) == 30
    server.clear_faults()
    assert client.read(server, "select id from lobs order by id", rows=10).error is None


def test_a_node_session_outlives_the_errors_of_its_statements(server):
    server.fault("error", match="from lobs", code=1555, after_rows=30)
    queries = [
        "select id from lobs order by id",
        "select * from nowhere",
        "select 1/0 as x from dual",
        "select 1 from dual",
    ]
    snapshot, missing, division, fine = NodeClient().read_all(server, queries, rows=10)
    assert len(snapshot.rows) == 30
    assert [one.error.partition(":")[0] for one in (snapshot, missing, division)] == [
        "ORA-01555",
        "ORA-00942",
        "ORA-01476",
    ]
    assert fine.rows == [(Decimal(1),)]


def test_a_wrong_password_is_told_as_one(server, client):
    assert "ORA-01017" in client.read(server, "select 1 from dual", password="wrong").error


def test_a_release_that_thin_clients_do_not_know_is_refused_by_them():
    with OracleServer.start(release=11) as old:
        assert "NJS-138" in NodeClient().read(old, "select 1 from dual").error
        with pytest.raises(oracledb.Error, match="DPY-3010"):
            oracledb.connect(**old.credentials)
