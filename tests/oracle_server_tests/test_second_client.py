"""The Go client of ADBC reads the same rows: the server's protocol is not made for one driver only."""

import datetime as dt
from decimal import Decimal

import adbc_driver_oracle.dbapi
import oracledb
import pyarrow as pa

COLUMNS = [
    ("ID", "NUMBER(9)"), ("NAME", "VARCHAR2(40)"), ("N", "NUMBER(20,4)"), ("D", "DATE"), ("TS", "TIMESTAMP(6)"),
    ("R", "RAW(10)"), ("BD", "BINARY_DOUBLE"), ("C", "CLOB"), ("B", "BLOB"),
]  # fmt: skip


def test_both_clients_read_the_same(server, connection):
    rows = [
        (
            n, None if n % 7 == 0 else "name " * (n % 8), Decimal(n) / 8, dt.datetime(2020, 1, 1 + n % 28),
            dt.datetime(1999, 12, 31, 23, 59, 59, n), bytes((n % 256,)), n / 3, "text" * n, b"\x00\xff" * n,
        )
        for n in range(1, 400)
    ]  # fmt: skip
    server.create_table("APP", "SHARED", COLUMNS, rows)
    schema = pa.schema(
        [("ID", pa.int64()), ("NAME", pa.string()), ("N", pa.decimal128(20, 4)), ("D", pa.timestamp("us")),
         ("TS", pa.timestamp("us")), ("R", pa.binary()), ("BD", pa.float64()), ("C", pa.string()), ("B", pa.binary())]
    )  # fmt: skip
    sql = "select * from app.shared order by id"
    python = pa.table(connection.fetch_df_all(sql, requested_schema=schema))
    uri = f"oracle://APP:app%20secret@{server.host}:{server.port}/{server.service}"
    with adbc_driver_oracle.dbapi.connect(uri) as other, other.cursor() as cursor:
        cursor.execute(sql)
        go = cursor.fetch_arrow_table()
    assert go.num_rows == len(rows)
    assert go.cast(schema).to_pylist() == python.to_pylist()
    assert python.column("NAME").to_pylist() == [row[1] or None for row in rows]
    assert oracledb.is_thin_mode()
