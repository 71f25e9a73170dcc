"""Rows per second from an Oracle server to Parquet: statekeeper, the bare driver loop, and two exporters of PyPI.

    python -m benchmarks.oracle.throughput [--rows 1000000] [--rounds 5]

All in one run, round by round in turns, over the same server; whole commands, timed from start to exit. A first round,
which is not counted, lets the server encode each statement's rows, so that later it only sends them.
"""

import argparse
import shutil
from statistics import median

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.oracle.contestants import (
    BARE,
    NAMES,
    OURS,
    WORKERS,
    Contest,
    Round,
    files_of,
    install_exporters,
    rows_written,
)
from benchmarks.oracle.dataset import FOLDER, serve
from benchmarks.shared.measured import compile_as_pip_does


def warm_up(contest: Contest, rows: int) -> None:
    """The round that is not counted; it shows that statekeeper and the bare loop wrote the same values."""
    for name in NAMES:
        contest.run(name)
        if name == OURS:
            print(f"statekeeper read {contest.write_chunks()} chunks; the bare loop reads by the same statements")
        _require_rows(name, rows)
    ours, bare = (_all_rows(name) for name in (OURS, BARE))
    if not ours.equals(bare.cast(ours.schema)):
        raise SystemExit("statekeeper and the bare loop wrote different values")


def _require_rows(name: str, rows: int) -> None:
    if (written := rows_written(name)) != rows:
        raise SystemExit(f"{name} wrote {written} rows of {rows}")


def _all_rows(name: str) -> pa.Table:
    parts = [pq.read_table(path, partitioning=None).replace_schema_metadata() for path in files_of(name)]
    table = pa.concat_tables(parts)
    return table.sort_by([("L_ORDERKEY", "ascending"), ("L_LINENUMBER", "ascending")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    install_exporters()
    compile_as_pip_does()
    print(f"loading {arguments.rows:,} rows into the server", flush=True)
    with serve(arguments.rows) as server:
        contest = Contest(server, server._process.pid)  # noqa: SLF001 - its processor time is measured
        contest.write_config()
        warm_up(contest, arguments.rows)
        _compete(contest, arguments.rows, arguments.rounds)
    shutil.rmtree(FOLDER / "output")


def _compete(contest: Contest, rows: int, rounds: int) -> None:
    runs: dict[str, list[Round]] = {name: [] for name in NAMES}
    for number in range(rounds):
        for name in NAMES[number % len(NAMES) :] + NAMES[: number % len(NAMES)]:  # nobody always comes first
            runs[name].append(contest.run(name))
            _require_rows(name, rows)
        told = ", ".join(f"{name} {runs[name][-1].command.seconds:.2f} s" for name in NAMES)
        print(f"round {number + 1}: {told}", flush=True)
    print(
        f"\n{rows:,} rows, 16 columns, {WORKERS} processes (oracle-parquet-exporter: 1), medians of {rounds} rounds\n"
    )
    print(f"| {'':<23} | seconds | rows/s | of the bare loop | rounds: least, most | cpu s | server's cpu s |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in NAMES:
        _line(name, runs[name], runs[BARE], rows)


def _line(name: str, runs: list[Round], bare: list[Round], rows: int) -> None:
    """A row of the table. The ratios are of rows/s, so 1.00 means as fast as the bare loop."""
    seconds = median(one.command.seconds for one in runs)
    ratio = median(one.command.seconds for one in bare) / seconds
    each = [theirs.command.seconds / one.command.seconds for one, theirs in zip(runs, bare, strict=True)]
    spread = f"{min(each):.2f}, {max(each):.2f}"
    processor = median(one.command.processor for one in runs)
    server = median(one.server for one in runs)
    cells = f"{seconds:.2f} | {rows / seconds:,.0f} | {ratio:.2f} | {spread} | {processor:.2f} | {server:.2f}"
    print(f"| {name:<23} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
