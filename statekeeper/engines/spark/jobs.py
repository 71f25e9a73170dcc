"""One Spark job: submitted in a thread of its own, cancelled by its tag, its outcomes collected.

The function travels by value and imports everything where it runs. Data never passes through the JVM: what comes back
is a line of JSON for each item.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from statekeeper.engines.spark.partition import Cargo
from statekeeper.engines.spark.session import Flavour, HeldSession

if TYPE_CHECKING:
    import pyarrow as pa

Function = Callable[[Iterator["pa.RecordBatch"]], Iterator["pa.RecordBatch"]]


@dataclass(frozen=True)
class JobEnd:
    """How a job ended: its outcomes as JSON, or what Spark raised."""

    outcomes: tuple[str, ...]
    error: Exception | None = None


def submit(held: HeldSession, cargo: Cargo, *, tag: str, on_end: Callable[[JobEnd], None]) -> threading.Thread:
    """Start a job with a partition for each load of `cargo`; `on_end` is called once, in the job's thread."""
    function = _function(pickle.dumps(cargo))

    def collect() -> None:
        try:
            end = JobEnd(run_job(held, function, partitions=len(cargo.loads), tag=tag))
        except Exception as error:  # noqa: BLE001 - whatever Spark raises is how the job ended
            end = JobEnd((), error)
        on_end(end)

    # A daemon: a job that cannot be cancelled must not keep the program from ending.
    thread = threading.Thread(target=collect, name=f"statekeeper-{tag}", daemon=True)
    thread.start()
    return thread


def run_job(held: HeldSession, function: Function, *, partitions: int, tag: str) -> tuple[str, ...]:
    """What `function` yields in the column `outcome`, called in each of so many partitions with its number."""
    _add_tag(held, tag)
    rows = held.spark.range(0, partitions, 1, partitions).mapInArrow(function, "outcome string").collect()
    return tuple(row[0] for row in rows)


def cancel(held: HeldSession, tag: str) -> None:
    """Have Spark end the jobs of a tag, and the Python workers with them; never raises."""
    with suppress(Exception):  # the session itself may be what is gone
        if held.flavour is Flavour.CONNECT:
            held.spark.interruptTag(tag)
        else:
            held.spark.sparkContext.cancelJobsWithTag(tag)  # interruptTag cancels nothing here (pyspark 4.3.0)


def _add_tag(held: HeldSession, tag: str) -> None:
    """Tag what this thread submits."""
    if held.flavour is Flavour.CONNECT:
        held.spark.addTag(tag)
    else:
        held.spark.sparkContext.addJobTag(tag)


def _function(cargo: bytes) -> Function:
    def run(batches: Any) -> Any:
        import pickle as local_pickle

        import pyarrow as pa

        from statekeeper.engines.spark.partition import work_through

        for batch in batches:
            for index in batch.column(0).to_pylist():
                outcomes = work_through(local_pickle.loads(cargo), index)  # noqa: S301 - it came with this function
                yield pa.RecordBatch.from_arrays([pa.array(outcomes, pa.string())], ["outcome"])

    return run
