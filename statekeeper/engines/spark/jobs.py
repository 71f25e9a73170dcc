"""One Spark job: submitted in a thread of its own, cancelled by its tag.

The function is pickled by value and does its imports on the executor. Neither data nor outcomes pass through the JVM:
partitions write their outcomes to the exchange.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from statekeeper.engines.spark.partition import TaskContext
from statekeeper.engines.spark.session import Flavour, HeldSession, inheriting_thread

if TYPE_CHECKING:
    import pyarrow as pa

Function = Callable[[Iterator["pa.RecordBatch"]], Iterator["pa.RecordBatch"]]


def submit(held: HeldSession, context: TaskContext, *, tag: str, on_end: Callable[[Exception | None], None]) -> None:
    """Start a job with one partition for each slot of `context`.

    `on_end` is called once, in the job's thread, with Spark's error, or with None.
    """
    function = _function(pickle.dumps(context))

    def wait() -> None:
        error = None
        try:
            run_job(held, function, partitions=len(context.slots), tag=tag)
        except Exception as raised:  # noqa: BLE001 - whatever Spark raises is how the job ended
            error = raised
        on_end(error)

    # A daemon, so that a job that cannot be cancelled does not keep the program alive.
    inheriting_thread(target=wait, name=f"statekeeper-{tag}", daemon=True).start()


def run_job(held: HeldSession, function: Function, *, partitions: int, tag: str) -> tuple[str, ...]:
    """The values of the column `outcome` that `function` yields, called in each partition with its number."""
    _add_tag(held, tag)
    rows = held.spark.range(0, partitions, 1, partitions).mapInArrow(function, "outcome string").collect()
    return tuple(row[0] for row in rows)


def cancel(held: HeldSession, tag: str) -> None:
    """Cancel the Spark jobs of a tag, with their Python workers. Never raises."""
    with suppress(Exception):  # the session itself may be gone
        if held.flavour is Flavour.CONNECT:
            held.spark.interruptTag(tag)
        else:
            held.spark.sparkContext.cancelJobsWithTag(tag)  # interruptTag cancels nothing here (pyspark 4.3.0)


def _add_tag(held: HeldSession, tag: str) -> None:
    """Tag all jobs that this thread submits."""
    if held.flavour is Flavour.CONNECT:
        held.spark.addTag(tag)
    else:
        held.spark.sparkContext.addJobTag(tag)


def _function(context: bytes) -> Function:
    def run(batches: Any) -> Any:
        import pickle as local_pickle

        import pyarrow as pa

        from statekeeper.engines.spark.partition import run_slot

        for batch in batches:
            for index in batch.column(0).to_pylist():
                run_slot(local_pickle.loads(context), index)  # noqa: S301 - it came with this function
                yield pa.RecordBatch.from_arrays([pa.array([], pa.string())], ["outcome"])

    return run
