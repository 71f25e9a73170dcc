"""What a validation found: how many rows break which constraint, with a few of them as samples.

Values and their document; nothing is decided here, and nothing heavy is imported.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import Field

from statekeeper.model.base import Frozen

if TYPE_CHECKING:
    from statekeeper.model.schema import SchemaRef
    from statekeeper.model.table import TableRef

SAMPLES = 5
"""Sample rows kept per constraint."""


class RowSample(Frozen):
    """A row that breaks a constraint: its values as text, and what pydantic says of it."""

    values: dict[str, str | None]
    message: str


class Violation(Frozen):
    """A constraint that `count` rows break. `column` is None for a constraint on the row as a whole."""

    column: str | None
    constraint: str
    expected_text: str
    count: int
    samples: tuple[RowSample, ...] = Field(max_length=SAMPLES)

    def plus(self, other: Violation) -> Violation:
        """Both counts, and the first samples of both."""
        samples = (self.samples + other.samples)[:SAMPLES]
        return self.model_copy(update={"count": self.count + other.count, "samples": samples})


class Findings(Frozen):
    """`violating_rows` break at least one constraint; a row that breaks several counts in each of `violations`."""

    rows: int
    violating_rows: int
    violations: tuple[Violation, ...]
    checks: int = 0
    """Constraints that were checked."""

    def merged(self, other: Findings) -> Findings:
        """The findings over both parts; the order of parts decides which samples are kept."""
        found = {(part.column, part.constraint): part for part in self.violations}
        for part in other.violations:
            key = (part.column, part.constraint)
            found[key] = found[key].plus(part) if key in found else part
        return Findings(
            rows=self.rows + other.rows,
            violating_rows=self.violating_rows + other.violating_rows,
            violations=tuple(found.values()),
            checks=max(self.checks, other.checks),
        )

    def summary(self) -> str:
        """One line: how many rows, and the constraints they break, the most frequent first."""
        most = sorted(self.violations, key=lambda part: -part.count)
        named = [f"{part.column or 'row'} {part.constraint} ({part.count:,})" for part in most[:3]]
        more = f" and {len(most) - 3} more" if len(most) > 3 else ""
        return f"{self.violating_rows:,} of {self.rows:,} rows break the schema: {', '.join(named)}{more}"


class Violations(Frozen):
    """`<run_id>_violations.json`."""

    run_id: str
    table: str
    model: str | None
    rows: int
    violating_rows: int
    violations: tuple[Violation, ...]

    @classmethod
    def of(cls, findings: Findings, *, run_id: str, table: TableRef, model: SchemaRef) -> Violations:
        return cls(
            run_id=run_id,
            table=table.key,
            model=model.label,
            rows=findings.rows,
            violating_rows=findings.violating_rows,
            violations=findings.violations,
        )

    def to_bytes(self) -> bytes:
        """The file's content: indented JSON with a newline at the end."""
        return (json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode()
