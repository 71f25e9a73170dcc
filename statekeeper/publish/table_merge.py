"""The merge of an extraction into a table: which files of a version it replaces, and by which.

Decides what must be worked on (`statekeeper.publish.merge`) before a commit on a version can be made, and then what the
commit adds and removes. A file never changes, so what was found about one is kept: if another writer has committed
meanwhile, only the files that are new in its version are worked on.

Which of two rows with one key counts:

- Without an order column, and for a whole table read at the latest snapshot: the extraction's.
- With one: the row with the greater value in it, the extraction's if they are equal; NULL is least. So windows may be
  merged in any order, and one that was read long ago does not make a row older.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from statekeeper.publish.key_ranges import KeyRanges
from statekeeper.publish.merge import MergedFile, MergedFiles, MergeKey, MergeSpec, OtherFile, RestFile, Wins
from statekeeper.table_formats.protocol import refuse_deletions

if TYPE_CHECKING:
    import pyarrow as pa

    from statekeeper.config.resolved import OutputConfig
    from statekeeper.store.files.disk import Disk
    from statekeeper.table_formats.protocol import NewFile, TableFile

_SHARE_BYTES, _SHARE_FILES = 512 << 20, 50
"""The most bytes and files of the table that one job works on; a larger file is a job of its own."""


@dataclass(frozen=True)
class Replacement:
    """What a commit does: parts and rest files, by their names, that it adds, and files of the version it removes."""

    parts: tuple[NewFile, ...]
    rests: tuple[RestFile, ...]
    removed: tuple[TableFile, ...]


@dataclass(frozen=True)
class TableMerge:
    """One extraction's merge. `parts` are its files, which are at their places, with keys that no two rows share.

    `table_folder` is that to which the paths of files are relative. New files go to `folder`, that of the parts, under
    names that begin with `prefix`.
    """

    table: str
    key: MergeKey
    parts: tuple[NewFile, ...]
    table_folder: Path
    folder: Path
    prefix: str
    lineage: tuple[tuple[str, str], ...]
    output: OutputConfig
    disk: Disk
    _found: dict[str, MergedFile | None] = field(default_factory=dict)
    """For each file of the table that was worked on, what became of it; None for one that shares no key."""
    _older: dict[frozenset[str], dict[str, MergedFile]] = field(default_factory=dict)
    """For files of the table with rows that count instead of new ones: what became of each part that has such rows."""

    def pending(self, files: Sequence[TableFile], columns: pa.Schema) -> tuple[MergeSpec, ...]:
        """The work to do before a commit on a version with these files and columns; none if everything is known."""
        unknown = [file for file in self._of_others(files) if file.path not in self._found]
        if unknown:
            others = self._parts_with_ranges()
            wins = Wins.NOT_LESS if self.key.order else Wins.ALWAYS
            return tuple(self._spec(share, others, columns, wins) for share in _shares(unknown))
        rivals = self._rivals(files)
        if not rivals or rivals in self._older:
            return ()
        others = tuple(OtherFile(self._place(path)) for path in sorted(rivals))
        return tuple(self._spec(share, others, columns, Wins.GREATER) for share in _shares(self.parts))

    def note(self, results: Sequence[tuple[MergeSpec, MergedFiles]], files: Sequence[TableFile]) -> None:
        """Keep the results of all work that was pending for a version with these files.

        Raises:
            DataError: a file shares keys of which the table says elsewhere that some rows do not count.
        """
        of_table = {self._place(file.path): file for file in self._of_others(files)}
        of_parts = {self._place(part.path): part.path for part in self.parts}
        older: dict[str, MergedFile] = {}
        for spec, result in results:
            found = {spec.files[each.file]: each for each in result.files}
            if spec.wins is Wins.GREATER:
                older |= {of_parts[path]: each for path, each in found.items() if each.superseded}
            else:
                refuse_deletions(self.table, (of_table[path] for path in found))
                self._found.update((of_table[path].path, found.get(path)) for path in spec.files)
        if any(spec.wins is Wins.GREATER for spec, _ in results):
            self._older[self._rivals(files)] = older

    def replacement(self, files: Sequence[TableFile]) -> Replacement:
        """What a commit on a version with these files does; nothing is pending for it."""
        older = self._older.get(self._rivals(files), {})
        removed = [(file, each) for file in files if (each := self._found.get(file.path)) and each.superseded]
        rests = [each.rest for _, each in removed] + [each.rest for each in older.values()]
        return Replacement(
            parts=tuple(part for part in self.parts if part.path not in older),
            rests=tuple(rest for rest in rests if rest is not None),
            removed=tuple(file for file, _ in removed),
        )

    def _of_others(self, files: Sequence[TableFile]) -> list[TableFile]:
        own = {part.path for part in self.parts}
        return [file for file in files if file.path not in own]

    def _rivals(self, files: Sequence[TableFile]) -> frozenset[str]:
        """The files of a version with rows that count instead of new ones."""
        return frozenset(file.path for file in files if (each := self._found.get(file.path)) and each.winning)

    def _parts_with_ranges(self) -> tuple[OtherFile, ...]:
        return tuple(
            OtherFile(self._place(part.path), KeyRanges.of(part.footer, self.key.columns)) for part in self.parts
        )

    def _place(self, path: str) -> Path:
        return (self.table_folder / path).absolute()

    def _spec(
        self,
        share: Sequence[TableFile | NewFile],
        others: tuple[OtherFile, ...],
        columns: pa.Schema,
        wins: Wins,
    ) -> MergeSpec:
        return MergeSpec(
            table=self.table,
            files=tuple(self._place(file.path) for file in share),
            others=others,
            columns=columns,
            key=self.key,
            wins=wins,
            rows=sum(file.rows or 0 for file in share),
            folder=self.folder.absolute(),
            prefix=self.prefix,
            lineage=self.lineage,
            output=self.output,
            disk=self.disk,
        )


def _shares(files: Sequence[TableFile | NewFile]) -> Iterator[list[TableFile | NewFile]]:
    """The files in order, in shares for one job each."""
    share: list[TableFile | NewFile] = []
    size = 0
    for file in files:
        if share and (size + file.bytes > _SHARE_BYTES or len(share) == _SHARE_FILES):
            yield share
            share, size = [], 0
        share.append(file)
        size += file.bytes
    if share:
        yield share
