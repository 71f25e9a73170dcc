"""Makes a plan in a worker: one snapshot, the columns as reconciled between model and database, the scope, the chunks.

Modules that need Arrow are imported inside the functions, because the parent process only sends this work to a worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from statekeeper.config.resolved import ChunkingStrategy, ExtractionConfig, NullRows, Reader
from statekeeper.config.sections.dates import read_moment
from statekeeper.engines.context import WorkContext
from statekeeper.errors import PlanError, StatekeeperError
from statekeeper.model.column import SourceColumn
from statekeeper.model.drift import Baseline
from statekeeper.model.mark import TAKEN_BEFORE
from statekeeper.model.packed import Packed
from statekeeper.model.plan import Chunk, NullCount, Plan, PlannedColumn, ReadSpec, Snapshot
from statekeeper.model.table import REFERENCES, UNIQUE, Layout, Scope
from statekeeper.plan.axis import TimeAxis
from statekeeper.plan.coverage import Coverage
from statekeeper.plan.number_window import decide_number_scope, late_numbers
from statekeeper.plan.window import decide_scope, note_on_end
from statekeeper.plan.window_source import open_since, time_axis
from statekeeper.schemas.model.load import load_model
from statekeeper.sources.columns import named_column
from statekeeper.sources.protocol import ChunkPlan, SourceSession

if TYPE_CHECKING:
    from statekeeper.schemas.columns.drift import Agreement


@dataclass(frozen=True)
class PlanSpec:
    """The inputs of a plan.

    `scope` is the scope of an earlier plan of the same extraction, if it is kept; without one it is decided from the
    `coverage` of the table's other extractions. `run_snapshot` is the snapshot for all tables of the run; without one
    the plan takes its own. `baseline` has the columns of the table's last complete extraction.
    """

    config: ExtractionConfig
    run_id: str
    extraction_date: date
    scope: Scope | None
    coverage: Coverage
    model_folder: Path
    run_snapshot: Snapshot | None = None
    baseline: Baseline | None = None
    readers: tuple[Reader, ...] | None = None
    """The readers of `output.readers`."""
    layout: Layout = Layout.DATED
    taken_null_rows: int | None = None
    """The same as `Plan.taken_null_rows`."""
    table_columns: tuple[tuple[str, str], ...] | None = None
    """The columns of the table that it is published into, each with its Arrow type; None without a table."""


def make_plan(spec: PlanSpec, context: WorkContext) -> Plan:
    """A new plan; the caller saves it.

    Raises:
        SourceError: or a subclass: the table does not exist or may not be read.
        SnapshotLost: the table cannot be read at the run's snapshot any more.
        PlanError: the table cannot be extracted as declared; every reason is named.
    """
    from statekeeper.plan.table_columns import check_table_columns, comments_for_table
    from statekeeper.schemas.columns.readers import check_readers
    from statekeeper.schemas.rules.checks import compile_checks

    config = spec.config
    session = context.session()
    try:
        # Take the snapshot before partition lists and bounds are read: they must not be older than the data.
        if spec.run_snapshot is None:
            snapshot = session.take_snapshot(config.relation, at=past_time(config))
        else:
            snapshot = session.join_snapshot(config.relation, spec.run_snapshot)
        described = session.describe(config.relation)
        agreement = _agreement(spec, described)
        model = load_model(config.model, base=spec.model_folder)
        axis = time_axis(config, described, session, spec.coverage)
        _require_named_columns(config, described, agreement.columns, session)
        is_by_numbers = axis is None and config.incremental is not None
        notes = (
            *check_readers(agreement.columns, spec.readers, spec.layout),
            *compile_checks(model, agreement.columns).notes,
            *check_table_columns(config, agreement.columns, spec.table_columns),
        )
        since, late_notes = None, late_numbers(config) if is_by_numbers else ()
        if axis is not None and spec.scope is None:
            since, late_notes = open_since(config, snapshot, session)
        scope = spec.scope or (
            _number_scope(spec, session, snapshot) if is_by_numbers else _time_scope(spec, snapshot, axis, since)
        )
        shortened = (
            None
            if axis is None or spec.scope
            else note_on_end(scope, snapshot_time=snapshot.taken_at, axis=axis, open_since=since)
        )
        pieces = session.plan_chunks(config.relation, scope, snapshot, config.chunking)
        comments = comments_for_table(config, session, model, agreement.columns)
        null_notes = _notes_on_null_rows(config, pieces, scope)
    except StatekeeperError as error:
        if config.table.key in error.message:
            raise
        raise error.within(config.table.key) from error
    return Plan(
        plan_id=uuid4().hex,
        run_id=spec.run_id,
        table=config.table,
        created_at=datetime.now(UTC),
        reading=ReadSpec(
            relation=config.relation,
            snapshot=snapshot,
            scope=scope,
            columns=agreement.columns,
            left_out=agreement.left_out,
            relation_state=pieces.relation_state,
            null_count=NullCount.UNCOUNTED if config.null_rows is NullRows.IGNORE else pieces.null_count,
        ),
        chunks=Packed(Chunk, pieces.chunks),
        drift=agreement.changes,
        taken_null_rows=spec.taken_null_rows,
        comments=comments,
        notes=(
            *_drift_notes(agreement, config),
            *((shortened,) if shortened else ()),
            *late_notes,
            *notes,
            *null_notes,
            *pieces.notes,
        ),
    )


def _time_scope(spec: PlanSpec, snapshot: Snapshot, axis: TimeAxis | None, since: datetime | None) -> Scope:
    return decide_scope(
        spec.config,
        extraction_date=spec.extraction_date,
        snapshot_time=snapshot.taken_at,
        coverage=spec.coverage,
        axis=axis,
        open_since=since,
    )


def _number_scope(spec: PlanSpec, session: SourceSession, snapshot: Snapshot) -> Scope:
    assert spec.config.incremental is not None
    greatest = session.greatest_number(spec.config.relation, spec.config.incremental.column, snapshot)
    return decide_number_scope(
        spec.config, extraction_date=spec.extraction_date, greatest=greatest, coverage=spec.coverage
    )


def _notes_on_null_rows(config: ExtractionConfig, pieces: ChunkPlan, scope: Scope) -> tuple[str, ...]:
    """A note if rows without a value in the incremental column are not counted. Raises PlanError if they must be."""
    if scope.window is None or config.null_rows is NullRows.IGNORE:
        return ()
    column, advice = scope.window.column, pieces.null_advice
    is_uncounted = pieces.null_count is NullCount.UNCOUNTED
    if config.null_rows is NullRows.FAIL and (is_uncounted or advice):
        raise PlanError(
            f"rows without a value in {column} are in no window, and cannot be counted cheaply (null_rows: fail)",
            hint=advice or "set null_rows: ignore",
        )
    if not is_uncounted:
        return ()
    cure = f": {advice}" if advice else ""
    return (f"rows without a value in {column} are in no window, and are not counted{cure}",)


def _agreement(spec: PlanSpec, described: tuple[SourceColumn, ...]) -> Agreement:
    """The database's columns reconciled with the model, or without one with the last extraction. Raises PlanError."""
    from statekeeper.schemas.columns.drift import Expectation, agree

    config = spec.config
    model = load_model(config.model, base=spec.model_folder)
    expected = Expectation(config.model, model, spec.baseline, config.on_drift)
    return agree(described, expected)


