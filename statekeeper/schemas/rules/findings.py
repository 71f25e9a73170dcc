"""The findings of a validation: how many rows break each constraint, with a few sample rows.

Only values and their document; decides nothing and imports nothing heavy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import ConfigDict

from statekeeper.model.base import Frozen

if TYPE_CHECKING:
    from statekeeper.model.schema import SchemaRef
    from statekeeper.model.table import TableRef

SCAN_DISAGREES = "scan_disagrees"
"""The constraint of a row that SQL refuses but pydantic accepts: a bug in statekeeper."""
SAMPLES = 5
"""The default number of sample rows per constraint."""


class RowSample(Frozen):
    """A row that breaks a constraint: its values as text, and pydantic's message."""

    values: dict[str, str | None]
    message: str


class Violation(Frozen):
    """A constraint that `count` rows break.

    `column` is None for a constraint on the whole row or on several columns, such as a key, which has them in
    `columns`.
    """

    column: str | None
    columns: tuple[str, ...] = ()
    constraint: str
    expected_text: str
    count: int
    samples: tuple[RowSample, ...]

    def plus(self, other: Violation, *, samples: int) -> Violation:
        """Both counts, and the first samples of both."""
        kept = (self.samples + other.samples)[:samples]
        return self.model_copy(update={"count": self.count + other.count, "samples": kept})


class KeyFindings(Frozen):
    """`violating_rows` break at least one of the `keys` keys; a row counts in `violations` for every key it breaks."""

    keys: int
    violating_rows: int
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """`violating_rows` break at least one constraint; a row counts in `violations` for every constraint it breaks.

    `key_violating_rows` counts rows that break a key separately; they may be the same rows. A dataclass, since there is
    one for every part of a table.
    """

    __pydantic_config__: ClassVar[ConfigDict] = Frozen.model_config

    rows: int
    violating_rows: int
    key_violating_rows: int = 0
    violations: tuple[Violation, ...]
    checks: int = 0
    """Constraints that were checked."""

    def merged(self, other: Findings, *, samples: int = SAMPLES) -> Findings:
        """The findings of both parts; a constraint keeps the first `samples` samples, in the order of parts."""
        found = {(part.column, part.constraint): part for part in self.violations}
        for part in other.violations:
            key = (part.column, part.constraint)
            found[key] = found[key].plus(part, samples=samples) if key in found else part
        return Findings(
            rows=self.rows + other.rows,
            violating_rows=self.violating_rows + other.violating_rows,
            violations=tuple(found.values()),
            checks=max(self.checks, other.checks),
        )

    def with_keys(self, found: KeyFindings) -> Findings:
        """The findings with those of the keys of the same rows."""
        return replace(
            self,
            key_violating_rows=found.violating_rows,
            violations=(*self.violations, *found.violations),
            checks=self.checks + found.keys,
        )

    def summary(self) -> str:
        """One line: the number of rows, and the constraints they break, most frequent first."""
        most = sorted(self.violations, key=lambda part: -part.count)
        named = [f"{_about(part)} {part.constraint} ({part.count:,})" for part in most[:3]]
        more = f" and {len(most) - 3} more" if len(most) > 3 else ""
        broken = [(self.violating_rows, "the schema"), (self.key_violating_rows, "a key")]
        counted = " and ".join(f"{rows:,} of {self.rows:,} rows break {what}" for rows, what in broken if rows)
        return f"{counted}: {', '.join(named)}{more}"


def _about(part: Violation) -> str:
    return part.column or ", ".join(part.columns) or "row"


class Violations(Frozen):
    """`<run_id>_violations.json`."""

    run_id: str
    table: str
    model: str | None
    rows: int
    violating_rows: int
    key_violating_rows: int = 0
    violations: tuple[Violation, ...]

    @classmethod
    def of(cls, findings: Findings, *, run_id: str, table: TableRef, model: SchemaRef) -> Violations:
        return cls(
            run_id=run_id,
            table=table.key,
            model=model.label,
            rows=findings.rows,
            violating_rows=findings.violating_rows,
            key_violating_rows=findings.key_violating_rows,
            violations=findings.violations,
        )

    def to_bytes(self) -> bytes:
        """The file's content: indented JSON with a newline at the end."""
        return (json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode()
