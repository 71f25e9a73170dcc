"""The models of the configuration file, and of the tables file that may replace its `tables:`.

Editors use their JSON Schema to complete configurations.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Any, Union

from pydantic import AfterValidator, ConfigDict, Field, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from statekeeper.config.sections.dates import ExtractionDate
from statekeeper.config.sections.output import ExecutionConfig, OutputConfig
from statekeeper.config.sections.policies import StatePolicies
from statekeeper.config.sections.section import FilePath, Name, Section, refusal
from statekeeper.config.sections.source import SourceSection
from statekeeper.config.sections.sources import loadable_sections
from statekeeper.config.sections.storage import StorageConfig
from statekeeper.config.sections.tables import TableDefaults, TableEntry

_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f/\\]")
_LONGEST_NAME = 150


def _names_files(name: str) -> str:
    if name.startswith(".") or _NOT_IN_NAMES.search(name) or len(name.encode()) > _LONGEST_NAME:
        raise refusal(
            f"a name for files, of at most {_LONGEST_NAME} bytes: no / or \\, no control characters, no dot first"
        )
    return name


PipelineName = Annotated[Name, AfterValidator(_names_files)]


class ConfigFile(Section):
    """A pipeline's configuration."""

    model_config = ConfigDict(defer_build=True)  # only subclasses validate: `config_file`

    pipeline: PipelineName = Field(description="the pipeline's name; runs are named after it")
    root: FilePath | None = Field(
        default=None,
        description="the folder that relative paths start at, relative to this file; by default the nearest folder, "
        "from this file's upward, that has .statekeeper/, pyproject.toml or .git, else this file's own",
    )
    sources: dict[Name, SourceSection] = Field(min_length=1, description="databases, by the name that tables use")
    output: OutputConfig = Field(default=OutputConfig(), description="where and how Parquet is written")
    storage: StorageConfig = Field(
        default=StorageConfig(), description="how to reach the object store of output.base_path, if it is in one"
    )
    execution: ExecutionConfig = Field(default_factory=ExecutionConfig, description="how work is run")
    extraction_date: ExtractionDate = Field(default="today", description="the day of a run without --date")
    show_values: bool = Field(
        default=True, description="false: no row values in state, log, hooks, terminal or violations file"
    )
    defaults: TableDefaults = Field(default=TableDefaults(), description="table keys for tables that do not set them")
    states: StatePolicies = Field(default=StatePolicies(), description="policies of the state machine")
    tables: tuple[TableEntry, ...] | None = Field(
        default=None, min_length=1, description="the tables; may be left out if they come from --tables"
    )


@cache
def config_file(sections: tuple[type[SourceSection], ...]) -> type[ConfigFile]:
    """The model of a configuration with sources of these types."""
    source: Any = sections[0]
    if len(sections) > 1:
        source = Annotated[Union[sections], Field(discriminator="type")]  # noqa: UP007 - of a tuple
    sources: Any = (dict[Name, source], ConfigFile.model_fields["sources"])
    return create_model(
        "ConfigFile", __base__=ConfigFile, __module__=__name__, __doc__=ConfigFile.__doc__, sources=sources
    )


class TablesFile(Section):
    """The file of `--tables`: a mapping with `tables`, or only the list."""

    tables: tuple[TableEntry, ...] = Field(min_length=1)


class _WithReferences(GenerateJsonSchema):
    """A JSON Schema that also accepts `${NAME}` for numbers, booleans and enums."""

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return _or_reference(super().int_schema(schema))

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        return _or_reference(super().bool_schema(schema))

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        return _or_reference(super().enum_schema(schema))


def _or_reference(schema: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": [schema, {"type": "string", "pattern": r"\$\{"}]}


def config_json_schema() -> dict[str, Any]:
    """The JSON Schema of a configuration file, with every shipped or installed type of source."""
    return config_file(loadable_sections()).model_json_schema(schema_generator=_WithReferences)
