"""The configuration for drafted tables, as YAML text. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml

from statekeeper.drafting.tables import TableDraft
from statekeeper.model.table import safe_name


@dataclass(frozen=True)
class ConfigDraft:
    """What a configuration is written from.

    `source` holds the source's keys as they are written, references such as `${ORACLE_PASSWORD}` among them; `models`
    the schema of each table that is extracted, `schemas/new.py:Class`, by its place in `tables`.
    """

    path: str
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
        source = "".join(f"    {key}: {_written(value)}\n" for key, value in self.source.items())
        return (
            f"{head}\npipeline: {scalar(self.pipeline)}\n\nsources:\n  {scalar(self.source_name)}:\n{source}\n"
            f"output:\n  base_path: data\n\ntables:\n{self._entries()}"
        )

    def _entries(self) -> str:
        paths = _path_names(self.tables)
        texts = []
        for index, table in enumerate(self.tables):
            lines = _entry(table, model=self.models.get(index), path_name=paths.get(index))
            if table.reasons:
                why = ["This table cannot be extracted as it is:", *(f"  {reason}" for reason in table.reasons)]
                lines = [f"# {line}" for line in (*why, *lines)]
            texts.append("".join(f"  {line}\n" for line in lines))
        return "\n".join(texts)


def scalar(value: str) -> str:
    """Text as YAML, whatever characters it has; `${` stays literal."""
    value = value.replace("${", "$${")
    dumped: str = yaml.safe_dump(value, allow_unicode=True, width=float("inf"))
    plain = dumped.removesuffix("\n").removesuffix("\n...")
    return plain if "\n" not in plain else yaml.safe_dump(value, default_style='"', width=float("inf")).strip()


def _written(value: str | int) -> str:
    return str(value) if isinstance(value, int) or value.startswith("${") else scalar(value)


def _entry(table: TableDraft, *, model: str | None, path_name: str | None) -> list[str]:
    relation = table.relation
    keys = {"schema_name": relation.schema_name, "table_name": relation.table_name, "path_name": path_name}
    lines = [f"{key}: {scalar(value)}" for key, value in keys.items() if value is not None]
    if model is not None:
        lines.append(f"schema: {scalar(model)}")
    for column in table.incremental_candidates[:1]:
        about = "whole once, then by day: needs an extraction_date that is over"
        lines.append(f"# incremental_column: {scalar(column)}    # {about}")
    return [f"{'- ' if number == 0 else '  '}{line}" for number, line in enumerate(lines)]


def _path_names(tables: Sequence[TableDraft]) -> dict[int, str]:
    """A `path_name` for each table whose own name another one has, as a file system that ignores case sees them."""
    taken: set[str] = set()
    found: dict[int, str] = {}
    for index, table in enumerate(tables):
        name = str(table.relation.table_name)
        plain = name.strip('"') or name  # quotes say how a name is spelt in Oracle; they are no part of it
        chosen, number = plain, 2
        while safe_name(chosen).casefold() in taken:
            schema = table.relation.schema_name
            chosen = f"{schema}_{plain}" if schema and number == 2 else f"{plain}_{number}"
            number += 1
        taken.add(safe_name(chosen).casefold())
        if chosen != name:
            found[index] = chosen
    return found
