"""The table of a format that an extraction is published into: where it is, and whether the extraction may write to it.

`statekeeper.publish.table_commit` commits to it; plans and verification look at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.config.sections.catalog import catalog_properties
from statekeeper.config.sections.table_formats import WriteMode
from statekeeper.errors import DataError
from statekeeper.model.metadata import Metadata, TableCommit
from statekeeper.store.documents import load_metadata
from statekeeper.store.layout import ExtractionLayout
from statekeeper.table_formats.protocol import PARTITION, LakeTable, TablePlace
from statekeeper.table_formats.registry import table_format

if TYPE_CHECKING:
    from statekeeper.runtime.context import Run
    from statekeeper.table_formats.protocol import TableFile, TableFormat

LATEST = "statekeeper/latest"
"""The application id under which a table that each extraction replaces has the date of the last one, as a number."""
MERGED = "statekeeper/merged"
"""The application id under which a table that extractions are merged into has the time of their latest snapshot, in
microseconds since 1970."""
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
        catalog = run.pipeline.output.catalog
        place = TablePlace(
            folder=run.layout_of(config).table_folder,
            name=config.table.key,
            storage=run.pipeline.storage,
            catalog=catalog_properties(catalog) if catalog else {},
            namespace=(catalog.namespace if catalog else None) or config.table.source_name,
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

    def check(self, table: LakeTable, layout: ExtractionLayout, last: Metadata | None) -> None:
        """Refuse a table that this extraction must not be written to; `last` is its own commit record, if it has one.

        Raises:
            DataError: it must not.
        """
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
        if self.write is WriteMode.APPEND and not self._can_be_replaced(table, layout, last):
            raise DataError(
                f"{self.place.name}: rows that this extraction has added are no longer in the files that it wrote: "
                "another program has rewritten or removed some (OPTIMIZE, DELETE), so they cannot be replaced exactly",
                hint=f"write: replace_date replaces all rows of {self.extraction_date}, whoever wrote them",
            )

    def own_files(self, table: LakeTable, layout: ExtractionLayout) -> tuple[TableFile, ...]:
        """The files that publications of this extraction have added, as far as the table's version has them.

        Their folders have no other files.
        """
        own = layout.output.relative_to(layout.table_folder).as_posix() + "/"
        return tuple(
            file
            for file in table.files()
            if file.path.startswith(own) and layout.is_inner_generation(file.path.removeprefix(own).partition("/")[0])
        )

    def _can_be_replaced(self, table: LakeTable, layout: ExtractionLayout, last: Metadata | None) -> bool:
        """Whether the files of each commit of this extraction that counts are still in the table."""
        committed, known = table.sequence(self.application_id), last.table if last else None
        if committed == 0 or (known is not None and committed < known.sequence):
            return True  # the table was restored to an earlier version, or made anew
        own = {file.path for file in self.own_files(table, layout)}
        expected = paths_in_table(layout, last) if last is not None and known is not None else frozenset()
        if known is not None and committed == known.sequence:
            return expected <= own
        return bool(own - expected)  # a run that died has made a later commit, which replaced this one's files


def columns_to_fit(config: ExtractionConfig, run: Run) -> Columns | None:
    """The columns of the table that `config` is published into; None if there is none.

    Raises:
        StorageError, StateDamaged: the table cannot be read.
        DataError: the extraction must not be written to it.
    """
    if not config.is_in_table:
        return None
    target, layout = PublishedTable.of(config, run), run.layout_of(config)
    table = target.find()
    if table is None:
        return None
    target.check(table, layout, load_metadata(run.disk, layout.metadata))
    return tuple((field.name, str(field.type)) for field in table.columns)


def files_in_table(table: LakeTable, layout: ExtractionLayout, metadata: Metadata) -> frozenset[str]:
    """The names of an extraction's files that the table's version has."""
    paths = paths_in_table(layout, metadata) & {file.path for file in table.files()}
    return frozenset(path.rpartition("/")[2] for path in paths)


def paths_in_table(layout: ExtractionLayout, metadata: Metadata) -> frozenset[str]:
    """The files of an extraction's dataset, relative to the table's folder."""
    folder = dataset_in_table(layout, metadata)
    return frozenset(f"{folder}/{file.name}" for file in metadata.files)


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
