"""The table of a format that an extraction is published into: where it is, and whether the extraction may write to it.

`statekeeper.publish.table_commit` commits to it; plans and verification look at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.config.sections.table_formats import WriteMode
from statekeeper.errors import DataError
from statekeeper.model.metadata import Metadata, TableCommit
from statekeeper.store.layout import ExtractionLayout
from statekeeper.table_formats.protocol import PARTITION, LakeTable, TablePlace
from statekeeper.table_formats.registry import table_format

if TYPE_CHECKING:
    from statekeeper.runtime.context import Run
    from statekeeper.table_formats.protocol import TableFormat

LATEST = "statekeeper/latest"
"""The application id under which a table that each extraction replaces has the date of the last one, as a number."""
Columns = tuple[tuple[str, str], ...]
"""The columns of a table, each with its Arrow type as text."""


@dataclass(frozen=True)
class PublishedTable:
    """The table that one extraction is published into.

    `format_name` is that of its format, `extraction_date` and `run_id` are the extraction's.
    """

    format_name: str
    format: TableFormat
    place: TablePlace
    write: WriteMode
    extraction_date: date
    run_id: str

    @classmethod
    def of(cls, config: ExtractionConfig, run: Run) -> PublishedTable:
        """The table that `config` is published into. Raises ConfigError if the library of its format is missing."""
        place = TablePlace(
            folder=run.layout_of(config).table_folder,
            name=config.table.key,
            storage=run.pipeline.storage,
            namespace=config.table.source_name,
            table=config.table.path_name,
        )
        return cls(config.format, table_format(config.format), place, config.write, run.extraction_date, run.run_id)

    @property
    def application_id(self) -> str:
        """The extraction, as its commits name it in the table."""
        return f"statekeeper/{self.extraction_date.isoformat()}/{self.run_id}"

    def find(self) -> LakeTable | None:
        """The table's current version; None if there is no table.

        Raises:
            StorageError, StateDamaged: it cannot be read.
        """
        return self.format.find(self.place)

    def check(self, table: LakeTable) -> None:
        """Refuse a table that this extraction must not be written to. Raises DataError."""
        if table.is_by_date != self.write.is_by_date:
            has, needs = ("has", "without") if table.is_by_date else ("lacks", "with")
            raise DataError(
                f"{self.place.name}: its table {has} the partition column {PARTITION}; write: {self.write} is for a "
                f"table {needs} it",
                hint="choose another write, or another base_path for a new table",
            )
        latest = table.sequence(LATEST) if self.write is WriteMode.REPLACE else 0
        if latest > number_of(self.extraction_date):
            raise DataError(
                f"{self.place.name}: its table has the extraction of {_date_of(latest)}, which is later than "
                f"{self.extraction_date}: with write: replace the table would become older",
                hint=f"extract {_date_of(latest)} or a later date instead",
            )


def columns_to_fit(config: ExtractionConfig, run: Run) -> Columns | None:
    """The columns of the table that `config` is published into; None if there is none.

    Raises:
        StorageError, StateDamaged: the table cannot be read.
        DataError: the extraction must not be written to it.
    """
    if not config.is_in_table:
        return None
    target = PublishedTable.of(config, run)
    table = target.find()
    if table is None:
        return None
    target.check(table)
    return tuple((field.name, str(field.type)) for field in table.columns)


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


def number_of(day: date) -> int:
    """A date as a number that grows with it."""
    return int(f"{day:%Y%m%d}")


def _date_of(number: int) -> date:
    return date.fromisoformat(str(number))
