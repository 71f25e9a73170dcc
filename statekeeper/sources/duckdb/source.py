"""The type of source `duckdb`."""

from __future__ import annotations

from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.model.table import Relation
from statekeeper.sources.protocol import SourceSession, SourceType


class DuckDBType(SourceType[DuckDBSource]):
    """DuckDB database files."""

    section = DuckDBSource

    def open_session(self, config: DuckDBSource, *, memory_limit: str) -> SourceSession:
        from statekeeper.sources.duckdb.session import DuckdbSession

        return DuckdbSession(config.path, memory_limit=memory_limit)

    def list_tables(self, config: DuckDBSource, schemas: tuple[str, ...]) -> tuple[Relation, ...]:
        from statekeeper.sources.duckdb.catalog import list_tables

        return list_tables(config.path, schemas)


SOURCE = DuckDBType()
