"""The `chunking:` of a table: how it is cut into chunks."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AliasChoices, ConfigDict, Field
from pydantic.config import JsonDict

from statekeeper.config.sections.section import Name, Section


class ChunkingStrategy(StrEnum):
    """What chunks are cut along."""

    AUTO = "auto"
    PARTITION = "partition"
    ROWID = "rowid"
    KEY = "key"
    NONE = "none"


def _also_key(schema: JsonDict) -> None:
    properties = schema["properties"]
    assert isinstance(properties, dict)
    properties["key"] = {"description": "the same as column", "type": "string"}


class ChunkingPolicy(Section):
    """How a table is cut: the strategy, and about how many rows per chunk. `column` may also be written `key`."""

    model_config = ConfigDict(json_schema_extra=_also_key)

    strategy: Annotated[ChunkingStrategy, Field(strict=False)] = Field(
        default=ChunkingStrategy.AUTO,
        description="auto: the best that the source offers; partition, rowid; key: ranges of `column`; none: one chunk",
    )
    column: Name | None = Field(
        default=None,
        validation_alias=AliasChoices("column", "key"),
        description="the column whose ranges are the chunks of `strategy: key`",
    )
    target_rows: int = Field(default=1_000_000, gt=0, description="about how many rows a chunk has")
