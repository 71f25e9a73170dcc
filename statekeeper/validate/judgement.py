"""Applies a table's policy to rows that break its schema or a key: let them pass, quarantine them, or fail.

Also writes the findings to the table's file of violations. `statekeeper.validate.validate_staged` finds the rows.
"""

from __future__ import annotations

from enum import Enum, auto

from statekeeper.config.resolved import ExtractionConfig, OnViolation
from statekeeper.errors import ValidationFailed
from statekeeper.hints.next_command import RunCommands, quoted
from statekeeper.model.receipt import SplitOutput
from statekeeper.runtime.active_plan import ActivePlan, StagedFindings
from statekeeper.schemas.rules.findings import SCAN_DISAGREES, Findings, Violations
from statekeeper.store.files.durable import Fence, replace


class ViolationAction(Enum):
    """What is done with rows that break the schema."""

    NONE = auto()
    COPIED = auto()
    """They are written to a separate file; the published data, if any, has them too."""
    QUARANTINE = auto()
    """They are written to a separate file, and only the other rows are published."""

    @classmethod
    def of(cls, config: ExtractionConfig, findings: Findings) -> ViolationAction:
        """The action that the table's policy asks for."""
        if not findings.violating_rows:
            return cls.NONE
        if config.on_violation is OnViolation.QUARANTINE and too_many(config, findings) is None:
            return cls.QUARANTINE
        return cls.COPIED if config.keep_violating_rows else cls.NONE

    @property
    def wanted(self) -> SplitOutput | None:
        """The files that the action needs."""
        return {ViolationAction.QUARANTINE: SplitOutput.BOTH, ViolationAction.COPIED: SplitOutput.REJECTED}.get(self)


def too_many(config: ExtractionConfig, findings: Findings) -> str | None:
    """Why so many rows cannot be quarantined, in words; None if they can.

    Without `max_quarantined` any number of rows may be quarantined, but not all: then the schema is wrong.
    """
    found, rows, bound = findings.violating_rows, findings.rows, config.max_quarantined
    if any(part.constraint == SCAN_DISAGREES for part in findings.violations):
        return "a defect of statekeeper makes it uncertain which rows these are: please report it"
    if bound is None:
        return None if found < rows or not found else "every row breaks the schema, so none would be left"
    return None if bound.allows(found, of=rows) else f"that is more than max_quarantined: {bound}"


def judge(active: ActivePlan, found: StagedFindings, *, fence: Fence) -> str | None:
    """Save the findings; returns a warning if there are violations and the table's policy lets them pass.

    Raises:
        ValidationFailed: the policy does not let them pass; the published data stays unchanged.
        StorageError, LockLost: the findings could not be saved.
    """
    config, run, findings = active.config, active.run, found.findings
    layout = run.layout_of(config)
    if not findings.violations:
        run.disk.unlink(layout.violations, role="violations")
        return None
    document = Violations.of(findings, run_id=run.run_id, table=config.table, model=config.model)
    replace(run.disk, layout.violations, document.to_bytes(), role="violations", fence=fence)
    message = f"{active.key}: {findings.summary()}; see {layout.violations}"
    if found.quarantined is not None and not findings.key_violating_rows:
        return f"{message}; they are quarantined in {layout.quarantine(active.plan.plan_id)}"
    if config.on_violation is OnViolation.WARN:
        return message
    raise _validation_failed(message, config, findings, run.commands)


def _validation_failed(
    message: str, config: ExtractionConfig, findings: Findings, commands: RunCommands
) -> ValidationFailed:
    what = "the schema or the key" if findings.key_violating_rows else "the schema"
    alternative = "" if config.is_merged else "set on_violation: warn"  # rows with equal keys cannot be merged
    if config.on_violation is OnViolation.QUARANTINE and (reason := too_many(config, findings)):
        message = f"{message}; {reason}"
        alternative = f"raise max_quarantined, if {findings.violating_rows:,} rows may be quarantined"
    elif config.on_violation is OnViolation.QUARANTINE:
        message = f"{message}; rows that break a key cannot be quarantined"
    elif not findings.key_violating_rows:
        alternative = f"{alternative} or quarantine" if alternative else "set on_violation: quarantine"
    force = quoted(commands.force(table=config.table.key))
    hint = (
        f"correct {what}, or {alternative}, and then {quoted(commands.resume())}; or correct the data, and then {force}"
    )
    if not alternative:
        hint = f"correct {what}, and then {quoted(commands.resume())}; or correct the data, and then {force}"
    return ValidationFailed(message, hint=hint)
