"""One bad value in the last row group of a large table: is it found and shown, and what does it cost?

    python -m benchmarks.local.one_bad_row [--rows 20000000] [--memory-limit SIZE]

Extracts the table three times with two workers: without a bad value, with it and `on_violation: fail`, with it and
`on_violation: quarantine`. Prints the findings and the peak memory (VmHWM) of the largest process; ends with an error
if a number is wrong.
"""

import argparse
import json
import shutil
from pathlib import Path

import duckdb

from benchmarks.local.dataset import DATE, FOLDER
from benchmarks.local.pipeline import STATEKEEPER
from benchmarks.shared.measured import Measured, measure

_COLUMNS = """
    i AS id,
    (hash(i) % 5000)::INTEGER AS sensor,
    TIMESTAMP '2020-01-01' + to_microseconds(i * 1000003) AS at,
    (hash(i * 31) % 1000000 / 100)::DECIMAL(12, 2) AS value,
    'reading ' || i % 977 AS note
"""
_RULES = {
    "id": "{type: int, ge: 0}",
    "sensor": "{type: int, ge: 0, lt: 5000}",
    "at": "{type: datetime}",
    "value": "{type: decimal, max_digits: 12, decimal_places: 2, ge: 0}",
    "note": "{type: str, max_length: 20, pattern: '^reading [0-9]+$'}",
}


def database(rows: int) -> Path:
    """The table `readings`, twice: `good`, and `bad`, whose last row has a value below nothing."""
    path = FOLDER / f"readings-{rows}.duckdb"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temp = path.with_suffix(".making")
        temp.unlink(missing_ok=True)
        with duckdb.connect(temp) as connection:
            connection.execute(f"CREATE TABLE good AS SELECT {_COLUMNS} FROM range({rows}) AS numbers(i)")
            connection.execute(
                f"CREATE TABLE bad AS SELECT * REPLACE (CASE WHEN id = {rows - 1} THEN -1 ELSE value END AS value) "
                "FROM good"
            )
        temp.rename(path)
    return path


def extracted(path: Path, table: str, policy: str, memory_limit: str | None) -> tuple[Measured, Path]:
    """A run of one table, and the folder that it wrote to."""
    name = f"readings-{table}-{policy}"
    shutil.rmtree(FOLDER / name, ignore_errors=True)
    limit = f", memory_limit: {memory_limit}" if memory_limit else ""
    rules = ", ".join(f"{column}: {rule}" for column, rule in _RULES.items())
    config = FOLDER / f"{name}.yml"
    config.write_text(
        f"pipeline: readings\nsources: {{duck: {{type: duckdb, path: '{path}'}}}}\n"
        f"output: {{base_path: '{FOLDER / name}'}}\nexecution: {{workers: 2{limit}}}\n"
        f"tables:\n  - {{table_name: {table}, on_violation: {policy}, columns: {{{rules}}}}}\n"
    )
    run = f"'{STATEKEEPER}' run '{config}' --date {DATE} --no-progress"
    measured = measure("sh", "-c", f"{run}; test $? -eq {int(policy == 'fail' and table == 'bad')}")
    return measured, FOLDER / name / "duck" / table / "202601" / "06"


def expect(found: object, expected: object, what: str) -> None:
    """End with an error where a number is not as it has to be."""
    if found != expected:
        raise SystemExit(f"{what}: expected {expected}, found {found}")


def check_violations(folder: Path, rows: int) -> None:
    """One row, its constraint named, the row itself shown."""
    told = json.loads((folder / "readings-20260106_violations.json").read_text())
    expect((told["rows"], told["violating_rows"]), (rows, 1), "rows, and those that break the schema")
    ((one,),) = (told["violations"],)
    expect((one["column"], one["constraint"], one["count"]), ("value", "ge", 1), "the constraint")
    (sample,) = one["samples"]
    expect((sample["values"]["id"], sample["values"]["value"]), (str(rows - 1), "-1.00"), "the row that is shown")
    print(f"  found: {one['column']} {one['constraint']} ({one['expected_text']}): {sample['message']}")
    print(f"  the row: {sample['values']}")


def check_quarantine(folder: Path, rows: int) -> None:
    """Published and quarantined rows are those that were extracted and counted."""
    metadata = json.loads((folder / "readings-20260106_metadata.json").read_text())
    told = metadata["validation"]
    with duckdb.connect() as connection:
        dataset = f"{folder}/readings-20260106.parquet/*.parquet"
        ((published,),) = connection.sql(f"SELECT count(*) FROM '{dataset}'").fetchall()
        apart = connection.sql(f"SELECT * FROM read_parquet('{folder}/_readings-20260106.quarantine/*')").fetchall()
    expect((published, len(apart)), (rows - 1, 1), "rows that readers see, and rows put apart")
    expect((metadata["record_count"], told["quarantined_rows"]), (rows - 1, 1), "the same in the metadata")
    expect((told["extracted_rows"], told["counted_rows"]), (rows, rows), "extracted and counted")
    expect(apart[0][0], rows - 1, "the row that was put apart")
    print(f"  {published:,} published + {len(apart)} quarantined = {told['extracted_rows']:,} extracted = counted")
    print(f"  the row: {apart[0]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--memory-limit", help="execution.memory_limit [default: statekeeper's]")
    arguments = parser.parse_args()
    path = database(arguments.rows)
    for table, policy in (("good", "quarantine"), ("bad", "fail"), ("bad", "quarantine")):
        measured, folder = extracted(path, table, policy, arguments.memory_limit)
        largest = ", ".join(f"{peak // 1024}" for peak in measured.peaks[:3])
        print(
            f"{table} rows, on_violation: {policy}: {arguments.rows:,} rows in {measured.seconds:.1f} s; "
            f"largest processes {largest} MiB",
            flush=True,
        )
        if table == "bad":
            check_violations(folder, arguments.rows)
        if (table, policy) == ("bad", "quarantine"):
            check_quarantine(folder, arguments.rows)
        shutil.rmtree(folder.parents[3])


if __name__ == "__main__":
    main()
