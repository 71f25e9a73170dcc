"""Asks a database what its tables are; nothing of them is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.config.sections.source import SourceSection
from statekeeper.errors import LoginRefused, PlanError, SourceError, SourceUnreachable, TransientSourceError
from statekeeper.model.table import Relation, TableRef
from statekeeper.scaffold.tables import TableDraft
from statekeeper.sources.protocol import SourceSession
from statekeeper.sources.registry import list_tables, open_session


def describe_named(config: SourceSection, relations: Sequence[Relation]) -> tuple[TableDraft, ...]:
    """The tables or views that were asked for.

    Raises:
        SourceError: and its subclasses; one of them is not there.
    """
    with closing(open_session(config)) as session:
        return tuple(TableDraft(relation, session.describe(relation)) for relation in relations)


def describe_all(
    config: SourceSection, schemas: tuple[str, ...], choose: Callable[[Relation], bool]
) -> tuple[TableDraft, ...]:
    """Every table of the named schemas, or of the source's own, that is chosen; one that cannot be described says why.

    Raises:
        SourceError: and its subclasses; the source cannot be reached, or has no tables there.
    """
    relations = [relation for relation in list_tables(config, schemas) if choose(relation)]
    with closing(open_session(config)) as session:
        return tuple(_described(session, relation) for relation in relations)


def describe_configured(tables: Sequence[ExtractionConfig]) -> tuple[TableDraft, ...]:
    """The tables and queries of a configuration; one that cannot be described says why. One session a source.

    Raises:
        SourceError: and its subclasses; a source cannot be reached.
    """
    drafts: dict[TableRef, TableDraft] = {}
    for name in dict.fromkeys(config.table.source_name for config in tables):
        of_source = [config for config in tables if config.table.source_name == name]
        with closing(open_session(of_source[0].source_here)) as session:
            for config in of_source:
                drafts[config.table] = replace(_described(session, config.relation), configured=config.table)
    return tuple(drafts[config.table] for config in tables)


def _described(session: SourceSession, relation: Relation) -> TableDraft:
    try:
        return TableDraft(relation, session.describe(relation))
    except (TransientSourceError, LoginRefused, SourceUnreachable):
        raise
    except (SourceError, PlanError) as error:
        return TableDraft(relation, failure=error.message)
