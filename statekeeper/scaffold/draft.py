"""The two files of a draft: a configuration and its models. Either both are written, or neither."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from statekeeper.config.root import find_root
from statekeeper.errors import UsageError
from statekeeper.model.base import Frozen
from statekeeper.scaffold.config_text import ConfigDraft
from statekeeper.scaffold.files import write_new
from statekeeper.scaffold.models import classes_of, models_text
from statekeeper.scaffold.tables import LeftOut, TableDraft, left_out, require_any


@dataclass(frozen=True)
class Destination:
    """Where the two files go."""

    config: Path
    models: Path

    @property
    def root(self) -> str | None:
        """The working directory, relative to the configuration; None if the loader finds it without a `root`."""
        here = Path.cwd()
        return None if find_root(self.config) == here else os.path.relpath(here, self.config.resolve().parent)

    def require_free(self) -> None:
        """Raise UsageError if a file exists: nothing is ever overwritten."""
        if self.config == self.models:
            raise UsageError(f"--out and --schemas-out are one file, {self.config}", hint="give each its own")
        for path, option in ((self.config, "--out"), (self.models, "--schemas-out")):
            if path.exists() or path.is_symlink():
                raise UsageError(f"{path} already exists and is not overwritten", hint=f"choose another {option}")

    def write(self, config: str, models: str) -> None:
        """Write both files. Raises as `write_new`."""
        write_new({self.models: models, self.config: config})


class DraftReport(Frozen):
    """What was written."""

    config: str
    schemas: str
    tables: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def write_draft(
    tables: Sequence[TableDraft],
    *,
    source_name: str,
    source: Mapping[str, str | int],
    database: str,
    destination: Destination,
) -> DraftReport:
    """Write the configuration and the models of described tables.

    Args:
        tables: as the database describes them.
        source_name: the source's name in the configuration.
        source: its keys as written in the file.
        database: the database's name in the file of models.
        destination: where the files go.

    Raises:
        PlanError: no table can be extracted as it is.
        UsageError, StorageError: as `Destination.write`.
    """
    require_any(tables)
    models = classes_of(tables)
    config = ConfigDraft(
        path=str(destination.config),
        root=destination.root,
        pipeline=destination.config.stem,
        source_name=source_name,
        source=source,
        tables=tables,
        models={index: f"{destination.models}:{name}" for index, name in models.items()},
    )
    drafted = [(name, tables[index]) for index, name in models.items()]
    destination.write(config.text(), models_text(drafted, database=database))
    return DraftReport(
        config=str(destination.config),
        schemas=str(destination.models),
        tables=tuple(table.label for _, table in drafted),
        left_out=left_out(tables),
    )
