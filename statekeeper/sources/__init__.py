"""Opens sessions with sources of any kind; only the kind that is asked for is imported, and its driver with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, assert_never

if TYPE_CHECKING:
    from statekeeper.config.sections.sources import SourceConfig
    from statekeeper.sources.protocol import SourceSession

SESSION_MODULES = {"duckdb": "statekeeper.sources.duckdb.session", "oracle": "statekeeper.sources.oracle.session"}
"""By a source's `type`, the module that a process imports at its first session with one."""


class Address(NamedTuple):
    """Where a server accepts TCP connections."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def open_session(config: SourceConfig, *, memory_limit: str = "512MB") -> SourceSession:
    """A new session with the source that `config` describes; `memory_limit` is in DuckDB's notation.

    Raises:
        SourceUnreachable: no session can be opened at all.
        LoginRefused: the source refused the credentials.
        TransientSourceError: none can be opened now, and a later attempt may succeed.
    """
    match config.type:
        case "duckdb":
            from statekeeper.sources.duckdb.session import DuckdbSession

            return DuckdbSession(config.path, memory_limit=memory_limit)
        case "oracle":
            from statekeeper.sources.oracle.session import OracleSession

            return OracleSession(config)
        case _:
            assert_never(config.type)


def addresses_of(config: SourceConfig) -> tuple[Address, ...]:
    """Where sessions with the source connect to, any of them being enough; none for a file, or if it cannot be told."""
    match config.type:
        case "duckdb":
            return ()
        case "oracle":
            from statekeeper.sources.oracle.login import listener_addresses

            return listener_addresses(config)
        case _:
            assert_never(config.type)
