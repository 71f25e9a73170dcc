"""The folder in which the driver and the workers of one run leave each other word.

Decides what is said and how it is written: few small files, each written whole, over and over, without rename or link.
Every file has one writer. Readers take what is torn for not yet said, and look again. Nothing in here is state: a chunk
is done by its receipt, whatever the exchange says; an exchange that is lost costs the work that was under way. On a
volume each look is a request, so a file is opened and read, or written, and nothing is asked about it besides.

```
owner.json                       the driver's process
pulse                            the driver's sign of life, and what it has called off
batch-<slot>                      what a partition does next, sealed (`batches`); written anew for each batch
slot-<number>-<attempt>.json     what a partition is at, what came of its batch's items, and whether it has ended
refused-<source as hex>.json     the source refused the login: no other may be tried
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
from statekeeper.store.files.no_follow import read_blocks, write_blocks

D = TypeVar("D", bound=Document)

_SLOT = re.compile(r"slot-(\d+)-([0-9a-z]+)\.json")
PULSE = "pulse"
_BLOCK = 1 << 20


class ErrorRecord(Frozen):
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

    reason: ErrorRecord


class DriverSign(Document):
    """The driver lives: `beat` grows. Where `is_stopped` all work ends between two batches, else that of the items
    `dropped`, for which nobody waits any more, and that of the slots `abandoned`, whose further items others have.
    """

    format: Literal["statekeeper.spark.driver"] = "statekeeper.spark.driver"

    beat: int
    is_stopped: bool = False
    dropped: tuple[int, ...] = ()
    abandoned: tuple[int, ...] = ()


class Outcome(Frozen):
    """What came of an item: its result as JSON text, or why there is none. Exactly one of the two is set."""

    item: int
    answer: str | None = None
    failure: ErrorRecord | None = None


class SlotReport(Document):
    """What a partition is at: the item that it works on, the rows that it has read of it, and what came of the items
    of its present batch that it has done.

    One that `is_over` has closed its sessions and does nothing more: it was told to, it has lived long enough, or
    nobody waits for it any more. What it has not begun is for others.
    """

    format: Literal["statekeeper.spark.slot"] = "statekeeper.spark.slot"

    slot: int
    item: int | None = None
    rows: int = 0
    outcomes: tuple[Outcome, ...] = ()
    is_over: bool = False


@dataclass(frozen=True)
class Exchange:
    """The folder. Methods raise OSError where the file system refuses, unless they say otherwise."""

    folder: Path

    def make(self, owner: Owner) -> None:
        """Make the folder, with word of whose it is."""
        self.folder.mkdir(parents=True)
        _write(self.folder / "owner.json", owner.model_dump_json().encode())
        self.sign(DriverSign(beat=0))

    def owner(self) -> Owner | None:
        """Whose it is; None where that cannot be read."""
        try:
            return Owner.model_validate_json(_read(self.folder / "owner.json"))
        except (OSError, ValidationError):
            return None

    def remove(self) -> None:
        """Remove all of it, which also tells late workers that nobody waits for them; never raises."""
        # The pulse first: whoever looks for it must not find it while the rest goes.
        with suppress(OSError):
            (self.folder / PULSE).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def sign(self, sign: DriverSign) -> None:
        """Give a sign of the driver's life."""
        _write(self.folder / PULSE, sign.to_bytes())

    def pulse(self) -> bytes | None:
        """The last sign as it was written, for comparison; None where there is no exchange (any more)."""
        try:
            return _read(self.folder / PULSE)
        except FileNotFoundError:
            return None

    def sign_in(self, pulse: bytes) -> DriverSign | None:
        """What a sign says; None where it is torn."""
        return _parsed(pulse, DriverSign, where=self.folder / PULSE)

    def refuse(self, source: str, reason: ErrorRecord) -> None:
        """Tell everybody that a source refused the login."""
        _write(self._refusal(source), Refusal(reason=reason).to_bytes())

    def refused(self, source: str) -> ErrorRecord | None:
        """Why a source refused the login, if it did."""
        found = _load(self._refusal(source), Refusal)
        return found.reason if found else None

    def hand(self, slot: int, sealed: bytes) -> None:
        """Give a slot its next batch, in the place of the one before."""
        _write(self._batch_of(slot), sealed)

    def handed(self, slot: int) -> bytes | None:
        """The slot's present batch; None before the first."""
        try:
            return _read(self._batch_of(slot))
        except FileNotFoundError:
            return None

    def report(self, report: SlotReport, *, attempt: str) -> None:
        _write(self.folder / f"slot-{report.slot}-{attempt}.json", report.to_bytes())

    def reports_of(self, slots: Iterable[int]) -> list[str]:
        """The names of the reports of slots, one of each attempt, for `reported`."""
        wanted = set(slots)
        matches = filter(None, map(_SLOT.fullmatch, self._names()))
        return [match[0] for match in matches if int(match[1]) in wanted]

    def reported(self, name: str) -> SlotReport | None:
        """What an attempt of a slot says; None where that is torn, or gone."""
        return _load(self.folder / name, SlotReport)

    def _names(self) -> list[str]:
        try:
            return sorted(child.name for child in self.folder.iterdir())
        except FileNotFoundError:
            return []

    def _batch_of(self, slot: int) -> Path:
        return self.folder / f"batch-{slot}"

    def _refusal(self, source: str) -> Path:
        return self.folder / f"refused-{source.encode().hex()}.json"


def _read(path: Path) -> bytes:
    return b"".join(read_blocks(path, _BLOCK))


def _write(path: Path, data: bytes) -> None:
    write_blocks(path, [data], 0o666)


def _load(path: Path, kind: type[D]) -> D | None:
    try:
        return _parsed(_read(path), kind, where=path)
    except OSError:
        return None


def _parsed(data: bytes, kind: type[D], *, where: Path) -> D | None:
    with suppress(StateDamaged):
        return kind.from_bytes(data, where=str(where))
    return None
