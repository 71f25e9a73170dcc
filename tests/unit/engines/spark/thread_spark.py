"""A Spark whose partitions are threads of this process, with all that the engine uses of a classic session; no JVM."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pyarrow as pa


class Cancelled(Exception):
    """The job was cancelled by its tag."""


@dataclass
class ThreadSpark:
    """A session; the class's module must not have `connect` in its name. `slots` is how many partitions run at once.

    `fails` is raised by every job after the first `spares`. Where it has no executors, no partition ever begins.
    """

    slots: int = 2
    fails: Exception | None = None
    spares: int = 1
    has_executors: bool = True
    jobs: list[tuple[str, int]] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    is_stopped: bool = False
    shipped: list[str] = field(default_factory=list)
    conf: dict[str, str] = field(default_factory=dict)
    _local: threading.local = field(default_factory=threading.local)

    @property
    def sparkContext(self):  # noqa: N802 - Spark's name
        return self

    @property
    def defaultParallelism(self):  # noqa: N802
        return self.slots

    def getConf(self):  # noqa: N802
        return self.conf

    def addJobTag(self, tag):  # noqa: N802
        self._local.tag = tag

    def cancelJobsWithTag(self, tag):  # noqa: N802
        self.cancelled.add(tag)

    def addPyFile(self, path):  # noqa: N802
        self.shipped.append(path)

    def stop(self):
        self.is_stopped = True

    def range(self, start, end, step, partitions):
        assert (start, end, step) == (0, partitions, 1)
        return _Range(self, partitions)


@dataclass
class _Range:
    spark: ThreadSpark
    partitions: int

    def mapInArrow(self, function, schema):  # noqa: N802
        assert schema == "outcome string"
        return _Mapped(self.spark, self.partitions, function)


@dataclass
class _Mapped:
    spark: ThreadSpark
    partitions: int
    function: object

    def collect(self):
        tag = self.spark._local.tag
        self.spark.jobs.append((tag, self.partitions))
        if self.spark.fails is not None and len(self.spark.jobs) > self.spark.spares:
            raise self.spark.fails
        rows = {}
        slots = threading.Semaphore(self.spark.slots)
        threads = [
            threading.Thread(
                target=self._partition if self.spark.has_executors else threading.Event().wait,
                args=(index, rows, slots) if self.spark.has_executors else (),
                daemon=True,
            )
            for index in range(self.partitions)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.01)
                if tag in self.spark.cancelled:
                    raise Cancelled(tag)
        return [(text,) for index in range(self.partitions) for text in rows[index]]

    def _partition(self, index, rows, slots):
        with slots:
            batch = pa.RecordBatch.from_arrays([pa.array([index])], ["id"])
            batches = list(self.function(iter([batch])))
            rows[index] = [text for batch in batches for text in batch.column(0).to_pylist()]
