"""The kinds of something that packages may add to: sources, engines, stores.

The kinds that statekeeper ships stand in a table, so that they are there also where it runs without being installed (as
on executors of Spark, which get it as a zip file). All others are entry points of installed distributions. Names are
known without importing anything; only the kind that is asked for is imported.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from statekeeper.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclass(frozen=True)
class Registry:
    """The kinds of one axis.

    `group` is the group of entry points that adds to it, `what` the word for one of its kinds, and `shipped` says of
    each kind that statekeeper brings where it is defined: `package.module:NAME`. A shipped kind cannot be replaced.
    """

    group: str
    what: str
    shipped: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Every kind that there is: the shipped ones in their order, then those of installed packages."""
        added = {point.name for point in self._installed()}
        return (*self.shipped, *sorted(added - {*self.shipped}))

    def has(self, name: str) -> bool:
        """Whether there is a kind of this name."""
        return name in self.shipped or any(point.name == name for point in self._installed())

    def module_of(self, name: str) -> str:
        """The module that defines a kind. Raises as `load`."""
        return self.shipped[name].partition(":")[0] if name in self.shipped else self._added(name).module

    def load(self, name: str) -> Any:
        """What defines a kind, imported now.

        Raises:
            ConfigError: there is no such kind, or the package that brings it cannot be imported.
        """
        if name in self.shipped:
            module, _, attribute = self.shipped[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        point = self._added(name)
        try:
            return point.load()
        except Exception as error:
            raise ConfigError(
                f"the {self.what} {name} of {_package(point)} cannot be imported: {type(error).__name__}: {error}",
                hint=f"python -c 'import {point.module}' shows the whole traceback",
            ) from error

    def instance(self, name: str, of: type[object]) -> Any:
        """What brings a kind, where that is an object of the class `of`.

        Raises:
            ConfigError: as `load`, or the package registers something else.
        """
        found = self.load(name)
        if not isinstance(found, of):
            raise ConfigError(
                f"the {self.what} {name} must be an instance of a subclass of {of.__name__}; "
                f"found {type(found).__name__}",
                hint=f"correct what {self.module_of(name)} registers",
            )
        return found

    def unknown(self, name: str) -> ConfigError:
        """The error of a name that no kind has."""
        return ConfigError(
            f"expected the {self.what} as one of {', '.join(map(repr, self.names))}; found {name!r}",
            hint=self.hint_of_more,
        )

    @property
    def hint_of_more(self) -> str:
        """Where further kinds come from."""
        return f"an installed package may bring another {self.what}, by an entry point {self.group} (docs/extending.md)"

    def _installed(self) -> tuple[EntryPoint, ...]:
        from importlib.metadata import entry_points  # slow to import, and mostly only shipped kinds are asked for

        return tuple(entry_points(group=self.group))

    def _added(self, name: str) -> EntryPoint:
        found = [point for point in self._installed() if point.name == name]
        if not found:
            raise self.unknown(name)
        if len({point.value for point in found}) > 1:
            brought = " and ".join(sorted(map(_package, found)))
            raise ConfigError(f"{brought} both bring the {self.what} {name}", hint="uninstall all but one")
        return found[0]


def _package(point: EntryPoint) -> str:
    """The distribution that an entry point belongs to, for messages."""
    return f"the package {point.dist.name}" if point.dist is not None else f"the module {point.module}"
