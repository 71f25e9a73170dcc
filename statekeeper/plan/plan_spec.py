"""Collects the inputs of a plan in the parent process, for a run and for its preview.

`statekeeper.plan.history` reads scope and columns of earlier extractions; a worker makes the plan in
`statekeeper.plan.make_plan`.
"""

from __future__ import annotations

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.model.plan import Snapshot
from statekeeper.model.record import StateRecord
from statekeeper.plan.history import baseline_of, scope_or_watermarks
from statekeeper.plan.make_plan import PlanSpec
from statekeeper.runtime.context import Run


async def spec_of_plan(
    config: ExtractionConfig, run: Run, record: StateRecord, *, fingerprint: str, run_snapshot: Snapshot | None
) -> PlanSpec:
    """The inputs of a table's plan, which reads at `run_snapshot` or, without one, takes its own snapshot.

    Raises:
        StateDamaged: a commit record of another run cannot be read.
        StorageError: the file system refused.
    """
    do, layout = run.threads.disk.do, run.layout_of(config)
    scope, earlier = await do(scope_or_watermarks, run.disk, layout, config, record, fingerprint)
    baseline = await do(baseline_of, run.disk, layout, config, fingerprint)
    return PlanSpec(
        config=config,
        run_id=run.run_id,
        extraction_date=run.extraction_date,
        scope=scope,
        earlier_watermarks=earlier,
        model_folder=run.model_folder,
        run_snapshot=run_snapshot,
        baseline=baseline,
        readers=run.pipeline.output.readers,
        layout=run.pipeline.output.layout,
    )


def spec_of_look(config: ExtractionConfig, run: Run) -> PlanSpec:
    """The inputs for inspecting a table without a plan: nothing from its earlier extractions."""
    return PlanSpec(
        config=config,
        run_id=run.run_id,
        extraction_date=run.extraction_date,
        scope=None,
        earlier_watermarks=(),
        model_folder=run.model_folder,
        readers=run.pipeline.output.readers,
        layout=run.pipeline.output.layout,
    )
