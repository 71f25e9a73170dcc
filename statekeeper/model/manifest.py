"""The run manifest, and the pointer that lets a bare `resume` or `status` find the last run."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from statekeeper.model.base import Document, Frozen
from statekeeper.model.table import TableRef


class RunManifest(Document):
    """`<base_path>/_runs/<run_id>.json`: which tables a run has, and how it was started."""

    format: Literal["statekeeper.run"] = "statekeeper.run"

    run_id: str
    pipeline: str
    extraction_date: str
    config_path: str | None = Field(description="as given on the command line, absolute; null for runs made in Python")
    tables_path: str | None = Field(default=None, description="the --tables file, absolute")
    config_fingerprint: str = Field(description="sha256 of the YAML text, before references are filled in")
    base_path: str
    engine: str
    statekeeper_version: str
    tables: tuple[TableRef, ...]
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    exit_code: int | None = None


class LastRun(Frozen):
    """`.statekeeper/last-run.json` in the working directory."""

    run_id: str
    base_path: str
    config_path: str | None


class TableStateFailure(Frozen):
    """Why a table failed, as `status` shows it."""

    kind: str
    code: str | None
    message: str
    hint: str | None


class ChunkProgress(Frozen):
    """Chunks with a receipt, of all chunks of the live plan."""

    done: int
    total: int


class TableStatus(Frozen):
    """One table in `status --json`."""

    source_name: str
    schema_name: str | None
    table_name: str
    state: Literal["pending", "extracting", "validating", "complete", "failed", "damaged"]
    records: int | None
    bytes: int | None
    chunks: ChunkProgress
    attempts: int
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    duration_seconds: float | None
    output_path: str | None
    failure: TableStateFailure | None
    remarks: tuple[str, ...] = Field(default=(), description="what a person should know of what is published")


class RunStatus(Frozen):
    """`status --json`."""

    run_id: str
    pipeline: str
    extraction_date: str
    state: Literal["pending", "running", "complete", "failed", "incomplete"]
    tables: tuple[TableStatus, ...]
