"""The snapshot at which a run reads all tables of one source."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from statekeeper.model.base import Document
from statekeeper.model.plan import Snapshot


class RunSnapshot(Document):
    """`_runs/<run_id>_snapshots/<source_name>/<nnnn>.json`: written once, never changed.

    Forcing the whole run takes another one with the next `number`; the newest counts.
    """

    format: Literal["statekeeper.run-snapshot"] = "statekeeper.run-snapshot"

    run_id: str
    source_name: str
    number: int = Field(ge=1)
    snapshot: Snapshot
