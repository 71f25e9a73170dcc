"""What a type of source brings, by its name: a session, a list of tables, addresses.

Only the type that is asked for is imported, and its driver with its first session. The names stand in
`statekeeper.config.sections.sources`; what a shipped type brings is `SOURCE` in the module `source` of the package of
its name here.
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
"""The types of sources, as what each brings."""


def source_type(name: str) -> SourceType[Any]:
    """What the type of source of this name brings.

    Raises:
        ConfigError: there is no such type, or the package that brings it is at fault.
    """
    from statekeeper.sources.protocol import SourceType

    found: SourceType[Any] = SOURCES.instance(name, SourceType)
    return found


def open_session(config: SourceSection, *, memory_limit: str = "512MB") -> SourceSession:
    """A new session with the source that `config` describes; `memory_limit` is in DuckDB's notation.

    Raises:
        SourceUnreachable: no session can be opened at all.
        LoginRefused: the source refused the credentials.
        TransientSourceError: none can be opened now, and a later attempt may succeed.
    """
    return source_type(config.type_name()).open_session(config, memory_limit=memory_limit)


def list_tables(config: SourceSection, schemas: tuple[str, ...]) -> tuple[Relation, ...]:
    """The tables (not the views) of the named schemas, in order; without a name, those of the source's own choice.

    Raises:
        SourceError: and its subclasses, as `open_session`; or a schema has no tables that may be seen.
    """
    return source_type(config.type_name()).list_tables(config, schemas)


def addresses_of(config: SourceSection) -> tuple[Address, ...]:
    """Where sessions with the source connect to, any of them being enough; none for a file, or if it cannot be told."""
    return source_type(config.type_name()).addresses(config)


def session_modules(types: Iterable[str]) -> tuple[str, ...]:
    """What a process imports at its first session with a source of each of these types; nothing is imported here."""
    wanted = sorted({*types})
    shipped = [f"{__package__}.{name}.session" for name in wanted if name in SOURCES.shipped]
    added = [SOURCES.module_of(name) for name in wanted if name not in SOURCES.shipped and SOURCES.has(name)]
    return (*shipped, *added)
