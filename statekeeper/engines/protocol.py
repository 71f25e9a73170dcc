"""What the run asks of an engine: somewhere for pieces of work to be done.

An engine decides where and in which order jobs run and keeps each source's session budget. It never retries: a job
ends with its result or with one error, and `statekeeper.runtime.retried_jobs` decides what follows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from statekeeper.engines.context import JobSource, WorkContext
from statekeeper.engines.waiting import WaitKind

if TYPE_CHECKING:
    from statekeeper.config.resolved import Pipeline

Result = TypeVar("Result")

FILE_ROWS = 10
"""So many rows of a file are copied, or read back, while one is read from a database: it makes sizes of jobs alike."""


class Urgency(IntEnum):
    """What is started first. Control work is short and others wait for it; chunks are the bulk."""

    CONTROL = 0
    CHUNK = 1


@dataclass(frozen=True)
class Job(Generic[Result]):
    """A piece of work: `work(spec, context)` in some process.

    `size` (estimated rows) orders chunks. `on_start` is called in the parent when the work begins, `on_rows` as rows
    are read. `remote_result_type` is the type of the result where an engine may do the work on another machine: paths
    in the spec are absolute then, and pydantic reads the result back from JSON. Without it the work is done on this
    machine.
    """

    table: str
    work: Callable[[Any, WorkContext], Result]
    spec: object
    urgency: Urgency = Urgency.CONTROL
    source: JobSource | None = None
    size: int = 0
    remote_result_type: type[Result] | None = None
    on_start: Callable[[], None] | None = None
    on_rows: Callable[[int], None] | None = None


class Engine(Protocol):
    """Runs jobs until it is closed, which is at the end of each run."""

    async def run(self, job: Job[Result]) -> Result:
        """The job's result, or its error.

        A cancelled caller takes its job with it: a waiting job is dropped, a running one is told to stop between two
        batches and killed if it does not.

        Raises:
            StatekeeperError: whatever the work raised, or WorkerDied.
        """

    def expect_chunks(self) -> None:
        """Chunks are about to come: what takes long to start is started, if it is not yet. It does not wait."""

    @property
    def in_flight(self) -> int:
        """How many jobs of one table are worth being under way or in the queue; more only cost."""

    def why_waiting(self, job: Job[Any]) -> tuple[WaitKind, str]:
        """What the job, which is about to be run, has to wait for first; see `statekeeper.engines.waiting.Wait`."""

    async def close(self) -> None:
        """Stop everything; no process is left when this returns."""

    def kill(self) -> None:
        """End every process of the engine at once, whatever it is doing."""


@dataclass(frozen=True)
class EngineSetup:
    """What an engine is started with for one run.

    `modules` are those that its work needs, by name, to be imported before it comes. `spark` is a Spark session, where
    the caller has one.
    """

    pipeline: Pipeline
    run_id: str
    modules: tuple[str, ...] = ()
    spark: object | None = None


class EngineType(ABC):
    """What starts an engine for each run. An instance is registered by the entry point `statekeeper.engines`, or passed
    as `engine=` to the classes of the Python API.
    """

    most_active_tables: ClassVar[int] = 8
    """How many tables are between plan and publication at once, where `execution.active_tables` does not say."""

    @abstractmethod
    def start(self, setup: EngineSetup) -> Engine:
        """An engine for one run. It keeps to the `session_budget` of each source, and imports nothing of the work.

        Raises:
            ConfigError: it cannot do what the configuration asks for.
        """
