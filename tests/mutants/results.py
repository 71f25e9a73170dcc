"""Results that are kept, so that a run which was interrupted goes on where it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.mutants.mutants import Mutant
from tests.mutants.survivors import REPOSITORY
from tests.mutants.trial import WORK, Outcome


class Results:
    """The outcomes of one target's mutants. They hold as long as neither the package nor the tests change.

    With `is_trusting`, what was killed once counts as killed whatever has changed in the tests since.
    """

    def __init__(self, target: str, *, is_trusting: bool) -> None:
        self._path = WORK / f"{target}.jsonl"
        self._is_trusting = is_trusting
        self._state = _digest_of_tree()
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self._known = {each["mutant"]: each for each in map(json.loads, lines)}

    def of(self, mutant: Mutant) -> Outcome | None:
        """The outcome of a mutant; None where it is to be tried."""
        known = self._known.get(_key(mutant))
        if known is None:
            return None
        outcome = Outcome(known["outcome"])
        is_trusted = self._is_trusting and outcome is not Outcome.SURVIVED
        return outcome if is_trusted or known["state"] == self._state else None

    def keep(self, mutant: Mutant, outcome: Outcome) -> None:
        """Remember an outcome, also for the next run."""
        found = {"mutant": _key(mutant), "state": self._state, "outcome": outcome.value}
        self._known[_key(mutant)] = found
        with self._path.open("a") as file:
            file.write(f"{json.dumps(found)}\n")


def _key(mutant: Mutant) -> str:
    return hashlib.sha256(f"{mutant.change.module}\n{mutant.text}".encode()).hexdigest()


def _digest_of_tree() -> str:
    """Of the package and its tests, but for those of the mutants themselves."""
    digest, here = hashlib.sha256(), Path(__file__).parent
    for folder in ("statekeeper", "tests"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            if path.parent != here:
                digest.update(f"{path.relative_to(REPOSITORY)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
