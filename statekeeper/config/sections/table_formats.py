"""The formats of published tables that a configuration may name; `statekeeper.table_formats.registry` defines them.

`parquet` is no table format: the files alone are published then.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from statekeeper.config.sections.section import refusal
from statekeeper.config.suggest import nearest
from statekeeper.registry import Registry

PARQUET, ICEBERG = "parquet", "iceberg"

TABLE_FORMATS = Registry(
    group="statekeeper.table_formats",
    what="table format",
    shipped={"delta": "delta.format:FORMAT", "iceberg": "iceberg.format:FORMAT"},
)
"""The table formats by name; a shipped one's path is relative to `statekeeper.table_formats`."""


class WriteMode(StrEnum):
    """What an extraction does to the rows that its table has."""

    APPEND = "append"
    """They stay."""
    REPLACE = "replace"
    """All of them are replaced."""
    REPLACE_DATE = "replace_date"
    """Those of the extraction date are replaced."""
    MERGE = "merge"
    """Those with a key of the extraction's rows are replaced."""

    @property
    def is_by_date(self) -> bool:
        """Whether the table is partitioned by the extraction date."""
        return self in {WriteMode.APPEND, WriteMode.REPLACE_DATE}


def _names() -> tuple[str, ...]:
    return (PARQUET, *TABLE_FORMATS.names)


def _known(name: str) -> str:
    if name == PARQUET or TABLE_FORMATS.has(name):
        return name
    hint = "; ".join(filter(None, (nearest(name, _names()), TABLE_FORMATS.hint_of_more)))
    raise refusal(f"one of {', '.join(map(repr, _names()))}", hint=hint)


class _Names:
    """Lists the formats in the JSON Schema."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found: dict[str, Any] = {**handler(schema), "enum": list(_names())}
        return {"anyOf": [found, {"type": "string", "pattern": r"\$\{"}]}


FormatName = Annotated[str, AfterValidator(_known), _Names()]
"""The name of a format."""
