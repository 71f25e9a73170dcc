"""Run by the conformance test with PYO_DEBUG_PACKETS set: the statements of the captured sessions."""

import asyncio
import contextlib
import datetime as dt
import sys

import oracledb

CREATE = """create table fdf_golden (id number(9) not null, big number(19), price number(9, 2), anynum number,
  name varchar2(40), fixed char(5), hired date, updated timestamp(6), payload raw(30),
  rating binary_double, score binary_float)"""
ROWS = [
    (1, 12345678901234, 12.34, 1.5, "alpha", "ab", dt.datetime(2024, 1, 2, 3, 4, 5), dt.datetime(2024, 1, 2, 3, 4, 5,
    123456),
     b"\x01\x02", 2.5, 0.5),
    (2,) + (None,) * 10,
    (3, -42, -99.99, -0.25, "gamma", "xyz", dt.datetime(1988, 12, 31, 23, 59, 58), dt.datetime(1988, 12, 31, 23, 59,
    58, 999999),
     b"\xff" * 8, -1.5, -2.0),
]  # fmt: skip


def frames(user: str, password: str, dsn: str) -> None:
    connection = oracledb.connect(user=user, password=password, dsn=dsn)
    cursor = connection.cursor()
    cursor.execute("drop table if exists fdf_golden purge")
    cursor.execute(CREATE)
    cursor.setinputsizes(None, None, None, None, None, None, None, oracledb.DB_TYPE_TIMESTAMP, None,
                         oracledb.DB_TYPE_BINARY_DOUBLE, oracledb.DB_TYPE_BINARY_FLOAT)  # fmt: skip
    cursor.executemany("insert into fdf_golden values (:1, :2, :3, :4, :5, :6, :7, :8, :9, :10, :11)", ROWS)
    connection.commit()
    connection.fetch_df_all("select * from fdf_golden order by id")
    connection.fetch_df_all("select id, price, anynum from fdf_golden order by id", fetch_decimals=True)
    connection.fetch_df_all("select null as n from dual")
    cursor.execute("select cast(7 + 5 as number(6)) as v from dual")
    cursor.execute("select 1 as a, level as b from dual connect by level <= 3").fetchall()
    lob = connection.createlob(oracledb.DB_TYPE_BLOB)
    lob.write(b"some blob payload")
    lob.read()
    connection.close()


def counts(user: str, password: str, dsn: str) -> None:
    """What surrounds the captured direct path loads."""
    connection = oracledb.connect(user=user, password=password, dsn=dsn)
    cursor = connection.cursor()
    for table in ("dpl_golden", "dpl_golden_wide"):
        cursor.execute(f"drop table if exists {table} purge")
    cursor.execute("create table dpl_golden (id number(9) not null, name varchar2(30))")
    cursor.execute("create table dpl_golden_wide (id number(9), wide varchar2(1000))")
    cursor.executemany("insert into dpl_golden (id) values (:1)", [(n,) for n in range(1, 14, 2)])
    cursor.execute("insert into dpl_golden_wide values (1, lpad('x', 600, 'x'))")
    connection.commit()
    cursor.execute("select count(*), min(id), max(id) from dpl_golden").fetchall()
    cursor.execute("select count(*), max(length(wide)) from dpl_golden_wide").fetchall()
    connection.close()


def refused(user: str, password: str, dsn: str) -> None:
    with contextlib.suppress(oracledb.Error):
        oracledb.connect(user=user, password=password, dsn=dsn)


async def pipelines(user: str, password: str, dsn: str) -> None:
    connection = await oracledb.connect_async(user=user, password=password, dsn=dsn)
    cursor = connection.cursor()
    await cursor.execute("drop table if exists pipe_golden purge")
    await cursor.execute("create table pipe_golden (id number(9), val varchar2(50))")
    pipeline = oracledb.create_pipeline()
    pipeline.add_execute("insert into pipe_golden values (1, 'one')")
    pipeline.add_execute("insert into pipe_golden values (2, 'two')")
    pipeline.add_commit()
    pipeline.add_fetchall("select id, val from pipe_golden order by id")
    await connection.run_pipeline(pipeline)
    pipeline = oracledb.create_pipeline()
    pipeline.add_execute("insert into pipe_golden values (3, 'three')")
    pipeline.add_execute("insert into pipe_golden_missing values (1)")
    pipeline.add_fetchone("select count(*) from pipe_golden")
    await connection.run_pipeline(pipeline, continue_on_error=True)
    pipeline = oracledb.create_pipeline()
    pipeline.add_execute("insert into pipe_golden values (:1, :2)", [4, "four"])
    pipeline.add_fetchall("select id from pipe_golden order by id")
    pipeline.add_fetchall("select 1 as a, level as b from dual connect by level <= 3")
    await connection.run_pipeline(pipeline)
    await connection.rollback()
    await connection.close()


if __name__ == "__main__":
    which, *where = sys.argv[1:]
    if which == "pipelines":
        asyncio.run(pipelines(*where))
    else:
        {"frames": frames, "counts": counts, "refused": refused}[which](*where)
