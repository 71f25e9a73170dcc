"""Differences between a table's columns and the expected ones that did not stop the extraction.

Values only: `schemas.columns.reconcile` finds the differences, `schemas.columns.drift` applies the policy.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from statekeeper.model.base import Frozen, StoredValue


class ChangeKind(StrEnum):
    """How a column differs from what was expected."""

    NEW = "new"
    LOST = "lost"
    RETYPED = "retyped"


class ChangeOutcome(StrEnum):
    """How a difference was handled."""

    LEFT_OUT = "left out"
    TAKEN = "taken"
    ACCEPTED = "accepted"
    ADMITTED = "admitted"
    """No policy applied: the model accepts both types, or both are the same in the file."""


class ColumnChange(StoredValue):
    """One column that differs from what was expected and did not stop the extraction."""

    column: str
    kind: ChangeKind
    expected: str | None = Field(description="what the model, or else the last extraction, has; null for a new column")
    found: str | None = Field(description="what the table has now; null for a lost column")
    outcome: ChangeOutcome

    @property
    def is_by_policy(self) -> bool:
        """Whether the table's `on_drift` decided this."""
        return self.outcome is not ChangeOutcome.ADMITTED

    def __str__(self) -> str:
        match self.kind:
            case ChangeKind.NEW:
                what = f"column {self.column} ({self.found}) is new"
            case ChangeKind.LOST:
                what = f"column {self.column} ({self.expected}) is lost"
            case ChangeKind.RETYPED:
                what = f"column {self.column} is retyped from {self.expected} to {self.found}"
        return f"{what}: {self.outcome}"


class Baseline(Frozen):
    """The columns of a table's last complete extraction, by name: Arrow types in the file, and database types."""

    run_id: str
    columns: dict[str, str]
    database_types: dict[str, str] = Field(default_factory=dict)

    def type_of(self, name: str) -> str:
        """A column's type for messages: the database's, if recorded, and the file's."""
        declared, held = self.database_types.get(name), self.columns[name]
        return f"{declared} ({held} in the file)" if declared else f"{held} in the file"
