"""The processor time of one extraction, step by step, with the whole pipeline in this one process.

    python -m benchmarks.local.phases [--rows 10000000]

Each step is timed without the steps inside it. The engine is the one for debuggers (`statekeeper.engines.inline`),
which runs every step in this process; there is no second worker to wait for.
"""

import argparse
import functools
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from benchmarks.local.dataset import DATE, FOLDER, lineitem
from benchmarks.local.pipeline import write_config

TOTAL: Counter[str] = Counter()
_STACK: list[str] = []
_SINCE = [0.0]


def _clock() -> None:
    """Book the time since the last booking on the innermost step."""
    now = time.process_time()
    if _STACK:
        TOTAL[_STACK[-1]] += now - _SINCE[0]
    _SINCE[0] = now


@contextmanager
def step(name: str) -> Iterator[None]:
    _clock()
    _STACK.append(name)
    try:
        yield
    finally:
        _clock()
        _STACK.pop()


def watch(owner: Any, attribute: str, name: str) -> None:
    """Time every call of a function or method."""
    inner: Callable[..., Any] = getattr(owner, attribute)

    @functools.wraps(inner)
    def timed(*arguments: Any, **named: Any) -> Any:
        with step(name):
            return inner(*arguments, **named)

    setattr(owner, attribute, timed)


def watch_iteration(owner: Any, attribute: str, name: str) -> None:
    """Time the making of every item of an iterator."""
    inner: Callable[..., Any] = getattr(owner, attribute)

    @functools.wraps(inner)
    def timed(*arguments: Any, **named: Any) -> Iterator[Any]:
        items = iter(inner(*arguments, **named))
        while True:
            with step(name):
                item = next(items, None)
            if item is None:
                return
            yield item

    setattr(owner, attribute, timed)


def watch_all() -> None:
    import pyarrow.parquet as pq

    from statekeeper.parquet import integrity, types, writer
    from statekeeper.publish.publication import Publication
    from statekeeper.schemas.rules import checks
    from statekeeper.sources.duckdb import session
    from statekeeper.store.files.disk import LocalDisk
    from statekeeper.validate import check_part, scan

    watch(checks, "compile_checks", "compile checks")
    watch(session.DuckdbSession, "plan_chunks", "plan: cut into chunks")
    watch(session.DuckdbSession, "count", "count")
    watch_iteration(session.DuckdbSession, "read", "read from DuckDB")
    watch(session, "check_values", "check for infinity")
    watch(types, "cast_batch", "cast")
    watch(pq.ParquetWriter, "write_table", "encode and compress Parquet")
    watch(writer.Md5Sink, "write", "write, md5")
    watch(LocalDisk, "sync_file", "fsync")
    watch(LocalDisk, "sync_folder", "fsync")
    watch(check_part, "find_part_damage", "footer")
    watch(integrity, "md5_of", "md5 again")
    watch(scan, "scan_part", "scan: schema")
    for name in ("stage", "swap_in", "commit"):
        watch(Publication, name, "publish")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    rows = parser.parse_args().rows
    config = write_config("phases", lineitem(rows), ["lineitem"])
    shutil.rmtree(FOLDER / "phases", ignore_errors=True)
    with step("import"):
        import statekeeper.parquet.writer
        import statekeeper.validate.scan  # noqa: F401 - it is the import that is timed
        from statekeeper.config.loader import load_pipeline
        from statekeeper.engines.inline import InlineEngine
        from statekeeper.run.runner import RunIdentity, Runner
        from statekeeper.runtime.progress import NullReporter

    watch_all()
    with step("everything else"):
        pipeline = load_pipeline(config, environ={})
        report = Runner(
            pipeline=pipeline,
            identity=RunIdentity("phases", date.fromisoformat(DATE)),
            reporter=NullReporter(),
            make_engine=lambda made: InlineEngine(memory_limit=f"{made.execution.memory_limit}B"),
        ).run(pipeline.tables)
    if report.exit_code:
        raise SystemExit(report)
    total = sum(TOTAL.values())
    print(f"{rows:,} rows: {total:.2f} s of processor time")
    for name, seconds in sorted(TOTAL.items(), key=lambda one: -one[1]):
        print(f"  {name:<28} {seconds:7.3f}  {100 * seconds / total:5.1f} %")
    shutil.rmtree(FOLDER / "phases")


if __name__ == "__main__":
    main()
