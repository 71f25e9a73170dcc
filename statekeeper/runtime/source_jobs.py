"""What a run asks of a source before any table's own work: whether it lets us in, and one snapshot for all."""

from __future__ import annotations

from statekeeper.engines.context import WorkContext
from statekeeper.model.plan import Snapshot
from statekeeper.model.table import Relation


def take_run_snapshot(relations: tuple[Relation, ...], context: WorkContext) -> Snapshot:
    """The snapshot that all tables of the run from a source read at; it is not persisted here."""
    return context.session().take_run_snapshot(relations)


def probe_source(_spec: None, context: WorkContext) -> tuple[str, ...]:
    """Log in once, before anything else does: refused credentials must not be tried by every worker.

    Returns what the source warned of.
    """
    session = context.session()
    session.identity()
    return session.warnings
