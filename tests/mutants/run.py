"""Tries mutants, and fails on a survivor that is not explained, or an explanation whose mutant does not survive.

`python -m tests.mutants.run` tries all; names of targets (`tests.mutants.targets`) try those alone; `--sample 10`
tries ten mutants of a target, both drawn by `--seed`. It needs the dependency group `mutants`.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.mutants import trial
from tests.mutants.mutants import Mutant, mutants_of
from tests.mutants.results import Results
from tests.mutants.survivors import REPOSITORY, SURVIVORS, Change, as_toml, explained
from tests.mutants.targets import TARGETS, Target
from tests.mutants.trial import Limits, Outcome, Tree, Trial

_BASELINE = Limits(processor=300, clock=1800)
_PAUSE = 0.02


@dataclass
class Tally:
    """What was found in a target, or in all."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    survivors: set[Change] = field(default_factory=set)
    explained: int = 0

    def __str__(self) -> str:
        counts = self.outcomes
        killed = counts[Outcome.KILLED] + counts[Outcome.TOO_SLOW]
        return (
            f"{counts.total()} mutants, {killed} killed ({counts[Outcome.TOO_SLOW]} by their time), "
            f"{counts[Outcome.SURVIVED]} survived, {self.explained} of these explained"
        )


def main() -> None:
    options = _options()
    names, sample = options.targets or list(TARGETS), options.sample
    if sample:
        drawn = random.Random(options.seed)
        names = [drawn.choice(names)]
        print(f"a sample of {sample} mutants of {names[0]}, seed {options.seed}")
    trial.WORK.mkdir(parents=True, exist_ok=True)
    trial.prepare()
    trees = [Tree(number) for number in range(options.jobs)]
    known, total, problems = explained(), Tally(), 0
    for name in names:
        target = TARGETS[name]
        mutants = [mutant for module in target.modules for mutant in _mutants(module)]
        chosen = random.Random(options.seed).sample(mutants, min(sample, len(mutants))) if sample else mutants
        results = Results(name, is_trusting=options.again == "survivors")
        tally = _tally(name, target, chosen, results, trees)
        tally.explained = sum(change in known for change in tally.survivors)
        print(f"{name}: {tally}", flush=True)
        problems += _tell(tally.survivors - known.keys(), "no test fails on this change; kill it, or explain it in")
        if not sample:
            of_target = {change for change in known if change.module in target.modules}
            problems += _tell(of_target - tally.survivors, "this change does not survive any more; remove it from")
        total.outcomes += tally.outcomes
        total.explained += tally.explained
    print(f"in all: {total}")
    sys.exit(1 if problems else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--sample", type=int, default=0, help="try so many mutants of one target, drawn at random")
    parser.add_argument("--seed", default=f"{time.time():.0f}", help="of the sample")
    parser.add_argument("--jobs", type=int, default=2, choices=[1, 2], help="how many trials at once")
    parser.add_argument("--again", choices=["all", "survivors"], default="all", help="what to try after tests changed")
    return parser.parse_args()


def _mutants(module: str) -> list[Mutant]:
    return mutants_of(module, (REPOSITORY / module).read_text())


def _tell(changes: Iterable[Change], what: str) -> int:
    """Show changes as entries of the list; returns how many they are."""
    listed = sorted(changes)
    for change in listed:
        print(f"# {what} {SURVIVORS.name}\n{as_toml(change)}\n", flush=True)
    return len(listed)


def _tally(name: str, target: Target, mutants: list[Mutant], results: Results, trees: list[Tree]) -> Tally:
    left = [mutant for mutant in mutants if results.of(mutant) is None]
    if left:
        limits = _limits(name, target, trees)
        for mutant, outcome in _tried(left, target, limits, trees):
            results.keep(mutant, outcome)
    tally = Tally()
    for mutant in mutants:
        outcome = results.of(mutant)
        assert outcome is not None, "it was tried, or was known"
        tally.outcomes[outcome] += 1
        if outcome is Outcome.SURVIVED:
            tally.survivors.add(mutant.change)
    return tally


def _limits(name: str, target: Target, trees: list[Tree]) -> Limits:
    """Run the tests on each tree as it is: they must pass, and a mutant gets several times what they take."""
    spent = 0.0
    for tree in trees:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        if _awaited([tree.run_tests(target.tests, _BASELINE)]) != [Outcome.SURVIVED]:
            sys.exit(f"the tests of {name} do not pass as they are:\n{tree.said}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = max(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, spent)
        taken = time.monotonic() - began
    print(f"{name}: its tests take {spent:.1f} s of a processor, {taken:.0f} s by the clock", flush=True)
    return Limits(processor=3 * spent + 5, clock=10 * taken + 60)


def _awaited(trials: list[Trial]) -> list[Outcome]:
    outcomes = []
    with _ended(trials):
        for each in trials:
            while (outcome := each.outcome()) is None:
                time.sleep(_PAUSE)
            outcomes.append(outcome)
    return outcomes


def _tried(
    mutants: list[Mutant], target: Target, limits: Limits, trees: list[Tree]
) -> Iterator[tuple[Mutant, Outcome]]:
    """The outcome of each mutant, as they come: one trial in a tree at a time."""
    waiting, free = mutants[::-1], list(trees)
    running: dict[Trial, Mutant] = {}
    with _ended(running):
        while waiting or running:
            while waiting and free:
                mutant = waiting.pop()
                one = free.pop().run_tests(target.tests, limits, module=mutant.change.module, text=mutant.text)
                running[one] = mutant
            for one in list(running):
                if (outcome := one.outcome()) is not None:
                    free.append(one.tree)
                    yield running.pop(one), outcome
            time.sleep(_PAUSE)


@contextmanager
def _ended(trials: Iterable[Trial]) -> Iterator[None]:
    """Leave no trial behind."""
    try:
        yield
    finally:
        for each in list(trials):
            each.end()


if __name__ == "__main__":
    main()
