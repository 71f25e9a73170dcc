"""The table of a format that an extraction is published into: where it is, and what of it is still there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from statekeeper.config.resolved import ExtractionConfig, Pipeline
from statekeeper.model.metadata import Metadata, TableCommit
from statekeeper.store.layout import ExtractionLayout
from statekeeper.table_formats.protocol import LakeTable, TablePlace
from statekeeper.table_formats.registry import table_format

if TYPE_CHECKING:
    from statekeeper.table_formats.protocol import TableFormat

Columns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class PublishedTable:
    """The table of one extraction's configuration; `name` is that of its format."""

    name: str
    format: TableFormat
    place: TablePlace

    @classmethod
    def of(cls, config: ExtractionConfig, pipeline: Pipeline, layout: ExtractionLayout) -> PublishedTable:
        """The table that `config` is published into. Raises ConfigError if the library of its format is missing."""
        place = TablePlace(
            folder=layout.table_folder,
            name=config.table.key,
            storage=pipeline.storage,
            namespace=config.table.source_name,
            table=config.table.path_name,
        )
        return cls(config.format, table_format(config.format), place)

    @classmethod
    def columns(cls, config: ExtractionConfig, pipeline: Pipeline, layout: ExtractionLayout) -> Columns | None:
        """The columns of the table, each with its Arrow type as text; None if there is no table.

        Raises:
            StorageError, StateDamaged: the table cannot be read.
        """
        table = cls.of(config, pipeline, layout).find() if config.is_in_table else None
        return None if table is None else tuple((field.name, str(field.type)) for field in table.columns)

    def find(self) -> LakeTable | None:
        """Its current version; None if there is no table. Raises StorageError, StateDamaged."""
        return self.format.find(self.place)


def files_in_table(table: LakeTable, layout: ExtractionLayout, metadata: Metadata) -> frozenset[str]:
    """The names of an extraction's files that the table's version has."""
    folder = PurePosixPath(dataset_in_table(layout, metadata))
    paths = {file.path for file in table.files()}
    return frozenset(file.name for file in metadata.files if str(folder / file.name) in paths)


def dataset_in_table(layout: ExtractionLayout, metadata: Metadata) -> str:
    """An extraction's dataset, relative to the table's folder."""
    dataset = layout.dataset_named(metadata.output_path)
    assert dataset is not None, "a commit record names a dataset of its extraction"
    return dataset.relative_to(layout.table_folder).as_posix()


def why_not_in_table(table: LakeTable | None, commit: TableCommit) -> str | None:
    """Why a commit is not in the table's history, as damage; None if it is."""
    if table is None:
        return f"the {commit.format} table is gone"
    if table.sequence(commit.application_id) < commit.sequence:
        return f"the {commit.format} table does not have the commit of this extraction"
    return None
