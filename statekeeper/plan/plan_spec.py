"""Collects the inputs of a plan in the parent process, for a run and for its preview.

Which scope and columns earlier extractions leave is decided in `statekeeper.plan.history`, which windows they have
taken in `statekeeper.plan.window_index`. The plan is made in `statekeeper.plan.make_plan`, by a worker.
"""

from __future__ import annotations

from dataclasses import replace

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.model.plan import Snapshot
from statekeeper.model.record import StateRecord
from statekeeper.plan.coverage import Coverage, Interval
from statekeeper.plan.history import baseline_of, kept_scope
from statekeeper.plan.make_plan import PlanSpec
from statekeeper.plan.window_index import WindowIndex
from statekeeper.runtime.context import Run
from statekeeper.runtime.published_table import Columns, columns_to_fit


async def spec_of_plan(
    config: ExtractionConfig, run: Run, record: StateRecord, *, fingerprint: str, run_snapshot: Snapshot | None
) -> PlanSpec:
    """The inputs of a table's plan, which reads at `run_snapshot` or, without one, takes its own snapshot.

    Raises:
        StateDamaged: a commit record of another run cannot be read.
        StorageError: the file system refused, or the table of a format cannot be read.
        DataError: the extraction must not be written to that table.
    """
    do, layout = run.threads.disk.do, run.layout_of(config)
    scope = await do(kept_scope, run.disk, layout, config, record, fingerprint)
    coverage, windows = Coverage(), windows_of(config, run)
    if config.incremental is not None:
        coverage = await do(windows.coverage)
    others = coverage.without((run.extraction_date.isoformat(), run.run_id))
    if scope is not None and others.leaves_hole_before(scope.covered):
        # It is decided anew, to take the hole's rows as well. Its end stays: later windows begin there.
        others = replace(others, claimed=Interval(scope.covered, scope.watermark))
        scope = None
    baseline = await do(baseline_of, run.disk, layout, config, fingerprint)
    return PlanSpec(
        config=config,
        run_id=run.run_id,
        extraction_date=run.extraction_date,
        scope=scope,
        coverage=others,
        model_folder=run.model_folder,
        run_snapshot=run_snapshot,
        baseline=baseline,
        readers=run.pipeline.output.readers,
        layout=run.pipeline.output.layout,
        taken_null_rows=await do(windows.taken_null_rows, others),
        table_columns=await do(columns_to_fit, config, run),
    )


def windows_of(config: ExtractionConfig, run: Run) -> WindowIndex:
    """The windows that the extractions of a table have taken."""
    return WindowIndex(run.disk, run.pipeline.output, config.table, run.layout_of(config))


def spec_of_look(config: ExtractionConfig, run: Run, *, table_columns: Columns | None = None) -> PlanSpec:
    """The inputs for inspecting a table without a plan: nothing from its earlier extractions.

    `table_columns` are those of the table that it is published into.
    """
    return PlanSpec(
        config=config,
        run_id=run.run_id,
        extraction_date=run.extraction_date,
        scope=None,
        coverage=Coverage(),
        model_folder=run.model_folder,
        readers=run.pipeline.output.readers,
        layout=run.pipeline.output.layout,
        table_columns=table_columns,
    )
