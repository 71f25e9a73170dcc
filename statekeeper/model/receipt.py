"""Receipts: the durable proof that a piece of a plan's work is done."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from statekeeper.model.base import Document


class Receipt(Document):
    """A finished chunk. Only what a receipt names counts: a part file without one is garbage."""

    format: Literal["statekeeper.receipt"] = "statekeeper.receipt"

    plan_id: str
    chunk_id: int = Field(ge=0)
    attempt: str = Field(description="unique per attempt; the staged part's name carries it")
    part: str = Field(description="the staged part's file name")
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    md5: str
    arrow_schema: str = Field(description="sha256 of the Arrow schema written, so that parts are known to agree")
    snapshot: str = Field(description="the snapshot's token, as the reading session saw it")
    started_at: AwareDatetime
    ended_at: AwareDatetime


class CountReceipt(Document):
    """What the source itself counts at the plan's snapshot, taken before any chunk is read."""

    format: Literal["statekeeper.count"] = "statekeeper.count"

    plan_id: str
    rows: int = Field(ge=0)
    null_incremental_rows: int | None = Field(
        default=None, description="rows outside every window because their incremental column is NULL"
    )
    ended_at: AwareDatetime
