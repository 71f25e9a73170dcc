"""The interface of an engine: what a run needs to have its jobs done.

An engine decides where and in which order jobs run, and keeps within each source's session budget. It never retries: a
job ends with its result or with one error, and `statekeeper.runtime.retried_jobs` decides what follows.
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
"""About how many rows of a file are copied or read back while one is read from a database.

Job sizes are divided by it, so that those of jobs on files and of jobs on databases compare.
"""


class Urgency(IntEnum):
    """Which jobs start first. Control jobs are short, and others wait for them; chunks are most of the work."""

    CONTROL = 0
    CHUNK = 1


@dataclass(frozen=True)
class Job(Generic[Result]):
    """A job: `work(spec, context)`, called in some process.

    `size` (estimated rows) orders chunks. `on_start` is called in the parent when the job begins, `on_rows` as rows
    are read. `remote_result_type` is the type of the result if the job may run on another machine; then paths in the
    spec are absolute, and pydantic reads the result back from JSON. Without it the job runs on this machine.
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
    """Runs jobs until it is closed, at the end of each run."""

    async def run(self, job: Job[Result]) -> Result:
        """The job's result.

        Cancelling the caller cancels the job: a waiting job is dropped; a running one is told to stop between two
        batches, and killed if it does not.

        Raises:
            StatekeeperError: what the job raised, or WorkerDied.
        """

    def expect_chunks(self) -> None:
        """Prepare for chunks: begin to start what takes long to start, unless it is started. This does not wait."""

    @property
    def in_flight(self) -> int:
        """How many jobs of one table should run or be queued at once; more would only cost memory and time."""

    def why_waiting(self, job: Job[Any]) -> tuple[WaitKind, str]:
        """What a job must wait for before it starts; see `statekeeper.engines.waiting.Wait`."""

    async def close(self) -> None:
        """Stop everything. No process of the engine is left when this returns."""

    def kill(self) -> None:
        """Kill every process of the engine at once."""


@dataclass(frozen=True)
class EngineSetup:
    """What an engine is started with for one run.

    `modules` names the modules that jobs need, to be imported in advance. `spark` is the caller's Spark session, if it
    has one.
    """

    pipeline: Pipeline
    run_id: str
    modules: tuple[str, ...] = ()
    spark: object | None = None


class EngineType(ABC):
    """Starts an engine for each run.

    An instance is registered by the entry point `statekeeper.engines`, or passed as `engine=` to the classes of the
    Python API.
    """

    most_active_tables: ClassVar[int] = 8
    """The default of `execution.active_tables`: how many tables are between plan and publication at once."""

    @abstractmethod
    def start(self, setup: EngineSetup) -> Engine:
        """An engine for one run. It keeps to the `session_budget` of each source, and imports no code of the jobs.

        Raises:
            ConfigError: the engine cannot do what the configuration asks for.
        """
