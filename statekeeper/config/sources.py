"""The `sources:` of the configuration, one class for each `type`.

A further kind of source is one more class here, and its name in `SourceConfig`.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from pydantic import Field

from statekeeper.config.section import Name, Section


class SourceSection(Section):
    """What every source has: its kind and its budget of sessions. A field that holds a secret is a `SecretStr`."""

    CAN_READ_THE_PAST: ClassVar[bool] = False
    """Whether the source can read at an earlier time that a user names (`flashback_enabled`)."""

    max_sessions: int | None = Field(
        default=None,
        ge=1,
        description="a hard budget of sessions over all tables, chunks and processes; without it, as many as workers",
    )

    def identity_settings(self) -> dict[str, str]:
        """The settings that say which data is meant, for fingerprints: never hosts, users, secrets or budgets."""
        raise NotImplementedError


class DuckDBSource(SourceSection):
    """A DuckDB database file."""

    type: Literal["duckdb"] = Field(description="the kind of source")
    path: Name = Field(description="the database file, relative to the working directory")

    def identity_settings(self) -> dict[str, str]:
        return {"path": self.path}


SourceConfig: TypeAlias = DuckDBSource
"""Any source. With a second class: `Annotated[DuckDBSource | OracleSource, Field(discriminator="type")]`."""
