"""Which types of sources a configuration may name, and the section of each.

Decides nothing else about sources: how a session is opened is `statekeeper.sources.registry`'s matter, to which this
table is known. It is read before anything of a pipeline, and imports no section that is not asked for.
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
"""The types of sources. A shipped one is registered here by its section alone: the rest is `SOURCE` in the module
`source` of the package of its name below `statekeeper.sources`. What an entry point names is a
`statekeeper.sources.protocol.SourceType`, which has both.
"""


def section_of(name: str) -> type[SourceSection]:
    """The class that a section of `sources:` with this `type` is.

    Raises:
        ConfigError: there is no such type, or its package is at fault.
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
    """The section of every type, for messages; without those whose packages cannot be imported."""
    found = []
    for name in SECTIONS.names:
        try:
            found.append(section_of(name))
        except ConfigError:
            continue
    return tuple(found)
