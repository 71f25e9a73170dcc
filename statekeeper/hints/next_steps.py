"""Which commands come next, by the status of a run's tables.

Decides which command fixes which failure: a retry continues from staged parts, so rows that broke the schema need a new
extraction, and an unreadable state file must be reset first. `statekeeper.hints.next_command` writes the commands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from statekeeper.errors import FailureKind
from statekeeper.hints.next_command import RunCommands
from statekeeper.model.manifest import NextStep

_MAX_NAMED = 3
_READ_AGAIN = {
    FailureKind.VALIDATION: "after the rows or the model are fixed",
    FailureKind.SNAPSHOT_LOST: "to read it at a new snapshot",
}
"""Failures that resuming cannot fix, and when to read the table again."""


@dataclass(frozen=True)
class Standing:
    """One table's status; `failure` is None if it is complete, or only unfinished.

    `is_stale`: it is complete, and its configuration changed since. `has_run_snapshot`: it gets a new snapshot only
    together with all tables of the run.
    """

    key: str
    is_complete: bool
    failure: FailureKind | None = None
    is_stale: bool = False
    has_run_snapshot: bool = False


def next_steps(
    standings: Iterable[Standing], commands: RunCommands, *, is_running: bool = False
) -> tuple[NextStep, ...]:
    """What to type next, in order."""
    tables = tuple(standings)
    left = [standing for standing in tables if not standing.is_complete]
    stale = _steps_for_stale([standing.key for standing in tables if standing.is_stale], commands)
    if not left:
        return (*stale, NextStep(command=commands.verify(), when="to verify what is published"))
    if is_running:
        return (NextStep(command=commands.watch(), when="to follow it"),)
    damaged = [standing.key for standing in left if standing.failure is FailureKind.STATE_DAMAGED]
    again = [standing for standing in left if standing.failure in _READ_AGAIN]
    steps = [NextStep(command=commands.reset(table=key), when="to reset its damaged state file") for key in damaged]
    if len(again) < len(left):
        steps.append(NextStep(command=commands.resume()))
    return (*steps, *_steps_to_reread(again, commands), *stale)


def _steps_to_reread(tables: list[Standing], commands: RunCommands) -> tuple[NextStep, ...]:
    if any(table.has_run_snapshot for table in tables):
        return (NextStep(command=commands.force(), when="to read all tables at a new snapshot of the run"),)
    if len(tables) > _MAX_NAMED:
        reset = NextStep(command=commands.reset(), when="to read again what failed, after the cause is fixed")
        return (reset, NextStep(command=commands.resume(), when="after that"))
    return tuple(
        NextStep(command=commands.force(table=table.key), when=_READ_AGAIN[table.failure])
        for table in tables
        if table.failure is not None
    )


def _steps_for_stale(keys: list[str], commands: RunCommands) -> tuple[NextStep, ...]:
    if len(keys) == 1 and commands.config is not None:
        return (NextStep(command=commands.run(table=keys[0]), when="to extract it again as it is configured now"),)
    when = "to extract what is stale again, as it is configured now"
    return (NextStep(command=commands.resume_stale(), when=when),) if keys else ()
