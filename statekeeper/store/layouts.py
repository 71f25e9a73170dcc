"""The layouts: which one an extraction has, and how the layout `hive` differs.

```
<base_path>/<source_name>/<path_name>/extraction_date=<yyyy-mm-dd>/
    part-<nnnnn>-<plan8>.parquet  the dataset: a folder in any case
    generation-<plan8>/           on a disk without rename, the dataset is this folder (metadata `output_path`)
<base_path>/_statekeeper/<source_name>/<path_name>/<yyyy-mm-dd>/
    date.lock                     the lock (with leases: date.lock.<epoch>)
    <run_id>_state.json, ...      everything else, with the same names as in the layout `dated`
```

A table's folder contains only partitions, and these contain only published parts. So it suits readers of folders that
skip no names (polars, crawlers of catalogs), as well as those that skip names that begin with `_` or `.`.

A partition is one dataset. Its path and its lock belong to a date, not to a run: a date of a table belongs to one run,
which `statekeeper.store.place` ensures. A second dataset for a date would double its rows for every reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePath
from typing import ClassVar, Self

from statekeeper.model.table import Layout, TableRef, safe_name
from statekeeper.store.layout import ExtractionLayout, NamesIn, date_of, table_folder

PARTITION_COLUMN = "extraction_date"
"""The column that readers of folders find in the names of partitions."""
_GENERATION = re.compile(r"generation-[0-9a-f]{8}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_REST = re.compile(r"rest-[0-9a-f]{8}-\d+-[0-9a-f]{12}-\d+\.parquet")


def layout_of(
    layout: Layout, *, base_path: Path, table: TableRef, extraction_date: date, run_id: str, is_in_table: bool = False
) -> ExtractionLayout:
    """The paths of the files of a table's extraction; `is_in_table` says that it is published into a table."""
    kind = TableLayout if is_in_table else _KINDS[layout]
    return kind.of(base_path=base_path, table=table, extraction_date=extraction_date, run_id=run_id)


def records_folder(base_path: Path) -> Path:
    """The folder of everything that is not published, in the layout `hive`."""
    return base_path / "_statekeeper"


@dataclass(frozen=True, kw_only=True)
class HiveLayout(ExtractionLayout):
    """The files of one extraction in the layout `hive`."""

    output_folder: Path

    datasets_are_folders: ClassVar[bool] = True

    @classmethod
    def of(cls, *, base_path: Path, table: TableRef, extraction_date: date, run_id: str) -> Self:
        records = table_folder(records_folder(base_path), table)
        output = table_folder(base_path, table) / f"{PARTITION_COLUMN}={extraction_date.isoformat()}"
        return cls(
            folder=records / extraction_date.isoformat(),
            run_id=safe_name(run_id),
            base_path=base_path,
            output_folder=output,
        )

    @property
    def table_folder(self) -> Path:
        return self.output_folder.parent

    @property
    def windows(self) -> Path:
        return self.folder.parent / "_windows.json"

    @property
    def output(self) -> Path:
        return self.output_folder

    @property
    def lock(self) -> Path:
        return self.folder / "date.lock"

    def generation(self, plan_id: str) -> Path:
        """A folder inside the partition, since readers take the date from the partition's name."""
        return self.output / f"generation-{plan_id[:8]}"

    def place_of_copy(self, plan_id: str, *, intended: Path | None, is_free: bool) -> Path:
        """Always a folder for this plan alone.

        A late worker of a discarded plan must find no folder to write to, and the partition's folder always exists.
        """
        del intended, is_free
        return self.generation(plan_id)

    def dataset_named(self, output_path: str) -> Path | None:
        *_, above, name = ("", "", *PurePath(output_path).parts)
        if name == self.output.name:
            return self.output
        return self.output / name if above == self.output.name and _GENERATION.fullmatch(name) else None

    def is_generation(self, path: Path) -> bool:
        return path.parent == self.output and self.is_inner_generation(path.name)

    def is_inner_generation(self, name: str) -> bool:
        return _GENERATION.fullmatch(name) is not None

    def folders_around(self, dataset: Path) -> tuple[Path, ...]:
        return () if dataset == self.output else (self.output,)

    def others_than(self, dataset: Path, names_in: NamesIn) -> list[Path]:
        """If the dataset is a generation: everything else in the partition that readers would find."""
        if dataset == self.output:
            return []
        found = (self.output / name for name in names_in(self.output) if name[0] not in "._")
        return [path for path in found if path != dataset]

    @property
    def upload_folders(self) -> tuple[Path, ...]:
        return (self.folder, self.output)

    def is_own_upload(self, path: Path) -> bool:
        return path.is_relative_to(self.output) or super().is_own_upload(path)

    def record_folders(self, names_in: NamesIn) -> Iterator[tuple[Path, date]]:
        records = self.folder.parent
        for name in filter(_DATE.fullmatch, reversed(names_in(records))):
            if found := date_of(name):
                yield records / name, found


@dataclass(frozen=True, kw_only=True)
class TableLayout(HiveLayout):
    """The files of one extraction that is published into a table of a format, with the table's folder as in `hive`.

    Each dataset has a folder of its own, also on a disk with rename: earlier versions of the table still have the files
    of earlier datasets, and other writers' files may lie beside them.
    """

    @property
    def replaced(self) -> tuple[Path, ...]:
        """None: every dataset has a folder of its own."""
        return ()

    def others_than(self, dataset: Path, names_in: NamesIn) -> list[Path]:
        """None: what is in no version of the table is found otherwise (`publish.table_publication`)."""
        del dataset, names_in
        return []

    def folders_around(self, dataset: Path) -> tuple[Path, ...]:
        del dataset
        return ()

    def is_rest(self, name: str) -> bool:
        return _REST.fullmatch(name) is not None


_KINDS: dict[Layout, type[ExtractionLayout]] = {Layout.DATED: ExtractionLayout, Layout.HIVE: HiveLayout}
