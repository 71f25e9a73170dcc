"""Readings: what a session is asked for where a test needs no more of a plan than that."""

from __future__ import annotations

from collections.abc import Iterable

from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import PlannedColumn, ReadSpec
from statekeeper.model.table import ExtractionMode, Relation, Scope
from statekeeper.sources.protocol import SourceSession

FULL = Scope(mode=ExtractionMode.FULL)


def planned(columns: Iterable[SourceColumn]) -> tuple[PlannedColumn, ...]:
    """The columns that can be read, each in the file as it is read."""
    return tuple(
        PlannedColumn(name=one.name, database_type=one.database_type, read_type=one.read_type, arrow_type=one.read_type)
        for one in columns
        if one.read_type is not None
    )


def reading(session: SourceSession, relation: Relation, *, scope: Scope = FULL) -> ReadSpec:
    """All columns of a relation, as of a snapshot that is taken now."""
    return ReadSpec(
        relation=relation,
        snapshot=session.take_snapshot(relation),
        scope=scope,
        columns=planned(session.describe(relation)),
    )
