"""The snapshot that all tables of a run from one source read at."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from statekeeper.model.base import Document
from statekeeper.model.plan import Snapshot


class RunSnapshot(Document):
    """`_runs/<run_id>_snapshots/<source_name>/<nnnn>.json`: made once and never changed.

    A run that is forced as a whole takes a further one, with the next `number`; the newest counts.
    """

    format: Literal["statekeeper.run-snapshot"] = "statekeeper.run-snapshot"

    run_id: str
    source_name: str
    number: int = Field(ge=1)
    snapshot: Snapshot
