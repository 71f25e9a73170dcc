"""The catalog of a table: how it is reached, and what its errors mean.

A commit is sent once. pyiceberg itself would send it again on the table's newer version, which nobody has looked at.
After a refusal it removes the metadata that it has written; but a proxy may have sent the commit twice, and the catalog
accepted the first. So a refusal reaches pyiceberg as `TableConflict`, which it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn
from weakref import finalize

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import (
    BadRequestError,
    CommitFailedException,
    ForbiddenError,
    NotInstalledError,
    UnauthorizedError,
)
from pyiceberg.table import Table

from statekeeper.errors import ConfigError, StatekeeperError, StorageError, brief
from statekeeper.table_formats.iceberg.options import address_of, file_options
from statekeeper.table_formats.protocol import TableConflict, TablePlace

LOCATION = "statekeeper.location"
"""A property of the configured catalog that is ours: where the metadata of a new table lies."""
_REFUSALS = (BadRequestError, ForbiddenError, UnauthorizedError, NotImplementedError)
"""Answers after which a commit is certainly not in the table, and would be refused again."""


def open_catalog(place: TablePlace) -> Catalog:
    """The catalog of a table. Its connections are closed when nothing uses it any more.

    Raises:
        ConfigError: there is none in the configuration, or a package for it is missing.
        StorageError: it does not answer.
    """
    if not place.catalog:
        raise ConfigError(
            f"{place.name}: the format iceberg needs a catalog, which knows the current version of each table",
            hint="write in `output`: `catalog: {type: sql, uri: 'sqlite:///catalog.db'}`",
        )
    with errors(place, "open the catalog of"):
        own = {name: text for name, text in place.catalog.items() if name != LOCATION}
        catalog = _load(file_options(place.folder, place.storage) | own)
        finalize(catalog, _closing(catalog))
    return catalog


def _load(properties: dict[str, str]) -> Catalog:
    try:
        return load_catalog(**properties)
    except Exception:
        if properties.get("type") != "sql":
            raise
        return load_catalog(**properties)  # another program has made the tables of the catalog at this moment


def ensure_namespace(place: TablePlace, catalog: Catalog) -> None:
    """Create the namespace of a table, and those above it, where they are missing."""
    levels = identifier_of(place)[:-1]
    for depth in range(1, len(levels) + 1):
        level = levels[:depth]
        if not catalog.namespace_exists(level):
            try:
                catalog.create_namespace_if_not_exists(level)
            except Exception:
                if not catalog.namespace_exists(level):  # another program has created it at this moment
                    raise


def _closing(catalog: Catalog) -> Any:
    """What closes a catalog's connections, without the catalog itself: it would never be gone."""
    owner = getattr(catalog, "engine", None) or getattr(catalog, "_session", None)
    return getattr(owner, "dispose", None) or getattr(owner, "close", None) or (lambda: None)


def identifier_of(place: TablePlace) -> tuple[str, ...]:
    """The table in its catalog: the parts of its namespace, which dots divide, and its name."""
    return (*place.namespace.split("."), place.table)


def location_of(place: TablePlace) -> str | None:
    """Where a new table's metadata lies; None if the catalog decides."""
    return None if place.catalog.get(LOCATION) == "catalog" else address_of(place.folder, place.storage)


def load_table(place: TablePlace, catalog: Catalog) -> Table:
    """The table's current version, with a catalog that sends each commit once."""
    return with_one_attempt(place, catalog.load_table(identifier_of(place)))


def with_one_attempt(place: TablePlace, table: Table) -> Table:
    """The same version of a table, whose commits are sent once."""
    catalog = table.catalog if isinstance(table.catalog, OneAttempt) else OneAttempt(place, table.catalog)
    copied: Any = catalog  # it has what pyiceberg asks of a catalog
    return Table(table.name(), table.metadata, table.metadata_location, table.io, copied, table.config)


@dataclass(frozen=True)
class OneAttempt:
    """A catalog to which a commit is sent once. Whatever comes instead of an answer is a `TableConflict`."""

    place: TablePlace
    catalog: Catalog

    def __getattr__(self, name: str) -> Any:
        return getattr(self.catalog, name)

    def commit_table(self, table: Table, requirements: Any, updates: Any) -> Any:
        """Send a commit.

        Raises:
            TableConflict: another writer was first, or it is not known whether the commit is in the table.
            StorageError: the catalog refused it for good.
        """
        try:
            return self.catalog.commit_table(table, requirements, updates)
        except CommitFailedException as error:
            raise TableConflict(
                f"{self.place.name}: another writer has committed to {text_of(self.place)} first"
            ) from error
        except _REFUSALS as error:
            _refuse(self.place, "commit to", error)
        except Exception as error:
            raise TableConflict(
                f"{self.place.name}: it is not known whether the commit to {text_of(self.place)} arrived: "
                f"{_words(error)}"
            ) from error


def text_of(place: TablePlace) -> str:
    """The table as messages name it."""
    return f"the Iceberg table {'.'.join(identifier_of(place))}"


@contextmanager
def errors(place: TablePlace, action: str, besides: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Errors of pyiceberg, and of the libraries of its catalogs, as ours: they have no class in common.

    `besides` are errors that stay as they are, as ours do, and mistakes in a program.

    Raises:
        ConfigError: a package is missing.
        StorageError: everything else.
    """
    kept: tuple[type[Exception], ...] = (StatekeeperError, AssertionError, AttributeError, TypeError, *besides)
    try:
        yield
    except kept:
        raise
    except (NotInstalledError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"{place.name}: the catalog or the store of {text_of(place)} needs a package that is not installed: "
            f"{_words(error)}",
            hint="install it beside statekeeper; pyiceberg's extras name what each catalog needs",
        ) from error
    except Exception as error:  # noqa: BLE001 - those of HTTP, of databases and of clouds
        _refuse(place, action, error)


def _refuse(place: TablePlace, action: str, error: Exception) -> NoReturn:
    raise StorageError(
        f"{place.name}: cannot {action} {text_of(place)}: {_words(error)}",
        hint=getattr(error, "hint", None)
        or "run again when the catalog and the store answer; what was extracted is kept",
    ) from error


def _words(error: Exception) -> str:
    return brief(error) or type(error).__name__
