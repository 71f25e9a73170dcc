"""Merges the rows of some files with those of others: reads footers, matches keys, and writes what is left of a file.

Decides the order of the steps, from cheap to dear: footers, then the columns of the keys, then whole files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from statekeeper.engines.context import WorkContext
from statekeeper.errors import InternalError
from statekeeper.parquet.batch_size import MemoryBudget, rows_within
from statekeeper.parquet.files_in_sql import readable_in
from statekeeper.parquet.streamed_file import StreamedFile, dictionaries_of, opened
from statekeeper.publish.key_ranges import KeyRanges
from statekeeper.publish.merge import MergedFile, MergedFiles, MergeSpec, RestFile
from statekeeper.publish.merge_columns import FileColumns
from statekeeper.publish.merge_matches import Matches
from statekeeper.runtime.row_matching import matching_database
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.versions import objects_disk

_FOOTERS_AT_ONCE = 8


@dataclass(frozen=True)
class _KnownFile:
    """A file whose footer was read."""

    number: int
    columns: FileColumns
    ranges: KeyRanges


class RowMerge:
    """The work on one `MergeSpec`."""

    def __init__(self, spec: MergeSpec, context: WorkContext) -> None:
        self._spec, self._context = spec, context
        self._attempt = uuid4().hex[:12]

    def merged(self) -> MergedFiles:
        """Do it. Raises as `statekeeper.publish.merge.merge_files`, and the errors of DuckDB and Arrow."""
        spec = self._spec
        around = KeyRanges.around(other.ranges or KeyRanges.unknown(len(spec.key.columns)) for other in spec.others)
        own = [file for file in self._known(spec.files) if file.ranges.may_share_a_key(around)]
        others = [
            other
            for other in spec.others
            if other.ranges is None or any(file.ranges.may_share_a_key(other.ranges) for file in own)
        ]
        theirs = [file for file in self._known([other.path for other in others]) if not file.ranges.is_keyless]
        own = [file for file in own if any(file.ranges.may_share_a_key(other.ranges) for other in theirs)]
        return MergedFiles(tuple(self._compared(own, theirs)) if own else ())

    def _known(self, paths: Sequence[Path]) -> list[_KnownFile]:
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE, "statekeeper-footer") as pool:
            return list(pool.map(self._look_at, range(len(paths)), paths))

    def _look_at(self, number: int, path: Path) -> _KnownFile:
        self._context.check_stop()
        with storage_errors(path, "read"), opened(self._spec.disk, path) as file:
            columns = FileColumns.of(path, file, self._spec.columns)
            return _KnownFile(number, columns, KeyRanges.of(file.metadata, self._spec.key.columns))

    def _compared(self, own: list[_KnownFile], theirs: list[_KnownFile]) -> Iterator[MergedFile]:
        spec, objects = self._spec, objects_disk(self._spec.disk)
        opener = None if objects is None else objects.object
        with (
            matching_database(self._context.memory_limit) as (connection, _),
            readable_in(connection, opener) as files,
        ):
            matches = Matches(
                connection,
                files,
                own=[file.columns for file in own],
                theirs=[file.columns for file in theirs],
                key=spec.key,
                wins=spec.wins,
            )
            for position, (losing, winning) in sorted(matches.counts().items()):
                self._context.check_stop()
                file = own[position]
                rest = self._rest(file, matches.losing_rows(position), losing) if losing else None
                yield MergedFile(file.number, losing, winning, rest)

    def _rest(self, file: _KnownFile, losing_rows: Iterator[int], losing: int) -> RestFile | None:
        """Write the rows of a file that do not lose."""
        spec, path = self._spec, file.columns.path
        with storage_errors(path, "read"), opened(spec.disk, path) as source:  # a failed write raises its own error
            if losing == source.metadata.num_rows:
                return None
            budget = MemoryBudget.of(self._context.memory_limit)
            new = StreamedFile(
                disk=spec.disk,
                path=spec.folder / f"{spec.prefix}-{self._attempt}-{file.number:05d}.parquet",
                schema=spec.columns.with_metadata({**dict(spec.lineage), "statekeeper.rest_of": path.name}),
                output=spec.output,
                budget=budget,
                role="merge",
                unique=self._attempt,
                like=source.metadata,
                dictionaries=dictionaries_of(source.metadata),
            )
            rows_at_once = rows_within(source.metadata, budget)
            with new:
                batches = source.iter_batches(batch_size=rows_at_once, use_threads=False)
                # Conformed before rows are left out: Arrow cannot select rows in every type that files have.
                for batch in _without(losing_rows, map(file.columns.conformed, batches)):
                    self._context.check_stop()
                    new.add(batch.replace_schema_metadata(new.schema.metadata))
                written = new.finished()
            if written.rows + losing != source.metadata.num_rows:
                raise InternalError(
                    f"{path}: of {source.metadata.num_rows:,} rows {losing:,} are superseded and {written.rows:,} stay"
                )
        return RestFile(new.path.name, written.rows, written.bytes)


def _without(rows: Iterator[int], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches without the rows of these numbers, which ascend; a batch of which nothing is left is left out."""
    start, row = 0, next(rows, None)
    for batch in batches:
        end = start + batch.num_rows
        bits = bytearray(b"\xff") * (batch.num_rows // 8 + 1)
        removed = 0
        while row is not None and row < end:
            bits[(row - start) >> 3] ^= 1 << ((row - start) & 7)
            removed += 1
            row = next(rows, None)
        if removed == 0:
            yield batch
        elif removed < batch.num_rows:
            yield batch.filter(pa.Array.from_buffers(pa.bool_(), batch.num_rows, [None, pa.py_buffer(bits)]))
        start = end
