"""Which tables a source has, for those who do not name them; only the kind that is asked for is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from statekeeper.config.sections.sources import SourceConfig
    from statekeeper.model.table import Relation


def list_tables(config: SourceConfig, schemas: tuple[str, ...]) -> tuple[Relation, ...]:
    """The tables (not the views) of the named schemas, in order; without a name, those of the source's own choice.

    Raises:
        SourceError: and its subclasses, as `open_session`; or a schema has no tables that may be seen.
    """
    match config.type:
        case "duckdb":
            from statekeeper.sources.duckdb.catalog import list_tables as list_duckdb

            return list_duckdb(config.path, schemas)
        case "oracle":
            from statekeeper.sources.oracle.catalog import list_tables as list_oracle

            return list_oracle(config, schemas)
        case _:
            assert_never(config.type)
