"""Which commands come next, by how the tables of a run stand.

Decides what mends what: a retry goes on from what is staged, so rows that broke the schema need an extraction of their
own, and a state file that cannot be read must be reset first. How a command is spelt is `statekeeper.next_command`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from statekeeper.errors import FailureKind
from statekeeper.model.manifest import NextStep
from statekeeper.next_command import RunCommands

_MOST_NAMED = 3


@dataclass(frozen=True)
class Standing:
    """One table: complete, or why not; `failure` is None where it is only unfinished.

    One that `is_stale` is complete, and its configuration has changed since.
    """

    key: str
    is_complete: bool
    failure: FailureKind | None = None
    is_stale: bool = False


def next_steps(
    standings: Iterable[Standing], commands: RunCommands, *, is_running: bool = False
) -> tuple[NextStep, ...]:
    """What to type next, the first thing first."""
    tables = tuple(standings)
    left = [standing for standing in tables if not standing.is_complete]
    stale = _of_stale([standing.key for standing in tables if standing.is_stale], commands)
    if not left:
        return (*stale, NextStep(command=commands.verify(), when="to verify what is published"))
    if is_running:
        return (NextStep(command=commands.watch(), when="to follow it"),)
    damaged = [standing.key for standing in left if standing.failure is FailureKind.STATE_DAMAGED]
    invalid = [standing.key for standing in left if standing.failure is FailureKind.VALIDATION]
    steps = [NextStep(command=commands.reset(table=key), when="to reset its damaged state file") for key in damaged]
    if len(invalid) < len(left):
        steps.append(NextStep(command=commands.resume()))
    if len(invalid) > _MOST_NAMED:
        steps.append(NextStep(command=commands.reset(), when="after the rows or the models are fixed"))
        steps.append(NextStep(command=commands.resume(), when="after that"))
    else:
        steps += [
            NextStep(command=commands.force(table=key), when="after the rows or the model are fixed") for key in invalid
        ]
    return (*steps, *stale)


def _of_stale(keys: list[str], commands: RunCommands) -> tuple[NextStep, ...]:
    if len(keys) == 1 and commands.config is not None:
        return (NextStep(command=commands.run(table=keys[0]), when="to extract it again as it is configured now"),)
    when = "to extract what is stale again, as it is configured now"
    return (NextStep(command=commands.resume_stale(), when=when),) if keys else ()
