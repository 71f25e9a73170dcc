"""The `type: duckdb` of `sources:`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field

from statekeeper.config.root import expanded
from statekeeper.config.sections.chunking import ChunkingStrategy
from statekeeper.config.sections.section import FilePath
from statekeeper.config.sections.source import SourceSection


class DuckDBSource(SourceSection):
    """A DuckDB database file."""

    CAN_CUT_BY: ClassVar[frozenset[ChunkingStrategy]] = frozenset(ChunkingStrategy) - {ChunkingStrategy.PARTITION}

    type: Literal["duckdb"] = Field(description="the kind of source")
    path: FilePath = Field(description="the database file; a relative path starts at the root of the configuration")

    def identity_settings(self) -> dict[str, str]:
        return {"path": self.path}

    def anchored(self, folder: Path) -> Self:
        return self.model_copy(update={"path": str(folder / expanded(self.path))})
