"""The benchmark's data: `lineitem` in a DuckDB file of any number of rows, made from row numbers and nothing else.

A missing file is created under `build/bench-local/`, with the same content each time.
"""

from pathlib import Path

import duckdb

from benchmarks.shared.measured import REPOSITORY
from benchmarks.shared.words import WORDS

FOLDER = REPOSITORY / "build" / "bench-local"
MODEL = "benchmarks/shared/lineitem.py:LineItemWithDoubles"
CHUNK_ROWS = 1_000_000
ROW_GROUP_ROWS = 250_000
DATE = "2026-01-06"


def _random(salt: int, values: int) -> str:
    """SQL for a whole number in [0, values) that depends on the row number `i`."""
    return f"(hash(i * 31 + {salt}) % {values})::BIGINT"


def _word(salt: int) -> str:
    return f"{WORDS}[1 + {_random(salt, 20)}]"


_COLUMNS = f"""
    1 + i // 4                                                        AS l_orderkey,
    (1 + {_random(1, 200_000)})::INTEGER                              AS l_partkey,
    (1 + {_random(2, 10_000)})::INTEGER                               AS l_suppkey,
    (1 + i % 4)::SMALLINT                                             AS l_linenumber,
    (1 + {_random(3, 50)})::DECIMAL(15, 2)                            AS l_quantity,
    ({_random(4, 10_000_000)} / 100)::DECIMAL(15, 2)                  AS l_extendedprice,
    {_random(5, 11)} / 100.0::DOUBLE                                  AS l_discount,
    CASE WHEN i % 50 > 0 THEN {_random(6, 9)} / 100.0::DOUBLE END     AS l_tax,
    ['A', 'N', 'R'][1 + {_random(7, 3)}]                              AS l_returnflag,
    ['F', 'O'][1 + {_random(8, 2)}]                                   AS l_linestatus,
    DATE '1992-01-02' + {_random(9, 2500)}::INTEGER                   AS l_shipdate,
    CASE WHEN i % 20 > 0 THEN DATE '1992-02-01' + {_random(10, 2500)}::INTEGER END AS l_commitdate,
    TIMESTAMP '1992-01-03' + to_microseconds({_random(11, 200_000_000_000_000)}) AS l_received_at,
    ['COLLECT COD', 'DELIVER IN PERSON', 'NONE', 'TAKE BACK RETURN'][1 + {_random(12, 4)}] AS l_shipinstruct,
    ['AIR', 'FOB', 'MAIL', 'RAIL', 'REG AIR', 'SHIP', 'TRUCK'][1 + {_random(13, 7)}] AS l_shipmode,
    concat_ws(' ', {", ".join(_word(salt) for salt in range(20, 26))}, {_random(26, 100_000)}) AS l_comment
"""


def lineitem(rows: int) -> Path:
    """A database with the table `lineitem` of so many rows."""
    path = FOLDER / f"lineitem-{rows}.duckdb"
    if not path.exists():
        _make(path, f"CREATE TABLE lineitem AS SELECT {_COLUMNS} FROM range({rows}) AS numbers(i)")
    return path


def small_tables(count: int, *, rows: int) -> Path:
    """A database with `count` tables `t0000`, `t0001`, ... of `rows` rows each, with the columns of `lineitem`."""
    path = FOLDER / f"small-{count}.duckdb"
    if not path.exists():
        select = f"SELECT {_COLUMNS} FROM range({rows}) AS numbers(i)"
        _make(path, *(f"CREATE TABLE t{number:04d} AS {select}" for number in range(count)))
    return path


def _make(path: Path, *statements: str) -> None:
    print(f"making {path.relative_to(REPOSITORY)}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_suffix(".making")
    temp.unlink(missing_ok=True)
    with duckdb.connect(temp) as connection:
        for statement in statements:
            connection.execute(statement)
    temp.rename(path)
