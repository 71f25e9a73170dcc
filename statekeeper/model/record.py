"""`<run_id>_state.json`: the frozen record of one extraction's state machine.

Named methods return changed copies. Whether a transition is allowed is decided in `statekeeper.run.lifecycle`, the only
caller of `entered`.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import AwareDatetime, Field

from statekeeper.model.base import Document, StoredValue
from statekeeper.model.metadata import Metadata, TableCommit
from statekeeper.model.plan import Snapshot
from statekeeper.model.state import Failure, Owner, State
from statekeeper.model.table import Scope, StoredPosition, TableRef


class HistoryEntry(StoredValue):
    """One past transition."""

    trigger: str
    source: State
    dest: State
    at: AwareDatetime
    owner: Owner
    reason: str | None = None


class PublishIntent(StoredValue):
    """What publication is about to do, persisted before it changes anything a reader sees.

    `aside_name` is the name to which existing output is moved. `metadata` is the complete commit record to write; it
    lists the files.
    """

    plan_id: str
    aside_name: str
    metadata: Metadata


class Published(StoredValue):
    """What this extraction published when it last completed."""

    plan_id: str
    records: int
    bytes: int
    checksum: str
    output_path: str
    metadata_md5: str
    fingerprint: str
    snapshot: Snapshot | None = Field(
        default=None, description="the one it was read at; null in files of older versions"
    )
    remarks: tuple[str, ...] = Field(default=(), description="what a user should know about it, one sentence each")
    covered_through: StoredPosition | None = Field(
        default=None, description="of a table with an incremental column: see the metadata"
    )
    objects_digest: str | None = Field(
        default=None, description="in an object store, the SHA-256 of the published objects' names, sizes and versions"
    )
    table: TableCommit | None = Field(default=None, description="the commit to a table of a format, if it is in one")


class StateRecord(Document):
    """The persisted state of one extraction, with its full history."""

    format: Literal["statekeeper.state"] = "statekeeper.state"

    run_id: str
    pipeline: str
    extraction_date: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    table: TableRef
    state: State = State.PENDING
    revision: int = Field(default=0, ge=0, description="grows by one with every save")
    fingerprint: str = Field(description="of the configuration of the current plan")
    scope: Scope | None = Field(default=None, description="mode and window, decided once at the first plan")
    plan_id: str | None = None
    chunks_total: int = 0
    attempts: int = Field(default=0, description="how often extraction was started or resumed")
    snapshot_restarts: int = Field(
        default=0, description="restarts since the last completion because a snapshot was lost"
    )
    failure: Failure | None = None
    intent: PublishIntent | None = None
    published: Published | None = None
    in_table: tuple[str, ...] = Field(
        default=(),
        description="the first eight characters of every plan whose files a table of a format has or had: its earlier "
        "versions need them",
    )
    owner: Owner | None = None
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None
    history: tuple[HistoryEntry, ...] = ()

    def entered(self, dest: State, *, trigger: str, at: datetime, owner: Owner, reason: str | None) -> Self:
        """In state `dest`, with the transition added to the history."""
        entry = HistoryEntry(trigger=trigger, source=self.state, dest=dest, at=at, owner=owner, reason=reason)
        return self._with(state=dest, owner=owner, history=(*self.history, entry))

    def planned(self, *, plan_id: str, chunks_total: int, scope: Scope, fingerprint: str, at: datetime) -> Self:
        """With a current plan whose work is about to begin."""
        return self._with(
            plan_id=plan_id,
            chunks_total=chunks_total,
            scope=scope,
            fingerprint=fingerprint,
            started_at=at,
            ended_at=None,
            failure=None,
            intent=None,
            attempts=self.attempts + 1,
        )

    def with_new_attempt(self) -> Self:
        """With one more attempt, and without the failure of the last one."""
        return self._with(attempts=self.attempts + 1, failure=None, ended_at=None)

    def without_plan(self, *, is_snapshot_lost: bool) -> Self:
        """Without a current plan: the next one starts from scratch. What is published stays."""
        return self._with(
            plan_id=None,
            chunks_total=0,
            intent=None,
            failure=None,
            ended_at=None,
            snapshot_restarts=self.snapshot_restarts + is_snapshot_lost,
        )

    def failed(self, failure: Failure, *, at: datetime) -> Self:
        """With the reason of a failure."""
        return self._with(failure=failure, ended_at=at)

    def with_intent(self, intent: PublishIntent) -> Self:
        """With the publication that is about to start."""
        return self._with(intent=intent)

    def completed(self, published: Published, *, at: datetime) -> Self:
        """With what was published; nothing is left to do."""
        known = self.with_in_table({published.plan_id[:8]}) if published.table else self
        changes = {"published": published, "intent": None, "failure": None, "ended_at": at, "snapshot_restarts": 0}
        return known.model_copy(update=changes)

    def with_in_table(self, plans: AbstractSet[str]) -> Self:
        """With these plans among those whose files a table has or had, by their first eight characters."""
        new = sorted(plans - {*self.in_table})
        return self._with(in_table=(*self.in_table, *new)) if new else self

    def with_objects_digest(self, digest: str) -> Self:
        """With another digest of the published objects, which are verified."""
        assert self.published is not None, "only what is published has a digest"
        return self._with(published=self.published.model_copy(update={"objects_digest": digest}))

    def intent_of_plan(self, plan_id: str) -> PublishIntent | None:
        """The intent to publish what a plan has staged, if it is persisted."""
        return self.intent if self.intent and self.intent.plan_id == plan_id else None

    def belongs_to(self, run_id: str, table: TableRef) -> bool:
        """Whether the record is for this table and run, and not for another one with the same file."""
        return (self.run_id, self.table) == (run_id, table)

    def with_revision(self, revision: int) -> Self:
        """With its number in the order of saves."""
        return self._with(revision=revision)

    def _with(self, **changes: object) -> Self:
        return self.model_copy(update=changes)


class Trigger(StrEnum):
    """What can happen to an extraction."""

    START = "start"
    RESUME = "resume"
    EXTRACTED = "extracted"
    PASSED = "passed"
    REDO = "redo"
    FAIL = "fail"
    RETRY = "retry"
    RESTART = "restart"
