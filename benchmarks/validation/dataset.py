"""The benchmark's data: TPC-H's lineitem at scale factor 1, staged as Parquet by statekeeper itself, and spoilt copies.

Made from row numbers and nothing else, with TPC-H's distributions (its specification, 4.2.3): 1 to 7 lines an order,
sparse order keys, a price that follows from part and quantity, days that follow from the order's, flags that follow
from the days, comments of 10 to 43 characters. Other than there, 2 % of l_tax and 5 % of l_commitdate are NULL, and
l_receiptdate is l_received_at, with a time of day.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from benchmarks.shared.measured import REPOSITORY
from benchmarks.shared.words import WORDS

FOLDER = REPOSITORY / "build" / "bench-validation"
MODEL = "benchmarks/shared/lineitem.py:LineItem"
SF1_ROWS = 6_001_215
PART_ROWS = 1_000_000
SAMPLE_ROWS = 100_000
DATE = "2026-01-06"


def _random(salt: int, values: int) -> str:
    """SQL for a whole number in [0, values) that depends on order and line."""
    return f"(hash(o * 8 + line + {salt * 100_000_007}::BIGINT) % {values})::BIGINT"


_TEXT = ", ".join(f"{WORDS}[1 + {_random(salt, 20)}]" for salt in range(20, 29))
_LINES = f"""
    SELECT o, line, 1 + {_random(1, 200_000)} AS part, 1 + {_random(3, 50)} AS quantity, {_random(2, 4)} AS supplier,
        DATE '1992-01-01' + (hash(o) % 2406)::INTEGER AS ordered
    FROM (SELECT o, unnest(range(1, 2 + (hash(o * 3 + 1) % 7)::BIGINT)) AS line FROM range({{orders}}) AS orders(o))
    ORDER BY o, line LIMIT {{rows}}
"""
_DAYS = f"""
    SELECT *, ordered + (1 + {_random(4, 121)})::INTEGER AS shipped,
        shipped + (1 + {_random(6, 30)})::INTEGER AS received FROM ({_LINES})
"""
_SELECT = f"""
    SELECT
        (o // 8 * 32 + o % 8 + 1)::BIGINT AS l_orderkey,
        part::INTEGER AS l_partkey,
        (1 + (part + supplier * (2500 + (part - 1) // 10000)) % 10000)::INTEGER AS l_suppkey,
        line::SMALLINT AS l_linenumber,
        quantity::DECIMAL(15, 2) AS l_quantity,
        (quantity * (90000 + part // 10 % 20001 + 100 * (part % 1000)) / 100)::DECIMAL(15, 2) AS l_extendedprice,
        ({_random(7, 11)} / 100)::DECIMAL(15, 2) AS l_discount,
        CASE WHEN {_random(8, 50)} > 0 THEN ({_random(9, 9)} / 100)::DECIMAL(15, 2) END AS l_tax,
        CASE WHEN received > DATE '1995-06-17' THEN 'N' ELSE ['R', 'A'][1 + {_random(10, 2)}] END AS l_returnflag,
        CASE WHEN shipped > DATE '1995-06-17' THEN 'O' ELSE 'F' END AS l_linestatus,
        shipped AS l_shipdate,
        CASE WHEN {_random(11, 20)} > 0 THEN ordered + (30 + {_random(5, 61)})::INTEGER END AS l_commitdate,
        received + to_microseconds({_random(12, 86_400_000_000)}) AS l_received_at,
        ['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'][1 + {_random(13, 4)}] AS l_shipinstruct,
        ['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'][1 + {_random(14, 7)}] AS l_shipmode,
        substr(concat_ws(' ', {_TEXT}), 1 + {_random(15, 6)}, 10 + {_random(16, 34)}) AS l_comment
    FROM ({_DAYS})
"""
SPOILT = {
    "l_orderkey": "0",
    "l_partkey": "200001",
    "l_suppkey": "NULL",
    "l_linenumber": "8",
    "l_quantity": "50.01",
    "l_extendedprice": "-0.01",
    "l_discount": "1.01",
    "l_tax": "-0.01",
    "l_returnflag": "'X'",
    "l_linestatus": "'FO'",
    "l_shipdate": "DATE '1991-12-31'",
    "l_commitdate": "DATE '2000-01-01'",
    "l_received_at": "TIMESTAMP '1991-12-31 23:59:59.999999'",
    "l_shipinstruct": "'none'",
    "l_shipmode": "'AI'",
    "l_comment": "repeat('x', 201)",
}
"""A value for each column that breaks its constraint, in SQL."""


def parts_of(rows: int) -> list[Path]:
    """The table's parts, as `statekeeper run` stages and publishes them."""
    output = FOLDER / f"lineitem-{rows}"
    if not output.exists():
        _extract(rows, output)
    return sorted(path for path in output.rglob("*.parquet") if path.is_file())


def sample_part() -> Path:
    """The first 100,000 rows, as one part."""
    path = FOLDER / "sample.parquet"
    if not path.exists():
        rows = pq.ParquetFile(parts_of(SF1_ROWS)[0]).read_row_group(0).slice(0, SAMPLE_ROWS)
        pq.write_table(rows, path)
    return path


def spoilt_parts() -> dict[str, Path]:
    """By column: a part of 1,000 rows of which one breaks that column's constraint, and no other; "" is without."""
    folder = FOLDER / "spoilt"
    folder.mkdir(parents=True, exist_ok=True)
    good = parts_of(SF1_ROWS)[0]
    found = {"": folder / "good.parquet", **{name: folder / f"{name}.parquet" for name in SPOILT}}
    if all(path.exists() for path in found.values()):
        return found
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        for name, path in found.items():
            spoil = f"REPLACE (CASE WHEN n = 700 THEN {SPOILT[name]} ELSE {name} END AS {name})" if name else ""
            rows = f"SELECT *, row_number() OVER () AS n FROM '{good}' LIMIT 1000"
            connection.execute(f"COPY (SELECT * EXCLUDE n {spoil} FROM ({rows})) TO '{path}' (FORMAT parquet)")
    return found


def _extract(rows: int, output: Path) -> None:
    print(f"making {rows:,} rows of lineitem and staging them", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    database, config = FOLDER / f"lineitem-{rows}.duckdb", FOLDER / "stage.yml"
    database.unlink(missing_ok=True)
    with duckdb.connect(database) as connection:
        connection.execute("SET enable_progress_bar = false")
        query = _SELECT.format(rows=rows, orders=rows // 4 + 10_000)
        connection.execute(f"CREATE TABLE lineitem AS {query}")
    making = output.with_suffix(".making")
    shutil.rmtree(making, ignore_errors=True)
    config.write_text(
        f"pipeline: stage\n"
        f"sources: {{duck: {{type: duckdb, path: '{database}'}}}}\n"
        f"output: {{base_path: '{making}'}}\n"
        f"tables:\n  - {{table_name: lineitem, schema: {MODEL}, chunking: {{target_rows: {PART_ROWS}}}}}\n"
    )
    program = str(Path(sys.executable).with_name("statekeeper"))
    command = [program, "run", str(config), "--date", DATE, "--no-progress"]
    subprocess.run(command, check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
    making.rename(output)
    database.unlink()
