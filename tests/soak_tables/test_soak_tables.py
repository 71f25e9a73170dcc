"""Thirty tables, random events and random commands: after each round, everything is as the oracle says.

A round is some events (`events`), then a command that ends by itself, is killed, interrupted, stopped for a while, or
meets a full disk or a second runner. After each round the report, the exit code, the hooks, `status` and every row
under the base path are compared with what the oracle (`expectation`) allows. The printed seed repeats the dice, though
not the instants that kills hit.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .events import EVENTS
from .expectation import End, Table, exit_code_of, run_state_of
from .world import Ended, World

_ROUNDS_OF_A_WORLD = 20
_CONFIG = "nightly.yml"
_GOOD = frozenset({"completed", "skipped"})


@dataclass(frozen=True)
class Command:
    """A command line, the tables that it works on, and how it treats those that are complete."""

    arguments: tuple[str, ...]
    tables: tuple[Table, ...]
    is_forced: bool = False
    takes_stale: bool = True

    def ends_of(self, table: Table, *, is_disk_full: bool = False) -> set[End]:
        return table.ends(is_forced=self.is_forced, takes_stale=self.takes_stale, is_disk_full=is_disk_full)


@dataclass
class Soak:
    """One world, its rounds, and their results."""

    world: World
    counts: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)

    @classmethod
    def begun(cls, world: World) -> Soak:
        """A soak whose tables were all extracted once, as far as they can be."""
        soak = cls(world)
        soak.by_itself(Command(("run", _CONFIG), tuple(world.configured)))
        return soak

    def round(self) -> None:
        dice = self.world.dice
        for event in dice.sample(EVENTS, dice.choice((0, 1, 1, 2))):
            tables = event(self.world)
            self.story.append(f"{event.__name__}: {', '.join(table.name for table in tables)}")
        if dice.random() < 0.2:
            self._maintain()
            return
        command = _command(self.world)
        ending = dice.choices(_ENDINGS, weights=(10, 5, 3, 2, 2, 2))[0]
        self.story.append(f"{' '.join(command.arguments)} ({ending.__name__})")
        self.counts[ending.__name__] += 1
        ending(self, command)

    # --- how a command ends

    def by_itself(self, command: Command) -> None:
        self._check_end(command, self.world.end(self.world.start(*command.arguments, "--json")))

    def stopped(self, command: Command) -> None:
        process = self.world.start(*command.arguments, "--json")
        self.world.stop_for_a_while(process, after=self.world.dice.uniform(0.3, 1.5))
        self._check_end(command, self.world.end(process))

    def killed(self, command: Command) -> None:
        self._cut_short(command, signal.SIGKILL)

    def interrupted(self, command: Command) -> None:
        self._cut_short(command, self.world.dice.choice((signal.SIGTERM, signal.SIGINT)))

    def with_a_full_disk(self, command: Command) -> None:
        most_bytes = self.world.dice.choice((100, 5_000, 40_000))
        ended = self.world.end(self.world.start(*command.arguments, "--json", most_bytes=most_bytes))
        if ended.outcomes is None:
            assert ended.exit_code == 1, ended.said
            self._check_cut_short(command)
        else:
            self._check_end(command, ended, is_disk_full=True)

    def with_a_second_runner(self, command: Command) -> None:
        """Two runners at once: each leaves alone what the other holds, and together they do what one would do."""
        world = self.world
        processes = [world.start(*command.arguments, "--json") for _ in range(2)]
        both = [world.end(process) for process in processes]
        told = world.hooks()
        whole = {name for ended in both for name, outcome in (ended.outcomes or {}).items() if outcome in _GOOD}
        seen = world.read(but=world.damaged - whole)
        expected_hooks: Counter[tuple[str, str]] = Counter()
        for ended in both:
            assert ended.outcomes is not None, ended.said
            assert ended.exit_code == exit_code_of(set(ended.outcomes.values())), ended.said
            expected_hooks += _hooks_of(ended.outcomes)
        for table in command.tables:
            done = {ended.outcomes.get(table.name) for ended in both} - {"held"}
            main = next((outcome for outcome in ("failed", "completed", "skipped") if outcome in done), None)
            end = End(main, seen[table.name])
            self._check_table(table, end, command.ends_of(table), said="".join(ended.said for ended in both))
            table.ended(end, is_forced=command.is_forced)
        assert told == expected_hooks
        self._check_status()

    def _cut_short(self, command: Command, number: int) -> None:
        process = self.world.start(*command.arguments, "--json")
        ended = self.world.kill(process, after=self.world.dice.uniform(0.2, 2.0), number=number)
        if ended is not None:
            self._check_end(command, ended)
            return
        if number != signal.SIGKILL:
            # Before the program listens to signals, they end it as the system does.
            assert process.returncode in {128 + number, -number, 0, 1}, process.returncode
        self._check_cut_short(command)

    # --- what must hold

    def _check_end(self, command: Command, ended: Ended, *, is_disk_full: bool = False) -> None:
        assert ended.outcomes is not None, ended.said
        told = self.world.hooks()
        whole = {name for name, outcome in ended.outcomes.items() if outcome in _GOOD}
        seen = self.world.read(but=self.world.damaged - whole)
        assert ended.exit_code == exit_code_of(set(ended.outcomes.values())), ended.said
        assert ended.outcomes.keys() == {table.name for table in command.tables}, ended.said
        assert told == _hooks_of(ended.outcomes), (told, ended.said)
        for table in command.tables:
            end = End(ended.outcomes[table.name], seen[table.name])
            self._check_table(table, end, command.ends_of(table, is_disk_full=is_disk_full), said=ended.said)
            self.counts[end.outcome or ""] += 1
            table.ended(end, is_forced=command.is_forced, is_disk_full=is_disk_full)
            if table.is_broken and end.outcome == "failed" and not is_disk_full:
                assert "--force-reprocess" in ended.hints[table.name], (table, ended.said)
        self._check_status()

    def _check_table(self, table: Table, end: End, allowed: set[End], *, said: str) -> None:
        is_unseen = table.name in self.world.damaged and end.outcome not in _GOOD
        if is_unseen:
            allowed = {each._replace(content=None) for each in allowed}
        assert end in allowed, (table, end, allowed, said)

    def _check_cut_short(self, command: Command) -> None:
        seen = self.world.read(but=self.world.damaged)
        self.world.hooks()
        states = self._states()
        for table in self.world.configured:
            if table not in command.tables:
                continue
            content = table.content
            if table.name not in self.world.damaged:
                content = seen[table.name]
                assert content in table.contents_after_kill(), (table, content)
            table.was_killed(states[table.name], content)
        self._check_status()

    def _check_status(self) -> None:
        """`status` says of each table what the oracle knows, and readers see what it knows of the others, too."""
        states = self._states()
        for table in self.world.configured:
            expected = "damaged" if table.damage == "state" else table.state
            assert states[table.name] == expected, (table, states[table.name])
        seen = self.world.read(but=self.world.damaged)
        for table in self.world.tables.values():
            if table.name not in self.world.damaged:
                assert seen[table.name] == table.content, (table, seen[table.name])

    def _states(self) -> dict[str, str]:
        status = self.world.status()
        states = {table["table_name"]: table["state"] for table in status["tables"]}
        # A table that the config has no more is the run's until the next one begins.
        assert {table.name for table in self.world.configured} <= states.keys() <= self.world.tables.keys()
        assert status["state"] in run_state_of(set(states.values())), status["state"]
        return states

    # --- commands that extract nothing

    def _maintain(self) -> None:
        command = self.world.dice.choice((self._verify, self._reset_failed, self._reset_table, self._plan))
        self.story.append(command.__name__)
        self.counts[command.__name__] += 1
        command()
        assert self.world.hooks() == Counter()

    def _verify(self) -> None:
        ended = self.world.end(self.world.start("verify", _CONFIG, "--json"))
        assert ended.outcomes is not None, ended.said
        assert ended.exit_code == exit_code_of(set(ended.outcomes.values())), ended.said
        states = self._states()
        for table in self.world.configured:
            outcome = ended.outcomes.get(table.name)
            if outcome is None:  # the config has it since the run began: it is no table of the run
                assert table.state == states[table.name] == "pending", (table, states[table.name])
                continue
            is_whole = table.state == "complete" and table.damage == "none"
            if is_whole or table.damage in {"data", "state"}:
                assert outcome == ("skipped" if is_whole else "failed"), (table, ended.said)
            if table.damage == "data":
                assert states[table.name] == "failed", (table, states[table.name])
            if table.state == "complete" and table.damage == "maybe":
                self._learn_from_verification(table, outcome)
            if table.state != "complete" or table.damage == "data":
                table.state = states[table.name]
        self._check_status()

    def _learn_from_verification(self, table: Table, outcome: str) -> None:
        """A command that was killed may have mended a table before it ended: verification says whether it has."""
        if outcome == "failed":
            table.damage = "data"
            return
        assert outcome == "skipped", (table, outcome)
        table.damage = "none"
        content = self.world.read(but=self.world.damaged)[table.name]
        assert content in table.contents_after_kill(), (table, content)
        table.content = content

    def _reset_failed(self) -> None:
        ended = self.world.end(self.world.start("reset", _CONFIG, "--failed"))
        assert ended.exit_code == 0, ended.said
        states = self._states()
        for table in self.world.configured:
            has_failed = table.state == "failed" and table.damage != "state"
            assert not has_failed or states[table.name] == "pending", (table, states[table.name])
            # A state that cannot be read is a failure once a run has met it.
            if has_failed or (table.damage == "state" and states[table.name] == "pending"):
                table.was_reset()
        self._check_status()

    def _reset_table(self) -> None:
        table = self.world.dice.choice(self.world.configured)
        ended = self.world.end(self.world.start("reset", _CONFIG, "--table", table.name))
        assert ended.exit_code == 0, ended.said
        table.was_reset()
        self._check_status()

    def _plan(self) -> None:
        ended = self.world.end(self.world.start("plan", _CONFIG, "--json"))
        assert ended.exit_code in {0, 1}, ended.said
        self._check_status()


def _hooks_of(outcomes: dict[str, str]) -> Counter[tuple[str, str]]:
    named = {"completed": "complete", "failed": "failed"}
    return Counter((name, named[outcome]) for name, outcome in outcomes.items() if outcome in named)


def _command(world: World) -> Command:
    tables, dice = tuple(world.configured), world.dice
    few = tuple(world.some(tables))
    options = tuple(word for table in few for word in ("--table", table.name))
    return dice.choice(
        (
            Command(("run", _CONFIG), tables),
            Command(("run", _CONFIG), tables),
            Command(("run", _CONFIG, *options), few),
            Command(("run", _CONFIG, "--force-reprocess", *options), few, is_forced=True),
            Command(("resume", _CONFIG), tables, takes_stale=False),
            Command(("resume", _CONFIG, "--stale"), tables),
        )
    )


_ENDINGS = (
    Soak.by_itself,
    Soak.killed,
    Soak.interrupted,
    Soak.stopped,
    Soak.with_a_full_disk,
    Soak.with_a_second_runner,
)


@pytest.mark.soak_tables
def test_thirty_tables_whatever_happens(tmp_path: Path) -> None:
    seconds = float(os.environ["SOAK_SECONDS"])
    seed = int(os.environ.get("SOAK_SEED") or time.time_ns() % 1_000_000)
    print(f"repeat with SOAK_SEED={seed}")
    deadline, rounds, worlds, counts = time.monotonic() + seconds, 0, 0, Counter[str]()
    while time.monotonic() < deadline:
        worlds += 1
        folder = tmp_path / f"world-{worlds}"
        soak = Soak.begun(World.make(folder, random.Random(f"{seed}-{worlds}")))
        for _ in range(_ROUNDS_OF_A_WORLD):
            rounds += 1
            try:
                soak.round()
            except BaseException:
                print(f"seed {seed}, world {worlds} in {folder}:", *soak.story, sep="\n  ")
                raise
            if time.monotonic() >= deadline:
                break
        counts += soak.counts
        shutil.rmtree(folder)
    print(f"{rounds} rounds in {worlds} worlds (seed {seed}) without a difference: {dict(counts)}")
