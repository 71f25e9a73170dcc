"""The rows of a chunk that may have been taken before: set aside in a file, and compared with published rows by a join.

A row was taken before if a published dataset has the same version of it, unmarked: the same values in all columns of
`unique`, where NULL equals NULL, and in the incremental column. Marked rows of the datasets do not count: so each
version is unmarked in one extraction, whichever of them is extracted again.

The file is in the spill folder, and the join is out of core, so memory is bounded. Only the compared columns of the
datasets are read, and of them only the stretch that both extractions have read (`compared_columns` for objects).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from statekeeper.config.resolved import OutputConfig, Verify
from statekeeper.errors import DataError, StatekeeperError
from statekeeper.extract.compared_columns import Bound, ColumnsWithin
from statekeeper.model.mark import ComparedDataset
from statekeeper.model.metadata import Metadata
from statekeeper.model.plan import PlannedColumn
from statekeeper.parquet.batch_size import MemoryBudget, rows_within
from statekeeper.parquet.integrity import find_damage
from statekeeper.parquet.scan_errors import SCAN_ERRORS, scan_error
from statekeeper.parquet.types import arrow_schema
from statekeeper.parquet.writer import RowGroups
from statekeeper.runtime.row_matching import comparable, matching_database
from statekeeper.runtime.rows import FileColumn
from statekeeper.sources.columns import named_column
from statekeeper.store.documents import load_metadata
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.layout import ExtractionLayout
from statekeeper.text.sql_text import file_literal, parquet_files, quoted

_MOST_ROWS = 100_000
_AGAIN = "run the same date again: it is compared anew with what is published then"


@dataclass(frozen=True)
class Comparison:
    """What the rows of a table's plan are compared with, and how.

    Attributes:
        table: its key, for messages.
        file_columns: the columns of the rows that are compared.
        columns: those of them whose values tell a version; the last one is the incremental column.
        start, end: the values of the incremental column, `start <= value < end`, to which datasets are read.
        datasets: the published datasets, each with the layout of its extraction, whose paths are absolute.
    """

    table: str
    file_columns: tuple[PlannedColumn, ...]
    columns: tuple[PlannedColumn, ...]
    start: Bound | None
    end: Bound | None
    datasets: tuple[tuple[ComparedDataset, ExtractionLayout], ...]
    disk: Disk
    output: OutputConfig
    budget: MemoryBudget
    memory_limit: str
    check_stop: Callable[[], None]


class Candidates:
    """Rows that are set aside; the file's columns have numbers for names, so that no name of ours is taken."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._schema = arrow_schema(comparison.file_columns)
        self._names = {column.name: f"c{number}" for number, column in enumerate(comparison.file_columns)}
        self._numbered = pa.schema([pa.field(f"c{number}", field.type) for number, field in enumerate(self._schema)])
        self._groups = RowGroups(self._numbered, comparison.output, comparison.budget)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            database = matching_database(self._comparison.memory_limit)
            self._connection, folder = opening.enter_context(database)
            self._path = folder / "candidates.parquet"
            self._connection.execute("CREATE TEMP TABLE taken (number BIGINT)")
            with storage_errors(self._path, "write"):
                self._writer = pq.ParquetWriter(self._path, self._numbered, version="2.6", use_dictionary=False)
            opening.callback(self._discard)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _discard(self) -> None:
        """Leave the file as it is: its folder is about to be removed."""
        self._writer.is_open = False

    def add(self, batch: pa.RecordBatch) -> None:
        """Set rows aside."""
        for group in self._groups.add(pa.RecordBatch.from_arrays(batch.columns, schema=self._numbered)):
            self._write(group)

    def compared(self) -> Iterator[tuple[pa.RecordBatch, pa.BooleanArray]]:
        """All rows that were set aside, in their order, each batch with which of its rows were taken before."""
        if (rest := self._groups.rest()) is not None:
            self._write(rest)
        with storage_errors(self._path, "write"):
            self._writer.close()
        for dataset, layout in self._comparison.datasets:
            self._comparison.check_stop()
            self._find(dataset, layout)
        with storage_errors(self._path, "read"), pq.ParquetFile(self._path, pre_buffer=False) as file:
            rows = rows_within(file.metadata, self._comparison.budget, most=_MOST_ROWS)
            start = 0
            for batch in file.iter_batches(batch_size=rows, use_threads=False):
                self._comparison.check_stop()
                columns = [array.cast(field.type) for array, field in zip(batch.columns, self._schema, strict=True)]
                yield pa.RecordBatch.from_arrays(columns, schema=self._schema), self._marks(start, batch.num_rows)
                start += batch.num_rows

    def _write(self, group: pa.Table) -> None:
        with storage_errors(self._path, "write"):
            self._writer.write_table(group)

    def _marks(self, start: int, rows: int) -> pa.BooleanArray:
        query = "SELECT number FROM taken WHERE number >= $1 AND number < $2"
        found = self._connection.execute(query, [start, start + rows]).fetchnumpy()["number"]
        return pc.is_in(pa.array(range(start, start + rows), pa.int64()), value_set=pa.array(found, pa.int64()))

    def _find(self, dataset: ComparedDataset, layout: ExtractionLayout) -> None:
        """Note the rows that a dataset has.

        Its files are looked at after they were read: files of its plan never come back once they were replaced.
        """
        metadata = self._published(dataset, layout)
        output = layout.dataset_named(metadata.output_path)
        assert output is not None, "its metadata was verified"
        files = [(output / file.name if metadata.is_folder else output, file) for file in metadata.files if file.rows]
        if not files:
            return
        disk = self._comparison.disk
        failure: StatekeeperError | None = None
        try:
            self._join([path for path, _ in files], metadata, dataset)
        except SCAN_ERRORS as error:
            failure = scan_error(f"{self._comparison.table}: its rows cannot be compared with {dataset.label}", error)
            failure.__cause__ = error
        for path, file in files:
            if damage := find_damage(disk, path, file, plan_id=dataset.plan_id, verify=Verify.QUICK):
                raise self._changed(dataset, damage) from failure
        if failure is not None:
            raise failure

    def _join(self, files: list[Path], metadata: Metadata, dataset: ComparedDataset) -> None:
        comparison = self._comparison
        have = tuple(FileColumn(name, kind) for name, kind in metadata.columns.items())
        what = f"{comparison.table}: its rows cannot be compared with those of {dataset.label}"
        pairs = [(column, named_column(have, column.name, what)) for column in comparison.columns]
        same = " AND ".join(
            " IS NOT DISTINCT FROM ".join(comparable(FileColumn(self._names[own.name], own.arrow_type), theirs, what))
            for own, theirs in pairs
        )
        last = quoted(pairs[-1][1].name)
        limits = [(">=", comparison.start), ("<", comparison.end)]
        bounds = [(sign, bound) for sign, bound in limits if bound is not None]
        conditions = [f"{last} {sign} ${number}" for number, (sign, _) in enumerate(bounds, 1)]
        if metadata.mark is not None:
            conditions.append(f"NOT {quoted(metadata.mark.column)}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        own = ", ".join(self._names[column.name] for column, _ in pairs)
        theirs = ", ".join(quoted(column.name) for _, column in pairs)
        read = {column.name: None for _, column in pairs} | ({metadata.mark.column: None} if metadata.mark else {})
        within = ColumnsWithin(tuple(read), pairs[-1][1].name, comparison.start, comparison.end, comparison.budget)
        with within.opened(comparison.disk, files, self._path.parent) as paths:
            self._connection.execute(
                f"INSERT INTO taken SELECT own.number FROM (SELECT file_row_number AS number, {own} "
                f"FROM read_parquet({file_literal(self._path)}, file_row_number = true)) AS own "
                f"SEMI JOIN (SELECT {theirs} FROM {parquet_files(paths)}{where}) AS theirs ON {same}",
                [bound for _, bound in bounds],
            )

    def _published(self, dataset: ComparedDataset, layout: ExtractionLayout) -> Metadata:
        metadata = load_metadata(self._comparison.disk, layout.metadata)
        if metadata is None:
            raise self._changed(dataset, f"{layout.metadata.name} is missing")
        if metadata.plan_id != dataset.plan_id:
            raise self._changed(dataset, "it was extracted again")
        return metadata

    def _changed(self, dataset: ComparedDataset, what: str) -> DataError:
        return DataError(
            f"{self._comparison.table}: its rows are compared with those of {dataset.label}, whose dataset is not what "
            f"it was: {what}",
            hint=_AGAIN,
        )
