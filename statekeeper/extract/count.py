"""The source's own count of a table's rows at the plan's snapshot: work for workers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from statekeeper.config.resolved import ExtractionConfig, Reconcile
from statekeeper.engines.context import WorkContext
from statekeeper.model.plan import ReadSpec
from statekeeper.model.receipt import CountReceipt


@dataclass(frozen=True)
class CountSpec:
    """The inputs of `count_rows`."""

    config: ExtractionConfig
    plan_id: str
    reading: ReadSpec


def count_rows(spec: CountSpec, context: WorkContext) -> CountReceipt:
    """The source's own count at the plan's snapshot."""
    session = context.session()
    counted = session.count(spec.reading)
    return CountReceipt(
        plan_id=spec.plan_id,
        rows=counted.rows,
        null_incremental_rows=counted.null_incremental_rows,
        ended_at=datetime.now(UTC),
    )


def needs_count(config: ExtractionConfig) -> bool:
    """Whether the source must count its rows."""
    return config.reconcile is Reconcile.COUNT
