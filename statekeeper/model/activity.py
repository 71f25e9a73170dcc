"""What the tables of a run wait for, as a process working on the run last saved it for `status`."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from statekeeper.model.base import Document, Frozen, StoredValue
from statekeeper.model.state import Owner


class TableWait(StoredValue):
    """One table that waits."""

    table: str
    """`TableRef.key`."""
    kind: str
    what: str
    """Completes the sentence "waits for ..."."""
    since: AwareDatetime


class RunActivity(Document):
    """`<base_path>/_runs/.<run_id>.activity/<process>.json`, which exists while something takes long."""

    format: Literal["statekeeper.activity"] = "statekeeper.activity"

    run_id: str
    owner: Owner
    written_at: AwareDatetime
    waits: tuple[TableWait, ...]


class WaitStatus(Frozen):
    """What a table waits for, in `status --json`."""

    kind: str
    what: str
    since: AwareDatetime
