"""The jobs that a run sends to a source before any table's own: the first login, and one snapshot for all tables."""

from __future__ import annotations

from statekeeper.engines.context import WorkContext
from statekeeper.model.plan import Snapshot
from statekeeper.model.table import Relation


def take_run_snapshot(relations: tuple[Relation, ...], context: WorkContext) -> Snapshot:
    """Take the snapshot at which all tables of the run from a source are read; the caller saves it."""
    return context.session().take_run_snapshot(relations)


def probe_source(_spec: None, context: WorkContext) -> tuple[str, ...]:
    """Log in once, before any other job does: refused credentials must not be tried by every worker.

    Returns the warnings of the source.
    """
    session = context.session()
    session.identity()
    return session.warnings
