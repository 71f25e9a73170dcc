"""`write: merge` as a table's commits need it: which rule says which row counts, what a version needs, what is left.

A whole table that was read at the latest snapshot of all that were merged supersedes every row with its keys. Windows,
and whatever is merged after a later snapshot, are ordered by the incremental column. Without that column the order of
the snapshots decides, and an earlier one is refused: the table would become older. So the table records the time of the
latest snapshot in each commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from statekeeper.errors import DataError
from statekeeper.model.table import UNIQUE, ExtractionMode
from statekeeper.publish.key_ranges import refuse_null_keys
from statekeeper.publish.merge import MergedFiles, MergeKey, MergeSpec
from statekeeper.publish.table_merge import Replacement, TableMerge
from statekeeper.runtime.published_table import MERGED
from statekeeper.runtime.rows import FileColumn
from statekeeper.sources.columns import named_column
from statekeeper.store.files.durable import storage_errors

if TYPE_CHECKING:
    from statekeeper.config.resolved import OutputConfig
    from statekeeper.model.metadata import Metadata
    from statekeeper.store.files.disk import Disk
    from statekeeper.store.layout import ExtractionLayout
    from statekeeper.table_formats.protocol import LakeTable, NewFile

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class MergeWriter:
    """Merges one extraction's dataset into its table.

    `key` and `order` are the columns of the key and the incremental column, as the configuration names them.
    """

    table: str
    key: tuple[str, ...]
    order: str | None
    output: OutputConfig
    disk: Disk
    layout: ExtractionLayout
    _merges: dict[str | None, TableMerge] = field(default_factory=dict)
    """What is known about files of the table, by the order column of the rule that was applied."""
    _asked: tuple[TableMerge, LakeTable] | None = None
    """The merge, and the version, for which `pending` was last called."""

    def check_keys(self, footers: Sequence[Any]) -> None:
        """Refuse rows without a key, by the footers of the extraction's files. Raises DataError, PlanError."""
        refuse_null_keys(self.table, footers, self._key_in(footers[0]))

    def pending(self, table: LakeTable, metadata: Metadata, parts: tuple[NewFile, ...]) -> tuple[MergeSpec, ...]:
        """The work to do before these parts can be merged into this version; none if everything is known.

        Raises:
            DataError: the table has rows of a later snapshot, and there is no column that orders them.
            StorageError: the table cannot be read.
        """
        order = self._order_in(table, metadata, parts[0].footer)
        if order not in self._merges:
            self._merges[order] = self._merge(MergeKey(self._key_in(parts[0].footer), order), metadata, parts)
        self._asked = self._merges[order], table
        return self._merges[order].pending(table.files(), table.columns)

    def note(self, results: Sequence[tuple[MergeSpec, MergedFiles]]) -> None:
        """Keep the results of the work that `pending` has returned. Raises DataError."""
        merge, table = self._last
        merge.note(results, table.files())

    def replacement(self, table: LakeTable) -> Replacement:
        """What the commit on a version does for which nothing is pending."""
        merge, asked = self._last
        assert asked is table, "another version may need other work"
        return merge.replacement(table.files())

    def sequences(self, table: LakeTable, metadata: Metadata) -> dict[str, int]:
        """What the commit records besides its own number."""
        moment = _moment(metadata)
        return {MERGED: moment} if moment > table.sequence(MERGED) else {}

    def tidy(self, replacement: Replacement) -> None:
        """Remove what other attempts at this commit have written; no commit names it, now that this one is made.

        Raises:
            StorageError: it can be repeated; what is left is in no version of the table.
        """
        merge, _ = self._last
        kept = {rest.name for rest in replacement.rests}
        with storage_errors(merge.folder, "tidy"):
            for name in self.disk.names(merge.folder):
                if self.layout.is_rest(name) and name.startswith(f"{merge.prefix}-") and name not in kept:
                    self.disk.unlink(merge.folder / name, role="merge")

    @property
    def _last(self) -> tuple[TableMerge, LakeTable]:
        assert self._asked is not None, "work was asked for"
        return self._asked

    def _key_in(self, footer: Any) -> tuple[str, ...]:
        columns = _columns_of(footer)
        return tuple(named_column(columns, name, UNIQUE).name for name in self.key)

    def _order_in(self, table: LakeTable, metadata: Metadata, footer: Any) -> str | None:
        """The column that says which of two rows counts; None if the extraction's rows count."""
        is_latest = _moment(metadata) >= table.sequence(MERGED)
        if is_latest and metadata.mode is ExtractionMode.FULL:
            return None
        columns = _columns_of(footer)
        names = {column.name.casefold() for column in columns}
        if self.order is not None and self.order.strip('"').casefold() in names:
            return named_column(columns, self.order, "incremental_column").name
        if is_latest:
            return None
        raise DataError(
            f"{self.table}: its table has rows of a later snapshot, of {_time_of(table.sequence(MERGED))}; with write: "
            f"merge it would become older by rows of {metadata.snapshot.taken_at.isoformat()}",
            hint="extract again, at a new snapshot; or select the incremental column, too: by it rows can be ordered",
        )

    def _merge(self, key: MergeKey, metadata: Metadata, parts: tuple[NewFile, ...]) -> TableMerge:
        dataset, commit = self.layout.dataset_named(metadata.output_path), metadata.table
        assert dataset is not None, "a commit record names a dataset of its extraction"
        assert commit is not None, "only what is published into a table is merged"
        return TableMerge(
            table=self.table,
            key=key,
            parts=parts,
            table_folder=self.layout.table_folder,
            folder=dataset,
            prefix=f"rest-{metadata.plan_id[:8]}-{commit.sequence}",
            lineage=(
                ("statekeeper.run_id", metadata.run_id),
                ("statekeeper.table", self.table),
                ("statekeeper.plan_id", metadata.plan_id),
            ),
            output=self.output,
            disk=self.disk,
        )


def _columns_of(footer: Any) -> list[FileColumn]:
    return [FileColumn(name, "") for name in footer.schema.names]


def _moment(metadata: Metadata) -> int:
    return (metadata.snapshot.taken_at - _EPOCH) // timedelta(microseconds=1)


def _time_of(moment: int) -> str:
    return (_EPOCH + timedelta(microseconds=moment)).isoformat()
