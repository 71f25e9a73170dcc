"""A state store without files, for tests of what is above one."""

from __future__ import annotations

from statekeeper.model.record import StateRecord


class MemoryStateStore:
    """A state file's bytes in memory; `content` may be looked at and damaged."""

    def __init__(self, content: bytes | None = None) -> None:
        self.content = content

    def load(self) -> StateRecord | None:
        if self.content is None:
            return None
        return StateRecord.from_bytes(self.content, where="the state in memory")

    def save(self, record: StateRecord) -> StateRecord:
        kept = record.with_revision(record.revision + 1)
        self.content = kept.to_bytes()
        return kept
