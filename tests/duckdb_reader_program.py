"""What `tests.duckdb_reader` runs in the reader's own environment: it answers one question about a table, as JSON.

It needs nothing but DuckDB and its extensions, which are in the folder that its argument names.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(installed: Path) -> None:
    """Read the question on standard input, print the answer."""
    sys.path.insert(0, str(installed))
    import duckdb

    question = json.load(sys.stdin)
    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as connection:
        for name in question["extensions"]:
            folder = installed / f"duckdb_extension_{name}/extensions/v{duckdb.__version__}"
            connection.execute(f"load '{folder / f'{name}.duckdb_extension'}'")
        connection.execute("set TimeZone = 'UTC'")
        for statement in question["settings"]:
            connection.execute(statement)
        json.dump({"version": duckdb.__version__, **_answer(connection, question)}, sys.stdout)


def _answer(connection: Any, question: dict[str, Any]) -> dict[str, Any]:
    """The types of the table's columns; its rows, in a file; how they differ from the rows of a source."""
    scan = question["scan"]
    found: dict[str, Any] = {"types": _types(connection, scan)}
    if to := question.get("to"):
        connection.execute(f"copy (from {scan}) to '{to}' (format parquet)")
    if source := question.get("source"):
        columns = question["columns"]
        lake = f"select {columns} from {scan} {question['where']}"
        found |= _differences(connection, lake, f"select {columns} from read_parquet('{source}')", columns)
    return found


def _differences(connection: Any, lake: str, source: str, columns: str) -> dict[str, int]:
    """How many rows `lake except all source` has, and `source except all lake`: in one pass, which costs a quarter."""
    rows, missing, surplus = connection.execute(
        "select coalesce(sum(lake), 0), coalesce(sum(greatest(source - lake, 0)), 0), "
        "coalesce(sum(greatest(lake - source, 0)), 0) from (select sum(of_lake) as lake, sum(of_source) as source "
        f"from (select *, 1 as of_lake, 0 as of_source from ({lake}) union all select *, 0, 1 from ({source})) "
        f"group by {columns})"
    ).fetchone()
    return {"rows": int(rows), "missing": int(missing), "surplus": int(surplus)}


def _types(connection: Any, scan: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in connection.execute(f"describe from {scan}").fetchall()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
