"""The benchmark's data: APP.LINEITEM in the Oracle test server, made from row numbers and nothing else."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.shared.measured import REPOSITORY

FOLDER = REPOSITORY / "build" / "bench-oracle"
MODEL = "benchmarks/shared/lineitem.py:LineItem"
DATE = "2026-01-06"
USER = "APP"
PASSWORD = "app"
TABLE = "LINEITEM"

if TYPE_CHECKING:
    from tests.oracle_server import OracleServer


@dataclass(frozen=True)
class Column:
    """A column: its Oracle type, the SQL that makes its value of the row number `i`, and what a driver that must lose
    nothing is asked to deliver, in Arrow's words.
    """

    name: str
    type: str
    made: str
    lossless: str
    is_nullable: bool = False


def _random(salt: int, values: int) -> str:
    """SQL for a whole number in [0, values) that depends on the row number."""
    return f"(hash(i * 31 + {salt}) % {values})::BIGINT"


def _one_of(salt: int, *texts: str) -> str:
    listed = ", ".join(f"'{text}'" for text in texts)
    return f"[{listed}][1 + {_random(salt, len(texts))}]"


_WORDS = (
    *("quickly", "final", "deposits", "sleep", "furiously", "accounts", "ironic", "packages", "haggle", "blithely"),
    *(
        "regular",
        "pending",
        "requests",
        "carefully",
        "theodolites",
        "foxes",
        "unusual",
        "express",
        "asymptotes",
        "bold",
    ),
)
_COMMENT = ", ".join(_one_of(salt, *_WORDS) for salt in range(20, 24))
_COMMIT_DAY = f"TIMESTAMP '1992-02-01' + to_days({_random(10, 2500)}::INTEGER)"

COLUMNS = (
    Column("L_ORDERKEY", "NUMBER(12)", "1 + i // 4", "int64"),
    Column("L_PARTKEY", "NUMBER(9)", f"1 + {_random(1, 200_000)}", "int64"),
    Column("L_SUPPKEY", "NUMBER(9)", f"1 + {_random(2, 10_000)}", "int64"),
    Column("L_LINENUMBER", "NUMBER(1)", "1 + i % 4", "int64"),
    Column("L_QUANTITY", "NUMBER(15,2)", f"1 + {_random(3, 50)}", "decimal"),
    Column("L_EXTENDEDPRICE", "NUMBER(15,2)", f"{_random(4, 10_000_000)}::DECIMAL(15, 2) / 100", "decimal"),
    Column("L_DISCOUNT", "NUMBER(15,2)", f"{_random(5, 11)}::DECIMAL(15, 2) / 100", "decimal"),
    Column(
        "L_TAX", "NUMBER(15,2)", f"CASE WHEN i % 50 > 0 THEN {_random(6, 9)} / 100 END", "decimal", is_nullable=True
    ),
    Column("L_RETURNFLAG", "CHAR(1)", _one_of(7, "A", "N", "R"), "string"),
    Column("L_LINESTATUS", "CHAR(1)", _one_of(8, "F", "O"), "string"),
    Column("L_SHIPDATE", "DATE", f"TIMESTAMP '1992-01-02' + to_days({_random(9, 2500)}::INTEGER)", "timestamp"),
    Column("L_COMMITDATE", "DATE", f"CASE WHEN i % 20 > 0 THEN {_COMMIT_DAY} END", "timestamp", is_nullable=True),
    Column(
        "L_RECEIVED_AT",
        "TIMESTAMP(6)",
        f"TIMESTAMP '1992-01-03' + to_microseconds({_random(11, 200_000_000_000_000)})",
        "timestamp",
    ),
    Column(
        "L_SHIPINSTRUCT",
        "VARCHAR2(25)",
        _one_of(12, "COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"),
        "string",
    ),
    Column(
        "L_SHIPMODE", "VARCHAR2(10)", _one_of(13, "AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"), "string"
    ),
    Column("L_COMMENT", "VARCHAR2(120)", f"concat_ws(' ', {_COMMENT}, {_random(26, 100_000)})", "string"),
)


def serve(rows: int) -> "OracleServer":
    """A server, in a process of its own, that has APP.LINEITEM of so many rows and its statistics."""
    from tests.oracle_server import OracleServer

    server = OracleServer.start(users={USER: PASSWORD})
    columns = [(one.name, one.type) if one.is_nullable else (one.name, one.type, "NOT NULL") for one in COLUMNS]
    server.create_table(USER, TABLE, columns)
    server.load(USER, TABLE, f"SELECT {', '.join(one.made for one in COLUMNS)} FROM range({rows}) AS numbers(i)")
    server.set_table(USER, TABLE, statistics_rows=rows)
    return server
