"""The type of source `oracle`."""

from __future__ import annotations

from statekeeper.config.sections.oracle import OracleSource
from statekeeper.model.table import Relation
from statekeeper.sources.protocol import Address, SourceSession, SourceType


class OracleType(SourceType[OracleSource]):
    """Oracle databases."""

    section = OracleSource

    def open_session(self, config: OracleSource, *, memory_limit: str) -> SourceSession:
        from statekeeper.sources.oracle.session import OracleSession

        del memory_limit  # the driver has no such limit; what a batch takes is bounded by its bytes
        return OracleSession(config)

    def list_tables(self, config: OracleSource, schemas: tuple[str, ...]) -> tuple[Relation, ...]:
        from statekeeper.sources.oracle.catalog import list_tables

        return list_tables(config, schemas)

    def addresses(self, config: OracleSource) -> tuple[Address, ...]:
        from statekeeper.sources.oracle.login import listener_addresses

        return listener_addresses(config)


SOURCE = OracleType()
