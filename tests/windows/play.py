"""Plays a history on a lake, checks it after each command, and mends at the end what it was told to mend."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from .expectation import Expectation, Typed, commands_in
from .histories import Backfill, Command, Configure, Death, History, LoseIndex, OldRun, RunDay, clock_changes
from .lakes import Ended, Lake

_A_RUN = timedelta(minutes=1)
_ROUNDS = 40
"""In so many rounds of what is told at the end everything is mended."""


@dataclass
class Play:
    """A history on a lake. `story` has each command with its end, for whoever reads of a failure."""

    history: History
    lake: Lake
    met: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.expectation = Expectation(self.history, self.met)

    def to_the_end(self) -> None:
        """Play all commands, then mend."""
        self.met["rows without a stamp ignored"] += self.history.settings.null_rows == "ignore"
        self.met["updated rows"] += self.history.is_updated
        self.met["a clock that is wrong"] += bool(self.history.clock.steps)
        self.met["clocks that change"] += bool(clock_changes(self.history.zone))
        for command in self.history.commands:
            self.step(command)
        self._mend()

    def step(self, command: Command) -> None:
        """One command of the history."""
        match command:
            case RunDay():
                self.run(command)
            case Backfill():
                ends = self.lake.backfill(command)
                self.met["a backfill"] += 1
                self.met["a killed backfill"] += ends[-1].outcome == "killed"
                self._check(command, ends)
            case OldRun():
                self.met["a run of an old version"] += 1
                self.story.append(str(command))
                self.lake.run_old(command)
            case Configure(_, settings):
                self.met["a changed configuration"] += 1
                self.story.append(str(command))
                self.lake.configure(settings)
            case LoseIndex():
                self.met["a lost index"] += 1
                self.story.append(str(command))
                self.lake.lose_index()

    def run(self, command: RunDay) -> tuple[str, ...]:
        """A run of one date, after which everything is as it must be. Returns what it told."""
        return tuple(text for end in self.run_ends(command) for text in end.told)

    def run_ends(self, command: RunDay) -> tuple[Ended, ...]:
        """The same; returns how each date ended."""
        ends = self.lake.run(command)
        self.met["an earlier date extracted first"] += sum(end.outcome == "completed" for end in ends[:-1])
        self.met["a forced day"] += command.is_forced and ends[-1].outcome == "completed"
        if command.death is not None and ends[-1].outcome == "killed":
            self.met[f"killed after {command.death.value}"] += 1
        self._check(command, ends)
        return ends

    def _check(self, command: RunDay | Backfill, ends: tuple[Ended, ...]) -> None:
        self.story += [str(command), *(f"  {end}" for end in ends)]
        told = tuple(text for end in ends for text in end.told)
        whose = "backfill" if isinstance(command, Backfill) else "run"
        self.met.update(f"{whose} {end.outcome}" for end in ends)
        self.met.update(hazard for text in told for hazard, words in _TOLD.items() if words in text)
        datasets = self.lake.datasets
        for end in ends:
            self.expectation.after(end, told, datasets, at=command.at)

    def _mend(self) -> None:
        """When nothing is written any more: run a last date, and type what is told until nothing is."""
        at = self.history.ended + timedelta(days=4)
        last = self.history.clock.at(self.history.ended).astimezone(UTC).date() + timedelta(days=2)
        left: list[str] = []
        for number in range(_ROUNDS):
            told = self.run(RunDay(at, last, is_forced=number > 0))
            typed = commands_in(told)
            left = [str(version) for version in self.expectation.at_the_end(self.lake.datasets)]
            if last in self.lake.datasets and not typed and not left:
                self.met["mended by what was typed"] += number > 0
                return
            for command in typed:
                at = self._type(command, at + _A_RUN, depth=_ROUNDS)
            at += _A_RUN
        raise AssertionError(f"what is told does not mend it; still missing: {left}")

    def _type(self, command: Typed, at: datetime, *, depth: int) -> datetime:
        """Type a command and, if it is refused, what it says to run first. Returns the true time after it."""
        ended = self.run_ends(RunDay(at, command.day, is_forced=command.is_forced))[-1]
        if ended.outcome == "failed" and depth:
            for first in commands_in(ended.told):
                at = self._type(first, at + _A_RUN, depth=depth - 1)
        return at


HAZARDS = frozenset(
    {
        "a backfill",
        "a changed configuration",
        "a covered date refused",
        "a forced day",
        "a gap refused",
        "a hole told",
        "a killed backfill",
        "a late commit that no window takes",
        "a lost index",
        "a row that a lookback took again",
        "a row without a stamp that came later",
        "a run of an old version",
        "an earlier date extracted first",
        "an end before a repeated hour",
        "an end before an open transaction",
        "an open window refused",
        "an unfinished window told",
        "a clock that is wrong",
        "clocks that change",
        "mended by what was typed",
        "rows without a stamp ignored",
        "rows without a stamp told",
        "updated rows",
        *(f"killed after {death.value}" for death in Death),
    }
)
"""What any 500 histories meet."""
_TOLD = {
    "a covered date refused": "are already in other extractions",
    "a gap refused": "(on_gap: fail)",
    "an open window refused": "rows that arrive until then would be missed",
    "a future date refused": "its window begins at",
    "a hole told": "are in no extraction",
    "an unfinished window told": "which is not complete",
    "an end before a repeated hour": "go back to",
    "an end before an open transaction": "a transaction is open since",
    "windows by another zone refused": "by the wall times of",
    "rows without a stamp told": "rows have no value in ",
}
