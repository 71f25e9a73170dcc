"""Resolves `unique:` and `references:` of entries against all tables of the configuration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Protocol

from statekeeper.config.reading.problems import Problem, found
from statekeeper.config.sections.keys import ReferenceEntry, as_columns
from statekeeper.config.sections.source import SnapshotScope, SourceSection
from statekeeper.config.sections.tables import TableEntry
from statekeeper.config.suggest import nearest
from statekeeper.model.table import Keys, Reference, Relation, TableRef


class Table(Protocol):
    """An entry over its defaults."""

    @property
    def entry(self) -> TableEntry: ...

    @property
    def source(self) -> SourceSection | None: ...

    @property
    def ref(self) -> TableRef: ...

    @property
    def relation(self) -> Relation: ...

    @property
    def is_full_extract(self) -> bool: ...

    def problem(self, *key: str | int, text: str, hint: str = "") -> Problem: ...


def reference_problems(table: Table, tables: Sequence[Table]) -> Iterator[Problem]:
    """The problems of an entry's references, given the other entries."""
    for index, entry in enumerate(table.entry.references or ()):
        parents = _tables_named(entry.table, tables)
        if len(parents) == 1:
            yield from _incompatible_pair(table, parents[0], index)
            continue
        problem = table.problem("references", index, "table", text="")
        shown = found(problem.document, problem.path)
        if parents:
            keys = ", ".join(parent.ref.key for parent in parents)
            text, hint = (
                f"expected one table of the run; found {shown}, the name of several",
                f"write one of {keys}",
            )
        else:
            names = {name for each in tables for name in each.ref.names}
            is_hidden = problem.path in problem.document.hidden
            text = f"expected another table of this configuration, or the same; found {shown}"
            hint = "" if is_hidden else nearest(entry.table, names)
        yield table.problem("references", index, "table", text=text, hint=hint)


def keys_of(table: Table, tables: Sequence[Table]) -> Keys:
    """The keys of an entry without problems."""
    return Keys(
        unique=tuple(as_columns(columns) for columns in table.entry.unique or ()),
        references=tuple(_reference(entry, tables) for entry in table.entry.references or ()),
    )


def _reference(entry: ReferenceEntry, tables: Sequence[Table]) -> Reference:
    (parent,) = _tables_named(entry.table, tables)
    assert parent.source is not None
    identity = json.dumps([parent.source.type_name(), parent.source.identity_settings()], sort_keys=True)
    own, theirs = entry.pair
    return Reference(
        columns=own,
        parent=parent.ref,
        parent_columns=theirs,
        parent_relation=parent.relation,
        parent_source=hashlib.sha256(identity.encode()).hexdigest()[:16],
    )


def _tables_named(name: str, tables: Sequence[Table]) -> list[Table]:
    """The tables with this name; if none has it exactly, those that differ only in case."""
    exact = [table for table in tables if name in table.ref.names]
    return exact or [table for table in tables if name.casefold() in {one.casefold() for one in table.ref.names}]


def _incompatible_pair(table: Table, parent: Table, index: int) -> Iterator[Problem]:
    """Why rows of `table` cannot be checked against those of `parent`."""
    for name, source in {table.ref.source_name: table.source, parent.ref.source_name: parent.source}.items():
        if source is not None and source.snapshot_scope is SnapshotScope.TABLE:
            yield table.problem(
                "references",
                index,
                text=f"a reference needs snapshot_scope: run, since rows read at different times may not match; "
                f"found 'table' for the source '{name}'",
                hint=f"set sources.{name}.snapshot_scope: run, or leave the reference out",
            )
    if not parent.is_full_extract:
        yield table.problem(
            "references",
            index,
            text=f"a reference needs all rows of {parent.ref.key}, which is extracted by windows",
            hint="set is_full_extract: true there, or leave the reference out",
        )
