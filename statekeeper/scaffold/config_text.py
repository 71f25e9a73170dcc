"""The configuration for drafted tables, as YAML text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from statekeeper.scaffold.entries import entry, path_names, scalar
from statekeeper.scaffold.tables import TableDraft


@dataclass(frozen=True)
class ConfigDraft:
    """The content of a configuration.

    `source` has the source's keys as written in the file, including references such as `${ORACLE_PASSWORD}`; `models`
    maps the index of each extractable table to its schema, `schemas/new.py:Class`; `root` is where relative paths
    start, if the file must say so.
    """

    path: str
    root: str | None
    pipeline: str
    source_name: str
    source: Mapping[str, str | int]
    tables: Sequence[TableDraft]
    models: Mapping[int, str]

    def text(self) -> str:
        """The whole file."""
        head = (
            f"# Written by `statekeeper init` from the database's dictionary; yours to edit.\n"
            f"#\n"
            f"#   statekeeper check --connect {self.path}\n"
            f"#   statekeeper run {self.path}\n"
            f"#\n"
            f"# docs/configuration.md has every key.\n"
        )
        root = "" if self.root is None else f"root: {scalar(self.root)}\n"
        source = "".join(f"    {key}: {_written(value)}\n" for key, value in self.source.items())
        return (
            f"{head}\npipeline: {scalar(self.pipeline)}\n{root}\nsources:\n  {scalar(self.source_name)}:\n{source}\n"
            f"output:\n  base_path: data\n\ntables:\n{self._entries()}"
        )

    def _entries(self) -> str:
        paths = path_names(self.tables)
        return "\n".join(
            entry(table, _schema(table, self.models.get(index)), path_name=paths.get(index))
            for index, table in enumerate(self.tables)
        )


def _written(value: str | int) -> str:
    return str(value) if isinstance(value, int) or value.startswith("${") else scalar(value)


def _schema(table: TableDraft, model: str | None) -> list[str]:
    lines = [] if model is None else [f"schema: {scalar(model)}"]
    for column in table.incremental_candidates[:1]:
        about = "whole once, then by day: needs an extraction_date that is over"
        lines.append(f"# incremental_column: {scalar(column)}    # {about}")
        lines.append(
            "# incremental_timezone: UTC    # the zone in which it is written, which a column without a zone needs"
        )
    return lines
