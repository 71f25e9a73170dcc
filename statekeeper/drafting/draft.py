"""The two files of a draft: a configuration, and the models that it names. They are written together, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from statekeeper.drafting.config_text import ConfigDraft
from statekeeper.drafting.models import models_text
from statekeeper.drafting.names import class_names
from statekeeper.drafting.tables import TableDraft
from statekeeper.errors import PlanError, StorageError, UsageError
from statekeeper.model.base import Frozen


@dataclass(frozen=True)
class Destination:
    """Where the two files go."""

    config: Path
    models: Path

    def require_free(self) -> None:
        """Raise UsageError where a file is there already: nothing is ever overwritten."""
        if self.config == self.models:
            raise UsageError(f"--out and --schemas-out are one file, {self.config}", hint="give each its own")
        for path, option in ((self.config, "--out"), (self.models, "--schemas-out")):
            if path.exists() or path.is_symlink():
                raise UsageError(f"{path} is there already, and is not overwritten", hint=f"another {option}")

    def write(self, config: str, models: str) -> None:
        """Write both files.

        Raises:
            UsageError: one is there already.
            StorageError: one cannot be written.
        """
        written: list[Path] = []
        try:
            for path, content in ((self.models, models), (self.config, config)):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("x", encoding="utf-8") as file:
                    written.append(path)
                    file.write(content)
        except OSError as error:
            for path in written:
                path.unlink(missing_ok=True)
            if isinstance(error, FileExistsError):
                raise UsageError(f"{error.filename} is there already, and is not overwritten") from error
            raise StorageError(f"the draft cannot be written: {error.filename}: {error.strerror}") from error


class LeftOut(Frozen):
    """A table that cannot be extracted as it is; its entry in the configuration is commented out."""

    table: str
    reasons: tuple[str, ...]


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
        source: its keys as they are written.
        database: how the database is called in the file of models.
        destination: where to.

    Raises:
        PlanError: no table can be extracted as it is.
        UsageError, StorageError: as `Destination.write`.
    """
    good = [index for index, table in enumerate(tables) if not table.reasons]
    if not good:
        reasons = "\n".join(f"  {table.relation.label}: {reason}" for table in tables for reason in table.reasons)
        raise PlanError(f"no table can be extracted as it is:\n{reasons}", hint="write a custom_query by hand")
    labels = _labels(tables)
    classes = class_names(labels[index] for index in good)
    models = {index: classes[labels[index]] for index in good}
    config = ConfigDraft(
        path=str(destination.config),
        pipeline=destination.config.stem,
        source_name=source_name,
        source=source,
        tables=tables,
        models={index: f"{destination.models}:{name}" for index, name in models.items()},
    )
    destination.write(config.text(), models_text([(models[i], tables[i]) for i in good], database=database))
    return DraftReport(
        config=str(destination.config),
        schemas=str(destination.models),
        tables=tuple(tables[index].relation.label for index in good),
        left_out=tuple(LeftOut(table=t.relation.label, reasons=t.reasons) for t in tables if t.reasons),
    )


def _labels(tables: Sequence[TableDraft]) -> list[str]:
    """What each table's class is named after: the table, with its schema where two of them share a name."""
    names = [str(table.relation.table_name) for table in tables]
    return [
        f"{table.relation.schema_name}_{name}" if names.count(name) > 1 else name
        for table, name in zip(tables, names, strict=True)
    ]
