"""Asks a database for the columns of its tables; reads no rows."""

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
    """Describe the requested tables or views.

    Raises:
        SourceError: and its subclasses; one of them does not exist.
    """
    with closing(open_session(config)) as session:
        return tuple(TableDraft(relation, session.describe(relation)) for relation in relations)


def describe_all(
    config: SourceSection, schemas: tuple[str, ...], choose: Callable[[Relation], bool]
) -> tuple[TableDraft, ...]:
    """Describe every table that `choose` accepts, of the named schemas or of the source's default one.

    A table that cannot be described says why in its `failure`.

    Raises:
        SourceError: and its subclasses; the source cannot be reached, or has no tables there.
    """
    relations = [relation for relation in list_tables(config, schemas) if choose(relation)]
    with closing(open_session(config)) as session:
        return tuple(_described(session, relation) for relation in relations)


def describe_configured(tables: Sequence[ExtractionConfig]) -> tuple[TableDraft, ...]:
    """Describe a configuration's tables and queries, with one session per source.

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
