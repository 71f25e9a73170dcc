"""The types of sources that a configuration may name, and the section of each.

Decides nothing else about sources: `statekeeper.sources.registry` opens their sessions. This module is loaded before
anything else of a pipeline, and imports a section only when it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from statekeeper.errors import ConfigError
from statekeeper.registry import Registry

if TYPE_CHECKING:
    from statekeeper.config.sections.source import SourceSection

GROUP = "statekeeper.sources"
SECTIONS = Registry(
    group=GROUP,
    what="type of source",
    shipped={
        "duckdb": "statekeeper.config.sections.duckdb:DuckDBSource",
        "oracle": "statekeeper.config.sections.oracle:OracleSource",
    },
)
"""The types of sources. A shipped one is registered here by its section; the rest is `SOURCE` in
`statekeeper.sources.<type>.source`. An entry point names a `statekeeper.sources.protocol.SourceType`, which has both.
"""


def section_of(name: str) -> type[SourceSection]:
    """The class of a section of `sources:` with this `type`.

    Raises:
        ConfigError: there is no such type, or its package cannot be loaded.
    """
    from statekeeper.config.sections.source import SourceSection

    loaded = SECTIONS.load(name)
    section = loaded if name in SECTIONS.shipped else getattr(loaded, "section", None)
    if not (isinstance(section, type) and issubclass(section, SourceSection) and section.type_name() == name):
        raise ConfigError(
            f"the type of source {name} has no section of its own",
            hint=f"{SECTIONS.module_of(name)} must register an object whose `section` is a subclass of SourceSection "
            f"with `type: Literal[{name!r}]`",
        )
    return section


def loadable_sections() -> tuple[type[SourceSection], ...]:
    """The sections of all types, for messages, without those whose packages cannot be imported."""
    found = []
    for name in SECTIONS.names:
        try:
            found.append(section_of(name))
        except ConfigError:
            continue
    return tuple(found)
