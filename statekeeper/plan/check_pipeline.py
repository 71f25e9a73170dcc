"""Finds the problems of a pipeline that its config and its models show, before any source is asked.

Every model is loaded, which executes its file, and is searched for the columns that other keys name. Each table
format's library must be installed. What only a source knows is checked later, when a table is planned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from statekeeper.config.loader import load_pipeline
from statekeeper.config.reading.problems import Finding, error_of
from statekeeper.config.reading.references import Unset
from statekeeper.config.resolved import ExtractionConfig, OnDrift, Pipeline
from statekeeper.config.sections.chunking import ChunkingStrategy
from statekeeper.errors import ConfigError, PlanError
from statekeeper.model.table import TableRef
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.inline import rule_problems
from statekeeper.schemas.model.load import ModelFileError, load_model
from statekeeper.sources.columns import named_column
from statekeeper.table_formats.registry import table_format

if TYPE_CHECKING:
    from pydantic import BaseModel


def load_checked(
    path: Path, *, environ: Mapping[str, str], tables_path: Path | None = None, unset: Unset = Unset.REFUSE
) -> Pipeline:
    """The pipeline of a file, with usable models; with `Unset.LEAVE` values of its sources may be missing.

    Raises:
        ConfigError: each problem of the file and of its models is a line of the message.
    """
    try:
        pipeline, problems = load_pipeline(path, environ=environ, tables_path=tables_path, unset=unset), ""
    except ConfigError as error:
        try:
            pipeline = load_pipeline(path, environ=environ, tables_path=tables_path, unset=Unset.LEAVE)
        except ConfigError:
            raise error from None
        problems = f"{error.message}\n"
    findings = list(_findings(pipeline))
    if findings:
        raise ConfigError(problems + error_of(findings).message)
    if problems:
        raise ConfigError(problems.rstrip("\n"))
    return pipeline


@dataclass(frozen=True)
class _Column:
    """A name by which a model's field is matched."""

    name: str


def _findings(pipeline: Pipeline) -> Iterator[Finding]:
    loading = _Loading()
    models = {table.table: loading.model_of(table) for table in pipeline.tables}
    yield from loading.findings
    yield from _missing_libraries(pipeline)
    columns = {
        table.table: tuple(_Column(key) for part in read_model(model).fields for key in part.keys)
        for table in pipeline.tables
        if (model := models[table.table]) and table.on_drift is OnDrift.FAIL  # otherwise it may lack columns
    }
    for table in pipeline.tables:
        yield from _unknown_columns(table, columns)


def _missing_libraries(pipeline: Pipeline) -> Iterator[Finding]:
    """A finding for the first table of each format whose library is not installed."""
    for config in {table.format: table for table in reversed(pipeline.tables) if table.is_in_table}.values():
        try:
            table_format(config.format)
        except ConfigError as error:
            yield Finding(_place(config, "format"), error.message, error.hint or "")


@dataclass
class _Loading:
    """Loads models, but tries a file that cannot be imported only once."""

    findings: list[Finding] = field(default_factory=list)
    _broken: dict[str, ModelFileError] = field(default_factory=dict)

    def model_of(self, table: ExtractionConfig) -> type[BaseModel] | None:
        """The model of a table; None if it has none, or if it has a problem, which is then among the findings."""
        if table.model.columns is not None and (problems := rule_problems(table.model.columns)):
            place = _place(table, "columns")
            self.findings += [Finding(f"{place}.{column}", text) for column, text in problems.items()]
            return None
        try:
            model = self._load(table)
        except ConfigError as error:
            self.findings.append(Finding(_place(table, "schema"), error.message, error.hint or ""))
            return None
        if model is not None and (why := read_model(model).unsupported):
            self.findings.append(Finding(_place(table, "schema"), f"{model.__name__} cannot describe a table: {why}"))
            return None
        return model

    def _load(self, table: ExtractionConfig) -> type[BaseModel] | None:
        file = (table.model.path or "").rpartition(":")[0]
        if file in self._broken:
            raise self._broken[file]
        try:
            return load_model(table.model, base=table.root)
        except ModelFileError as error:
            self._broken[file] = error
            raise


def _unknown_columns(table: ExtractionConfig, models: Mapping[TableRef, tuple[_Column, ...]]) -> Iterator[Finding]:
    """The columns that keys of a table name but the model lacks."""
    wanted: list[tuple[TableRef, str, str]] = []
    if table.incremental is not None:
        wanted.append((table.table, "incremental_column", table.incremental.column))
    if table.chunking.strategy is ChunkingStrategy.KEY and table.chunking.column is not None:
        wanted.append((table.table, "chunking", table.chunking.column))
    wanted += [(table.table, "unique", name) for names in table.keys.unique for name in names]
    for reference in table.keys.references:
        wanted += [(table.table, "references", name) for name in reference.columns]
        wanted += [(reference.parent, "references", name) for name in reference.parent_columns]
    for owner, key, name in wanted:
        try:
            if owner in models:
                named_column(models[owner], name, f"the model of {owner.key}")
        except PlanError as error:
            yield Finding(_place(table, key), error.message, error.hint or "")


def _place(table: ExtractionConfig, key: str) -> str:
    return table.places.get(key, table.declared_at)
