"""The base of every source's section."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, get_args

from pydantic import Field

from statekeeper.config.sections.chunking import ChunkingStrategy
from statekeeper.config.sections.section import Section


class SnapshotScope(StrEnum):
    """What shares one snapshot of a source: each table has its own, or all tables of the run share one."""

    TABLE = "table"
    RUN = "run"


class SourceSection(Section):
    """What every source has: its kind and its budget of sessions. A field that holds a secret is a `SecretStr`."""

    CAN_READ_THE_PAST: ClassVar[bool] = False
    """Whether the source can read at an earlier time that a user names (`flashback_enabled`)."""
    CAN_CUT_BY: ClassVar[frozenset[ChunkingStrategy]] = frozenset()
    """The chunking strategies that tables of such a source may use."""
    MAY_COME_BACK: ClassVar[bool] = False
    """Whether to retry a source that became unreachable during a run, since it may be restarting."""

    max_sessions: int | None = Field(
        default=None,
        ge=1,
        description="a hard budget of sessions over all tables, chunks and processes; without it, as many as workers",
    )

    snapshot_scope: Annotated[SnapshotScope, Field(strict=False)] = Field(
        default=SnapshotScope.TABLE,
        description="table: each table at a snapshot of its own; run: one snapshot for all tables of the run",
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Only the type: other settings may come from the environment and contain a password."""
        yield "type", self.type_name()

    @classmethod
    def type_name(cls) -> str:
        """The value of the key `type`: that of the class's field `type`, which is a Literal."""
        field = cls.model_fields.get("type")
        words = get_args(field.annotation) if field is not None else ()
        return str(words[0]) if words else ""

    def identity_settings(self) -> dict[str, str]:
        """The settings that identify the data, for fingerprints: never hosts, users, secrets or budgets."""
        raise NotImplementedError

    def anchored(self, folder: Path) -> Self:
        """The same source with paths as a process opens them: relative ones from `folder`, `~` the home folder."""
        del folder  # there are no paths
        return self

    def shares_login(self, other: SourceSection) -> bool:
        """Whether both are one database under two names: then they share sessions, their budget and the login."""
        return self == other

    def session_budget(self, *, workers: int) -> int:
        """The most concurrent sessions over all processes."""
        return self.max_sessions or workers
