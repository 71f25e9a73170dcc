"""Which engine a pipeline asks for, and how the sessions of its sources are shared out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, assert_never
from uuid import uuid4

from statekeeper.config.resolved import EngineKind, Pipeline, SourceSection
from statekeeper.engines.context import JobSource
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Engine
from statekeeper.store.layout import spark_exchange


def engine_of(pipeline: Pipeline, *, run_id: str, modules: Sequence[str] = (), spark: Any | None = None) -> Engine:
    """The engine of `execution.engine`.

    `modules` are those that the work needs, by name; `spark` is a session to use, where the caller has one.
    """
    match pipeline.execution.engine:
        case EngineKind.LOCAL:
            return local_engine(pipeline, modules=modules)
        case EngineKind.SPARK:
            return spark_engine(pipeline, run_id=run_id, modules=modules, spark=spark)
        case _ as never:
            assert_never(never)


def local_engine(pipeline: Pipeline, *, modules: Sequence[str] = ()) -> LocalEngine:
    """The worker processes that a pipeline asks for."""
    workers = pipeline.execution.workers
    return _local(pipeline, lambda source: source.session_budget(workers=workers), modules)


def spark_engine(pipeline: Pipeline, *, run_id: str, modules: Sequence[str] = (), spark: Any | None = None) -> Engine:
    """Executors for chunks, and worker processes of this machine for what is planned and counted."""
    from statekeeper.engines.spark.engine import SparkEngine, SparkSettings
    from statekeeper.engines.spark.session import hold_session

    execution, workers = pipeline.execution, pipeline.execution.workers
    shared = {name: source for name, source in pipeline.sources.items() if can_be_shared(source)}
    settings = SparkSettings(
        exchange=spark_exchange(pipeline.base_path.absolute(), run_id, uuid4().hex[:12]),
        sources={name: JobSource(name, source.anchored(pipeline.root)) for name, source in shared.items()},
        budgets={name: on_executors(source) for name, source in shared.items()},
        memory_limit=f"{execution.memory_limit}B",
        heartbeat_timeout=pipeline.output.lease_lifetime,
        parallelism=execution.spark.parallelism,
        secrets=pipeline.secrets,
        private=pipeline.private_tables,
        modules=tuple(modules),
    )
    return SparkEngine(
        settings,
        control=_local(pipeline, lambda source: on_driver(source, workers=workers), modules),
        open_session=lambda: hold_session(execution.spark, given=spark),
    )


def can_be_shared(source: SourceSection) -> bool:
    """Whether a source allows several sessions: with one alone, everything is read where it was planned."""
    return source.session_budget(workers=2) > 1


def on_driver(source: SourceSection, *, workers: int) -> int:
    """How many sessions of a source the driver may have beside executors, for planning and counting: a quarter."""
    if source.max_sessions is None or not can_be_shared(source):
        return source.session_budget(workers=workers)
    return min(workers, max(1, source.max_sessions // 4))


def on_executors(source: SourceSection) -> int | None:
    """How many sessions of a shared source all executors may have; None is as many as read at once."""
    if source.max_sessions is None:
        return None
    return source.max_sessions - max(1, source.max_sessions // 4)


def _local(pipeline: Pipeline, budget: Callable[[SourceSection], int], modules: Sequence[str]) -> LocalEngine:
    return LocalEngine(
        workers=pipeline.execution.workers,
        budgets={name: budget(source) for name, source in pipeline.sources.items()},
        memory_limit=f"{pipeline.execution.memory_limit}B",
        secrets=pipeline.secrets,
        private=pipeline.private_tables,
        modules=modules,
    )
