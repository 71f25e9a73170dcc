"""Round trips of a plan, its count and one of its chunks: a window of a heap table, and a whole IOT.

    python -m benchmarks.oracle.round_trips [--rows 10000000] [--statements]

The Oracle test server counts the requests that it answers, and the packets of requests and answers. Each
request is a wait for the network, whatever the speed of the machine.
"""

import argparse
import datetime as dt
from contextlib import closing
from typing import TYPE_CHECKING

from benchmarks.oracle.dataset import PASSWORD, USER

if TYPE_CHECKING:
    from statekeeper.model.table import Scope
    from statekeeper.sources.protocol import SourceSession
    from tests.oracle_server import OracleServer

COLUMNS = [("ID", "NUMBER(9)"), ("AT", "TIMESTAMP(6)"), ("AMOUNT", "NUMBER(15,2)")]
MADE = "i, TIMESTAMP '2026-01-06' + to_microseconds(i * 1000), (i % 100000)::DECIMAL(15, 2) / 100"
DAY = dt.datetime(2026, 1, 6, tzinfo=dt.UTC)


def serve(rows: int) -> "OracleServer":
    """A server with so many rows in APP.EVENTS, all of one day and with an index on it, and in the IOT APP.KEYED."""
    from tests.oracle_server import OracleServer

    server = OracleServer.start(users={USER: PASSWORD})
    server.create_table(USER, "EVENTS", COLUMNS)
    server.create_index(USER, "EVENTS", "AT")
    server.create_table(USER, "KEYED", COLUMNS, organization="index", primary_key=["ID"])
    for table in ("EVENTS", "KEYED"):
        server.load(USER, table, f"SELECT {MADE} FROM range({rows}) AS numbers(i)")
        server.set_table(USER, table, statistics_rows=rows)
    return server


def measure(server: "OracleServer", session: "SourceSession", table: str, scope: "Scope", *, says_all: bool) -> None:
    """Print a line for each phase of a table."""
    from statekeeper.config.sections.chunking import ChunkingPolicy
    from statekeeper.model.plan import PlannedColumn, ReadSpec
    from statekeeper.model.table import Relation

    relation = Relation(schema_name=USER, table_name=table)
    server.clear_log()
    columns = tuple(
        PlannedColumn(name=one.name, database_type=one.database_type, read_type=one.read_type, arrow_type=one.read_type)
        for one in session.describe(relation)
        if one.read_type is not None
    )
    snapshot = session.take_snapshot(relation)
    _line(server, f"{table}: columns and snapshot", says_all=says_all)
    plan = session.plan_chunks(relation, scope, snapshot, ChunkingPolicy())
    _line(server, f"{table}: plan of {len(plan.chunks)} chunks", says_all=says_all)
    reading = ReadSpec(
        relation=relation, scope=scope, columns=columns, snapshot=snapshot, relation_state=plan.relation_state
    )
    count = session.count(reading)
    _line(server, f"{table}: count of {count.rows:,} rows", says_all=says_all)
    read = sum(batch.num_rows for batch in session.read(reading, plan.chunks[0]))
    _line(server, f"{table}: a chunk of {read:,} rows", says_all=says_all)


def _line(server: "OracleServer", what: str, *, says_all: bool) -> None:
    """A row of the table, of what was served since the last one."""
    served, traffic = server.log(), server.traffic()
    ways = ", ".join(sorted({one["access"] for one in served if one["access"]} - {"TABLE ACCESS SAMPLE"}))
    sorted_rows = max((one["sorted_rows"] for one in served), default=0)
    counts = " | ".join(str(traffic[name]) for name in ("round trips", "packets received", "packets sent"))
    print(f"| {what} | {len(served)} | {counts} | {ways} | {sorted_rows:,} |", flush=True)
    if says_all:
        for one in served:
            print(f"    {one['round_trips']} round trips, {one['rows']} rows: {' '.join(one['sql'].split())[:160]}")
    server.clear_log()


def main() -> None:
    from statekeeper.config.loader import pipeline_of
    from statekeeper.model.table import ExtractionMode, Scope, Window
    from statekeeper.sources.registry import open_session

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--statements", action="store_true", help="print each statement too")
    arguments = parser.parse_args()
    window = Window(column="AT", start=DAY, end=DAY + dt.timedelta(days=1), timezone="UTC")
    scopes = {
        "EVENTS": Scope(mode=ExtractionMode.INCREMENTAL, window=window),
        "KEYED": Scope(mode=ExtractionMode.FULL),
    }
    with serve(arguments.rows) as server:
        keys = {"type": "oracle", "dsn": server.dsn, "user": USER, "password": PASSWORD}
        source = pipeline_of({"sources": {"ora": keys}, "tables": [{"table_name": "T"}]}).sources["ora"]
        print("|  | statements | round trips | packets received | packets sent | way to the rows | rows sorted |")
        print("|---|---:|---:|---:|---:|---|---:|")
        server.clear_log()
        with closing(open_session(source)) as session:
            _line(server, "login and session", says_all=arguments.statements)
            for table, scope in scopes.items():
                measure(server, session, table, scope, says_all=arguments.statements)


if __name__ == "__main__":
    main()
