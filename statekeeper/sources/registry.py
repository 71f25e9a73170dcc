"""Finds a type of source by its name, and opens sessions, lists tables and gives addresses through it.

Only the requested type is imported, and its driver only with the first session. `statekeeper.config.sections.sources`
has the names. A shipped type is `SOURCE` in `statekeeper.sources.<name>.source`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from statekeeper.config.sections.sources import SECTIONS

if TYPE_CHECKING:
    from statekeeper.config.sections.source import SourceSection
    from statekeeper.model.table import Relation
    from statekeeper.sources.protocol import Address, SourceSession, SourceType

SOURCES = replace(SECTIONS, shipped={name: f"{__package__}.{name}.source:SOURCE" for name in SECTIONS.shipped})
"""The registry of sources; each entry is a SourceType."""


def source_type(name: str) -> SourceType[Any]:
    """The SourceType of this name.

    Raises:
        ConfigError: there is no such type, or the package that provides it is faulty.
    """
    from statekeeper.sources.protocol import SourceType

    found: SourceType[Any] = SOURCES.instance(name, SourceType)
    return found


def open_session(config: SourceSection, *, memory_limit: str = "512MB") -> SourceSession:
    """Open a session with the source that `config` describes; `memory_limit` is in DuckDB's notation.

    Raises:
        SourceUnreachable: no session can be opened at all.
        LoginRefused: the source refused the credentials.
        TransientSourceError: none can be opened now, but a later attempt may succeed.
    """
    return source_type(config.type_name()).open_session(config, memory_limit=memory_limit)


def list_tables(config: SourceSection, schemas: tuple[str, ...]) -> tuple[Relation, ...]:
    """The tables (not the views) of the named schemas, in order; if none is named, the source chooses the schemas.

    Raises:
        SourceError: and its subclasses, as `open_session`; or a schema has no tables that may be seen.
    """
    return source_type(config.type_name()).list_tables(config, schemas)


def addresses_of(config: SourceSection) -> tuple[Address, ...]:
    """The addresses to which sessions with the source connect; see `SourceType.addresses`."""
    return source_type(config.type_name()).addresses(config)


def session_modules(types: Iterable[str]) -> tuple[str, ...]:
    """The modules that a process imports for its first session with each of these types. Imports nothing itself."""
    wanted = sorted({*types})
    shipped = [f"{__package__}.{name}.session" for name in wanted if name in SOURCES.shipped]
    added = [SOURCES.module_of(name) for name in wanted if name not in SOURCES.shipped and SOURCES.has(name)]
    return (*shipped, *added)
