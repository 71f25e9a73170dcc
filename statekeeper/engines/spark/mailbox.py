"""The folder in which the driver and the workers of one run leave each other word.

Decides what is said and how it is written: small JSON files, each written whole, once or over an earlier one, without
rename or link. Readers take what is torn for not yet said, and look again. Nothing in here is state: a chunk is done by
its receipt, whatever the mailbox says; a mailbox that is lost costs the work that was under way.

```
owner.json                       the driver's process
pulse                            a number that grows for as long as the driver lives
stop                             all work ends between two batches
drop-<item>                      nobody waits for this item any more
refused-<source as hex>.json     the source refused the login: no other may be tried
load-<seat>                      what a partition does next, sealed (`loads`); written anew for each load
seat-<number>-<attempt>.json     what a partition is at, and whether it has ended
outcome-<item>-<attempt>.json    what came of an item
```
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ValidationError

from statekeeper.errors import FailureKind, StateDamaged, StatekeeperError, error_of
from statekeeper.model.base import Document, Frozen
from statekeeper.model.record import Owner

D = TypeVar("D", bound=Document)

_NUMBERED = re.compile(r"(seat|outcome)-(\d+)-([0-9a-z]+)\.json")
PULSE = "pulse"
STOP = "stop"


class Reason(Frozen):
    """Why an item failed, secrets removed."""

    kind: FailureKind
    message: str
    hint: str | None = None
    code: str | None = None

    def as_error(self) -> StatekeeperError:
        return error_of(self.kind, self.message, hint=self.hint, code=self.code)


class Refusal(Document):
    """A source refused the login."""

    format: Literal["statekeeper.spark.refusal"] = "statekeeper.spark.refusal"

    reason: Reason


class Outcome(Document):
    """What came of an item: its result as JSON text, or why there is none. Exactly one of the two is set."""

    format: Literal["statekeeper.spark.outcome"] = "statekeeper.spark.outcome"

    item: int
    answer: str | None = None
    failure: Reason | None = None


class SeatReport(Document):
    """What a partition is at: the item that it works on, and the rows that it has read of it.

    One that `is_over` has closed its sessions and does nothing more: it was told to, or nobody waits for it any more.
    """

    format: Literal["statekeeper.spark.seat"] = "statekeeper.spark.seat"

    seat: int
    item: int | None = None
    rows: int = 0
    is_over: bool = False


@dataclass(frozen=True)
class News:
    """Seats as they are now, and outcomes."""

    seats: tuple[SeatReport, ...]
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class Mailbox:
    """The folder. Methods raise OSError where the file system refuses, unless they say otherwise."""

    folder: Path

    def make(self, owner: Owner) -> None:
        """Make the folder, with word of whose it is."""
        self.folder.mkdir(parents=True)
        (self.folder / "owner.json").write_text(owner.model_dump_json())
        self.beat(0)

    def owner(self) -> Owner | None:
        """Whose it is; None where that cannot be read."""
        try:
            return Owner.model_validate_json((self.folder / "owner.json").read_bytes())
        except (OSError, ValidationError):
            return None

    def remove(self) -> None:
        """Remove all of it, which also tells late workers that nobody waits for them; never raises."""
        # The pulse first: whoever looks for it must not find it while the rest goes.
        with suppress(OSError):
            (self.folder / PULSE).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def beat(self, number: int) -> None:
        """Give a sign of the driver's life."""
        (self.folder / PULSE).write_text(str(number))

    def pulse(self) -> str | None:
        """The last sign; None where there is no mailbox (any more)."""
        try:
            return (self.folder / PULSE).read_text()
        except FileNotFoundError:
            return None

    def stop(self) -> None:
        (self.folder / STOP).write_text("")

    def is_stopped(self) -> bool:
        return (self.folder / STOP).exists()

    def drop(self, item: int) -> None:
        (self.folder / f"drop-{item}").write_text("")

    def is_dropped(self, item: int) -> bool:
        return (self.folder / f"drop-{item}").exists()

    def refuse(self, source: str, reason: Reason) -> None:
        """Tell everybody that a source refused the login."""
        self._refusal(source).write_bytes(Refusal(reason=reason).to_bytes())

    def refused(self, source: str) -> Reason | None:
        """Why a source refused the login, if it did."""
        found = _load(self._refusal(source), Refusal)
        return found.reason if found else None

    def hand(self, seat: int, sealed: bytes) -> None:
        """Give a seat its next load, in the place of the one before."""
        self._load_of(seat).write_bytes(sealed)

    def handed(self, seat: int) -> bytes | None:
        """The seat's present load; None before the first."""
        try:
            return self._load_of(seat).read_bytes()
        except FileNotFoundError:
            return None

    def leave(self, outcome: Outcome, *, attempt: str) -> None:
        (self.folder / f"outcome-{outcome.item}-{attempt}.json").write_bytes(outcome.to_bytes())

    def report(self, report: SeatReport, *, attempt: str) -> None:
        (self.folder / f"seat-{report.seat}-{attempt}.json").write_bytes(report.to_bytes())

    def news(self, seats: Iterable[int], items: Iterable[int]) -> News:
        """The reports of seats, and the outcomes of items (one of each); what is torn is not there yet."""
        wanted_seats, wanted_items = set(seats), set(items)
        reports: list[SeatReport] = []
        outcomes: dict[int, Outcome] = {}
        for name in self._names():
            match = _NUMBERED.fullmatch(name)
            if not match:
                continue
            number = int(match[2])
            if match[1] == "seat" and number in wanted_seats:
                report = _load(self.folder / name, SeatReport)
                reports.extend([report] if report else [])
            elif match[1] == "outcome" and number in wanted_items and number not in outcomes:
                outcome = _load(self.folder / name, Outcome)
                outcomes.update({number: outcome} if outcome else {})
        return News(tuple(reports), tuple(outcomes.values()))

    def forget(self, items: Iterable[int]) -> None:
        """Remove the outcomes of items that nobody will ask for again."""
        gone = set(items)
        for name in self._names():
            match = _NUMBERED.fullmatch(name)
            if match and match[1] == "outcome" and int(match[2]) in gone:
                (self.folder / name).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        try:
            return sorted(child.name for child in self.folder.iterdir())
        except FileNotFoundError:
            return []

    def _load_of(self, seat: int) -> Path:
        return self.folder / f"load-{seat}"

    def _refusal(self, source: str) -> Path:
        return self.folder / f"refused-{source.encode().hex()}.json"


def _load(path: Path, kind: type[D]) -> D | None:
    try:
        return kind.from_bytes(path.read_bytes(), where=str(path))
    except (OSError, StateDamaged):
        return None
