"""Finds problems between the keys of an entry that say into which table it is published, and how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from statekeeper.config.databricks import is_mounted_object_store
from statekeeper.config.reading.problems import Problem
from statekeeper.config.sections.output import OutputConfig
from statekeeper.config.sections.table_formats import ICEBERG, PARQUET, WriteMode
from statekeeper.config.sections.tables import OnViolation, TableEntry
from statekeeper.model.table import Layout


class Table(Protocol):
    """An entry over its defaults."""

    @property
    def entry(self) -> TableEntry: ...

    @property
    def output(self) -> OutputConfig: ...

    @property
    def format(self) -> str: ...

    @property
    def write(self) -> WriteMode: ...

    def problem(self, *key: str | int, text: str, hint: str = "") -> Problem: ...


def format_problems(table: Table) -> Iterator[Problem]:
    """The problems of an entry's format, and of its way to write."""
    entry, output, kind = table.entry, table.output, table.format
    if kind == PARQUET:
        if entry.write:
            text = f"'{entry.write}' is for a table format, and this table is published as files"
            yield table.problem("write", text=text, hint="add `format: delta`")
    elif is_mounted_object_store(output.base_path):
        text = f"a volume cannot hold a table in the format {kind}: it has no way to create a file only once"
        hint = "write `format: parquet` and load into managed tables, or use an object store as output.base_path"
        yield table.problem("format", text=text, hint=hint)
    elif kind == ICEBERG and output.catalog is None:
        text = "an Iceberg table needs a catalog, which knows its current version"
        hint = "write in `output`: `catalog: {type: sql, uri: 'sqlite:///catalog.db'}`"
        yield table.problem("format", text=text, hint=hint)
    elif output.layout is Layout.DATED:
        text = f"a table in the format {kind} needs the layout hive; found output.layout: dated"
        yield table.problem("format", text=text, hint="write `layout: hive` in `output`")
    elif table.write is WriteMode.MERGE:
        yield from _merge(table)


def _merge(table: Table) -> Iterator[Problem]:
    if len(keys := table.entry.unique or ()) != 1:
        text = f"write: merge needs one key in `unique`, by which rows are found in the table; found {len(keys)}"
        hint = "a key of several columns is a list in the list: unique: [[ORDER_ID, LINE_NO]]"
        yield table.problem("unique", text=text, hint=hint)
    if table.entry.on_violation is OnViolation.WARN:
        text = "write: merge needs rows with different keys, and 'warn' would let equal ones pass"
        yield table.problem("on_violation", text=text, hint="write 'fail' or 'quarantine'")