def _drift_notes(agreement: Agreement, config: ExtractionConfig) -> tuple[str, ...]:
    return tuple(
        f"{change} (on_drift: {config.on_drift})" if change.is_by_policy else str(change)
        for change in agreement.changes
    )


def _require_named_columns(
    config: ExtractionConfig,
    described: tuple[SourceColumn, ...],
    columns: tuple[PlannedColumn, ...],
    session: SourceSession,
) -> None:
    """Require the columns that the config names for chunks and keys.

    The columns that a reference names in another table are checked here if that table is in the same source, otherwise
    when both are extracted.

    Raises:
        PlanError: a column is missing.
    """
    key = config.table.key
    if config.mark_taken_before:
        _require_markable(config, described, columns)
    if config.chunking.strategy is ChunkingStrategy.KEY and config.chunking.column is not None:
        named_column(described, config.chunking.column, f"{key}: chunking")
    for name in chain.from_iterable(config.keys.unique):
        named_column(columns, name, UNIQUE)
    for reference in config.keys.references:
        for name in reference.columns:
            named_column(columns, name, REFERENCES)
        if reference.parent.source_name == config.table.source_name:
            described = session.describe(reference.parent_relation)
            for name in reference.parent_columns:
                named_column(described, name, f"{config.table.key}: {REFERENCES}: {reference.parent.key}")


def _require_markable(
    config: ExtractionConfig, described: tuple[SourceColumn, ...], columns: tuple[PlannedColumn, ...]
) -> None:
    """Require that the name of the mark is free, and that the values of the keys can be compared exactly."""
    key = config.table.key
    for column in described:
        if column.name.casefold() == TAKEN_BEFORE:
            raise PlanError(
                f"{key}: mark_taken_before adds a column {TAKEN_BEFORE}, and the table has {column.name}",
                hint="give it an alias in a custom_query, or leave mark_taken_before out",
            )
    for name in chain.from_iterable(config.keys.unique):
        found = named_column(columns, name, UNIQUE)
        if found.arrow_type.startswith("decimal256"):
            raise PlanError(
                f"{key}: mark_taken_before compares the columns of unique, and {found.name} has decimals of more than "
                "38 digits, which cannot be compared exactly",
                hint="declare a decimal of at most 38 digits, or leave mark_taken_before out",
            )


def past_time(config: ExtractionConfig) -> datetime | None:
    """The past time at which to read the table; None is now."""
    if not config.flashback_enabled or config.flashback_timestamp is None:
        return None
    return read_moment(config.flashback_timestamp)
