"""Of an extraction's two documents, as much as `history` shows: thousands of them are read at once.

Whole JSON with these keys is read five times as fast as the whole document. Damage to other keys is not seen here: what
decides about rows reads `statekeeper.model.metadata` and `statekeeper.model.record`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from statekeeper.model.table import Scope


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", cache_strings="keys")


class _Snapshot(_Part):
    taken_at: AwareDatetime


class _TableConfig(_Part):
    incremental_column: str | None
    extraction_date: str
    scope: Scope


class PastCommit(_Part):
    """Of a commit record: see `statekeeper.model.metadata.Metadata`."""

    run_id: str
    record_count: int
    file_size_bytes: int
    end_time: AwareDatetime
    extraction_complete: bool
    schema_version: Literal[1] = 1
    table_config: _TableConfig
    snapshot: _Snapshot


class PastState(_Part):
    """Of a state file: see `statekeeper.model.record.StateRecord`."""

    format: Literal["statekeeper.state"]
    version: Literal[1]
    state: str
