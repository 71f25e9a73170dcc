"""Which engine a pipeline asks for, and how the sessions of its sources are shared out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_never
from uuid import uuid4

from statekeeper.config.resolved import EngineKind, Pipeline, SourceConfig
from statekeeper.engines.context import JobSource
from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Engine
from statekeeper.store.layout import spark_mailbox


def engine_of(pipeline: Pipeline, *, run_id: str, spark: Any | None = None) -> Engine:
    """The engine of `execution.engine`; `spark` is a session to use, where the caller has one."""
    match pipeline.execution.engine:
        case EngineKind.LOCAL:
            return local_engine(pipeline)
        case EngineKind.SPARK:
            return spark_engine(pipeline, run_id=run_id, spark=spark)
        case _ as never:
            assert_never(never)


def local_engine(pipeline: Pipeline) -> LocalEngine:
    """The worker processes that a pipeline asks for."""
    workers = pipeline.execution.workers
    return _local(pipeline, lambda source: source.session_budget(workers=workers))


def spark_engine(pipeline: Pipeline, *, run_id: str, spark: Any | None = None) -> Engine:
    """Executors for chunks, and worker processes of this machine for what is planned and counted."""
    from statekeeper.engines.spark.engine import SparkEngine, SparkSettings
    from statekeeper.engines.spark.session import hold_session

    execution, workers = pipeline.execution, pipeline.execution.workers
    shared = {name: source for name, source in pipeline.sources.items() if can_be_shared(source)}
    settings = SparkSettings(
        mailbox=spark_mailbox(pipeline.base_path.absolute(), run_id, uuid4().hex[:12]),
        sources={name: JobSource(name, source.anchored(pipeline.root)) for name, source in shared.items()},
        budgets={name: on_executors(source) for name, source in shared.items()},
        memory_limit=f"{execution.memory_limit}B",
        silence=pipeline.output.lease_lifetime,
        parallelism=execution.spark.parallelism,
        secrets=pipeline.secrets,
        private=pipeline.private_tables,
    )
    return SparkEngine(
        settings,
        control=_local(pipeline, lambda source: on_driver(source, workers=workers)),
        open_session=lambda: hold_session(execution.spark, given=spark),
    )


def can_be_shared(source: SourceConfig) -> bool:
    """Whether a source allows several sessions: with one alone, everything is read where it was planned."""
    return source.session_budget(workers=2) > 1


def on_driver(source: SourceConfig, *, workers: int) -> int:
    """How many sessions of a source the driver may have beside executors, for planning and counting: a quarter."""
    if source.max_sessions is None or not can_be_shared(source):
        return source.session_budget(workers=workers)
    return min(workers, max(1, source.max_sessions // 4))


def on_executors(source: SourceConfig) -> int | None:
    """How many sessions of a shared source all executors may have; None is as many as read at once."""
    if source.max_sessions is None:
        return None
    return source.max_sessions - max(1, source.max_sessions // 4)


def _local(pipeline: Pipeline, budget: Callable[[SourceConfig], int]) -> LocalEngine:
    return LocalEngine(
        workers=pipeline.execution.workers,
        budgets={name: budget(source) for name, source in pipeline.sources.items()},
        memory_limit=f"{pipeline.execution.memory_limit}B",
        secrets=pipeline.secrets,
        private=pipeline.private_tables,
        kinds=[source.type for source in pipeline.sources.values()],
    )
