"""Work for workers: inspects a table without a plan: its columns, how they differ from the model, and advice."""

from __future__ import annotations

from statekeeper.engines.context import WorkContext
from statekeeper.errors import PlanError
from statekeeper.model.mark import TAKEN_BEFORE
from statekeeper.model.plan import PlannedColumn, mark_column
from statekeeper.plan.make_plan import PlanSpec, _agreement, _require_named_columns
from statekeeper.plan.window_source import notes_on_late_commits, time_axis
from statekeeper.schemas.columns.differences import Compared
from statekeeper.schemas.model.load import load_model


def describe_table(spec: PlanSpec, context: WorkContext) -> tuple[PlannedColumn, ...]:
    """The columns of the file, as reconciled between model and database, without reading a row.

    Raises:
        SourceError, PlanError: as `make_plan`.
    """
    session = context.session()
    described = session.describe(spec.config.relation)
    columns = _agreement(spec, described).columns
    time_axis(spec.config, described, session, spec.coverage)
    _require_named_columns(spec.config, described, columns, session)
    return (*columns, mark_column(TAKEN_BEFORE)) if spec.config.mark_taken_before else columns


def compare_table(spec: PlanSpec, context: WorkContext) -> Compared:
    """How model and live table differ, and whether a plan would be refused now; reads no row.

    Nullability is not compared for a query, because nobody declares it for the columns of a query.

    Raises:
        SourceError: the table does not exist or may not be read.
        PlanError: the model cannot describe any table.
    """
    from statekeeper.schemas.columns.drift import Expectation, agree
    from statekeeper.schemas.columns.reconcile import compare, declaration

    config = spec.config
    described = context.session().describe(config.relation)
    model = load_model(config.model, base=spec.model_folder)
    found = compare(described, model)
    is_refused = False
    try:
        agree(described, Expectation(config.model, model, None, config.on_drift))
    except PlanError:
        is_refused = True
    differences = found.differences if config.custom_query is None else found.refused
    declarations = {column.name: declaration(column, config.model) for column in described}
    return Compared(differences=tuple(one.declared_as(declarations) for one in differences), is_refused=is_refused)


def advise_on_table(spec: PlanSpec, context: WorkContext) -> tuple[str, ...]:
    """What a person should know before the table is extracted, a sentence each.

    Raises:
        SourceError, PlanError: it cannot be extracted at all; the hint says what to grant, or what to select instead.
    """
    from statekeeper.plan.table_columns import check_table_columns
    from statekeeper.schemas.columns.readers import check_readers

    session = context.session()
    described = session.describe(spec.config.relation)
    columns = _agreement(spec, described).columns
    notes = (
        *check_readers(columns, spec.readers, spec.layout),
        *check_table_columns(spec.config, columns, spec.table_columns),
    )
    late = notes_on_late_commits(spec.config, described, session)
    return (*notes, *session.advise(spec.config.relation), *late)
