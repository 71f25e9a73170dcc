"""Receipts: the durable proof that a part of a plan's work is done."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field

from statekeeper.model.base import Document, StoredValue
from statekeeper.model.metadata import PublishedFile
from statekeeper.model.packed import Packed


class Receipt(Document):
    """A finished chunk. A part file that no receipt names is garbage."""

    format: Literal["statekeeper.receipt"] = "statekeeper.receipt"

    plan_id: str
    chunk_id: int = Field(ge=0)
    attempt: str = Field(description="unique per attempt; the staged part's name carries it")
    part: str = Field(description="the staged part's name in the folder of parts, perhaps in a subfolder")
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    md5: str
    e_tag: str | None = Field(
        default=None,
        description="the ETag that S3 gives to the part, if it went up in pieces: the md5 of their md5s, their number",
    )
    arrow_schema: str = Field(description="sha256 of the Arrow schema written, so that parts are known to agree")
    snapshot: str = Field(description="the snapshot's token, as the reading session saw it")
    started_at: AwareDatetime
    ended_at: AwareDatetime


class RecordedReceipts(Document):
    """The receipt that counts for each chunk, where every attempt leaves one of its own."""

    format: Literal["statekeeper.recorded_receipts"] = "statekeeper.recorded_receipts"

    plan_id: str
    receipts: Packed[Receipt]


class CountReceipt(Document):
    """The source's own row count at the plan's snapshot, taken before any chunk is read."""

    format: Literal["statekeeper.count"] = "statekeeper.count"

    plan_id: str
    rows: int = Field(ge=0)
    null_incremental_rows: int | None = Field(
        default=None, description="rows without a value in the incremental column"
    )
    ended_at: AwareDatetime


class StagedFile(StoredValue):
    """A Parquet file in the folder of staged parts."""

    part: str = Field(description="the file's name there")
    rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    md5: str


class PublishablePart(StagedFile):
    """A staged file that may be published, and its name in the dataset."""

    name: str

    @property
    def published(self) -> PublishedFile:
        """The file as readers see it."""
        return PublishedFile(name=self.name, rows=self.rows, bytes=self.bytes, md5=self.md5)


class SplitOutput(StrEnum):
    """Which files a split of a part writes: only the rejected rows, or the kept rows too."""

    REJECTED = "rejected"
    BOTH = "both"


class SplitReceipt(Document):
    """A staged part, split into rows that satisfy the schema and rows that break it.

    `kept` has the former, null if only the latter were requested; `rejected` has the latter, with what they break.
    """

    format: Literal["statekeeper.sift"] = "statekeeper.sift"

    plan_id: str
    chunk_id: int = Field(ge=0)
    attempt: str
    source_md5: str = Field(description="of the part: a part that is written again is split again")
    kept: StagedFile | None
    rejected: StagedFile


class RejectsReceipt(Document):
    """The rejected rows of all parts, in one file."""

    format: Literal["statekeeper.rejects"] = "statekeeper.rejects"

    plan_id: str
    attempt: str
    sources: tuple[str, ...] = Field(description="the md5 of each file of rejected rows that went into it, in order")
    file: StagedFile
