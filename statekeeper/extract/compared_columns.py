"""The columns of published files that a join reads, at paths where DuckDB can open them.

On disk that is the files themselves. An object is not copied whole for a few of its columns: of its row groups, those
are read that can have a value within the bounds, and only the compared columns go to a small file of the spill folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from statekeeper.parquet.batch_size import MemoryBudget, rows_within
from statekeeper.store.files.disk import Disk, Writes

Bound: TypeAlias = datetime | date | int
_MOST_ROWS = 100_000


@dataclass(frozen=True)
class ColumnsWithin:
    """Columns of rows, of which only those matter whose value in `bounded` is `start <= value < end`."""

    names: tuple[str, ...]
    bounded: str
    start: Bound | None
    end: Bound | None
    budget: MemoryBudget

    @contextmanager
    def opened(self, disk: Disk, files: Sequence[Path], folder: Path) -> Iterator[Sequence[Path]]:
        """Paths of Parquet files with at least these columns and rows; copies are in `folder` while the block runs.

        Raises:
            OSError, ArrowException: a file is missing or cannot be read, or there is no room for a copy.
        """
        if disk.writes is not Writes.OBJECTS:
            yield files
            return
        with TemporaryDirectory(dir=folder, prefix="compared-") as copies:
            paths = [Path(copies) / f"{number}.parquet" for number in range(len(files))]
            for file, path in zip(files, paths, strict=True):
                self._copy(disk, file, path)
            yield paths

    def _copy(self, disk: Disk, file: Path, path: Path) -> None:
        with disk.open(file) as source, pq.ParquetFile(source, pre_buffer=False) as rows:
            schema = pa.schema([rows.schema_arrow.field(name) for name in self.names])
            groups = [number for number in range(rows.num_row_groups) if self._may_matter(rows.metadata, number)]
            most = rows_within(rows.metadata, self.budget, most=_MOST_ROWS)
            with pq.ParquetWriter(path, schema, version="2.6", use_dictionary=False) as copy:
                for batch in rows.iter_batches(most, row_groups=groups, columns=list(self.names), use_threads=False):
                    copy.write_batch(batch.select(list(self.names)))

    def _may_matter(self, footer: pq.FileMetaData, number: int) -> bool:
        """Whether a row group can have rows within the bounds; True if its statistics do not say."""
        group = footer.row_group(number)
        columns = (group.column(column) for column in range(group.num_columns))
        found = next((each.statistics for each in columns if each.path_in_schema == self.bounded), None)
        if found is None or not found.has_min_max:
            return True
        is_after = self.start is None or not _is_less(found.max, self.start)
        return is_after and (self.end is None or _is_less(found.min, self.end, unknown=True))


def _is_less(value: Any, bound: Any, *, unknown: bool = False) -> bool:
    """Whether a value of the statistics is less than a bound of the same type; `unknown` for another type."""
    if type(value) is not type(bound) or getattr(value, "tzinfo", None) != getattr(bound, "tzinfo", None):
        return unknown
    return bool(value < bound)
