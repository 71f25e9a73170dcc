"""The engines by name, and how the two shipped ones divide each source's sessions among processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from statekeeper.config.sections import engines
from statekeeper.engines.context import JobSource
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Engine, EngineSetup, EngineType
from statekeeper.store.layout import spark_exchange

if TYPE_CHECKING:
    from statekeeper.config.sections.source import SourceSection

ENGINES = replace(
    engines.ENGINES,
    shipped={name: f"{__package__}.{place}" for name, place in engines.ENGINES.shipped.items()},
)
"""The registry of engines; each entry is an EngineType."""


def engine_type(name: str) -> EngineType:
    """The EngineType of this name.

    Raises:
        ConfigError: there is no such engine, or the package that provides it is faulty.
    """
    found: EngineType = ENGINES.instance(name, EngineType)
    return found


class LocalType(EngineType):
    """Worker processes on this machine."""

    def start(self, setup: EngineSetup) -> LocalEngine:
        workers = setup.pipeline.execution.workers
        return _local(setup, lambda source: source.session_budget(workers=workers))


class SparkType(EngineType):
    """Executors for chunks, and worker processes on this machine for plans and counts."""

    most_active_tables = 100  # their chunks can share one Spark job

    def start(self, setup: EngineSetup) -> Engine:
        from statekeeper.engines.spark.engine import SparkEngine, SparkSettings
        from statekeeper.engines.spark.session import hold_session

        pipeline = setup.pipeline
        execution, workers = pipeline.execution, pipeline.execution.workers
        shared = {name: source for name, source in pipeline.sources.items() if can_be_shared(source)}
        settings = SparkSettings(
            exchange=spark_exchange(pipeline.base_path.absolute(), setup.run_id, uuid4().hex[:12]),
            sources={name: JobSource(name, source.anchored(pipeline.root)) for name, source in shared.items()},
            budgets={name: on_executors(source) for name, source in shared.items()},
            memory_limit=f"{execution.memory_limit}B",
            heartbeat_timeout=pipeline.output.lease_lifetime,
            parallelism=execution.spark.parallelism,
            secrets=pipeline.secrets,
            private=pipeline.private_tables,
            modules=setup.modules,
            storage=pipeline.storage,
        )
        return SparkEngine(
            settings,
            control=_local(setup, lambda source: on_driver(source, workers=workers)),
            open_session=lambda: hold_session(execution.spark, given=setup.spark),
        )


LOCAL, SPARK = LocalType(), SparkType()


def can_be_shared(source: SourceSection) -> bool:
    """Whether a source allows several sessions. With only one, the driver reads everything, since it plans there."""
    return source.session_budget(workers=2) > 1


def on_driver(source: SourceSection, *, workers: int) -> int:
    """How many sessions the driver may have with a source that executors read too: a quarter, for plans and counts."""
    if source.max_sessions is None or not can_be_shared(source):
        return source.session_budget(workers=workers)
    return min(workers, max(1, source.max_sessions // 4))


def on_executors(source: SourceSection) -> int | None:
    """How many sessions all executors together may have with a shared source; None is no limit but parallelism."""
    if source.max_sessions is None:
        return None
    return source.max_sessions - max(1, source.max_sessions // 4)


def _local(setup: EngineSetup, budget: Callable[[SourceSection], int]) -> LocalEngine:
    pipeline = setup.pipeline
    return LocalEngine(
        workers=pipeline.execution.workers,
        budgets={name: budget(source) for name, source in pipeline.sources.items()},
        memory_limit=f"{pipeline.execution.memory_limit}B",
        secrets=pipeline.secrets,
        private=pipeline.private_tables,
        modules=setup.modules,
    )
