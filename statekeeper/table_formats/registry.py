"""Finds a table format by its name. Only the one that is asked for is imported, with its library."""

from __future__ import annotations

from dataclasses import replace

from statekeeper.config.sections import table_formats
from statekeeper.errors import ConfigError
from statekeeper.table_formats.protocol import TableFormat

TABLE_FORMATS = replace(
    table_formats.TABLE_FORMATS,
    shipped={name: f"{__package__}.{place}" for name, place in table_formats.TABLE_FORMATS.shipped.items()},
)
"""The registry of table formats; each entry is a TableFormat."""


def table_format(name: str) -> TableFormat:
    """The table format of this name.

    Raises:
        ConfigError: its library is not installed, or the package that provides it is faulty.
    """
    try:
        found: TableFormat = TABLE_FORMATS.instance(name, TableFormat)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the format {name} needs {error.name}, which is not installed", hint=f"pip install 'statekeeper[{name}]'"
        ) from error
    return found
