"""The exchange: the folder through which the driver and the workers of one run communicate. It may be in a bucket.

Decides the messages and how they are written: a few small files, each written whole and repeatedly, without rename or
link. Every file has one writer. A reader treats a partly written file as not yet written, and reads it again later.
Nothing in the exchange is state: a chunk is done if it has a receipt, whatever the exchange says. A lost exchange costs
only the jobs that were running. On a volume each file operation is a request, so a file is opened and read, or
written, and nothing else is asked about it (`exchange_files`).

```
owner.json                       the driver's process
pulse                            the driver's heartbeat, and what it has cancelled
batch-<slot>                      the next batch of a partition, sealed (`batches`); rewritten for each batch
slot-<number>-<attempt>.json     a partition's current item, the outcomes of its batch, and whether it has ended
refused-<source as hex>.json     the source refused a login: no other may be tried
```
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import ValidationError

from statekeeper.engines.spark.exchange_files import ExchangeFiles, files_at
from statekeeper.errors import FailureKind, StateDamaged, StatekeeperError, error_of
from statekeeper.model.base import Document, Frozen
from statekeeper.model.state import Owner

D = TypeVar("D", bound=Document)

_SLOT = re.compile(r"slot-(\d+)-([0-9a-z]+)\.json")
PULSE = "pulse"


class ErrorRecord(Frozen):
    """Why an item failed, without secrets."""

    kind: FailureKind
    message: str
    hint: str | None = None
    code: str | None = None

    def as_error(self) -> StatekeeperError:
        return error_of(self.kind, self.message, hint=self.hint, code=self.code)


class Refusal(Document):
    """A source refused a login."""

    format: Literal["statekeeper.spark.refusal"] = "statekeeper.spark.refusal"

    reason: ErrorRecord


class DriverSign(Document):
    """The driver's heartbeat: `beat` grows.

    If `is_stopped`, all work stops between two batches. Otherwise the items in `dropped` stop, for which nobody waits
    any more, and the slots in `abandoned`, whose further items were given to others.
    """

    format: Literal["statekeeper.spark.driver"] = "statekeeper.spark.driver"

    beat: int
    is_stopped: bool = False
    dropped: tuple[int, ...] = ()
    abandoned: tuple[int, ...] = ()


class Outcome(Frozen):
    """The outcome of an item: its result as JSON text, or its failure. Exactly one of the two is set."""

    item: int
    answer: str | None = None
    failure: ErrorRecord | None = None


class SlotReport(Document):
    """What a partition reports: its current item, the rows read of it, and the outcomes in its current batch.

    If `is_over`, it has closed its sessions and ended: it was told to, it was old enough, or the driver was lost. Items
    that it has not begun go to others.
    """

    format: Literal["statekeeper.spark.slot"] = "statekeeper.spark.slot"

    slot: int
    item: int | None = None
    rows: int = 0
    outcomes: tuple[Outcome, ...] = ()
    is_over: bool = False


@dataclass(frozen=True)
class Exchange:
    """The folder of an exchange. Methods raise OSError if the file system fails, unless they say otherwise."""

    folder: Path

    @cached_property
    def files(self) -> ExchangeFiles:
        """The files of its store."""
        return files_at(self.folder)

    def make(self, owner: Owner) -> None:
        """Make the folder, and write its owner."""
        self.files.make_folder(self.folder)
        self.files.write(self.folder / "owner.json", owner.model_dump_json().encode())
        self.write_sign(DriverSign(beat=0))

    def owner(self) -> Owner | None:
        """The process that made it; None if that cannot be read."""
        try:
            return Owner.model_validate_json(self.files.read(self.folder / "owner.json"))
        except (OSError, ValidationError):
            return None

    def remove(self) -> None:
        """Remove the folder, which also tells late workers to end. Never raises."""
        # The pulse first, so that no worker finds it while the rest is removed.
        with suppress(OSError):
            self.files.unlink(self.folder / PULSE)
        self.files.remove_folder(self.folder)

    def write_sign(self, sign: DriverSign) -> None:
        """Write the driver's heartbeat."""
        self.files.write(self.folder / PULSE, sign.to_bytes())

    def read_pulse(self) -> bytes | None:
        """The last heartbeat as bytes, for comparison; None if the exchange does not exist, or no longer."""
        try:
            return self.files.read(self.folder / PULSE)
        except FileNotFoundError:
            return None

    def parse_sign(self, pulse: bytes) -> DriverSign | None:
        """The heartbeat in `pulse`; None if it is only partly written."""
        return _parsed(pulse, DriverSign, where=self.folder / PULSE)

    def write_refusal(self, source: str, reason: ErrorRecord) -> None:
        """Record, for all workers, that a source refused a login."""
        self._write_late(self._refusal(source), Refusal(reason=reason).to_bytes())

    def read_refusal(self, source: str) -> ErrorRecord | None:
        """Why a source refused a login; None if it did not."""
        found = self._load(self._refusal(source), Refusal)
        return found.reason if found else None

    def write_batch(self, slot: int, sealed: bytes) -> None:
        """Write a slot's next batch over the one before."""
        self.files.write(self._batch_of(slot), sealed)

    def read_batch(self, slot: int) -> bytes | None:
        """The slot's current batch; None before the first."""
        try:
            return self.files.read(self._batch_of(slot))
        except FileNotFoundError:
            return None

    def write_report(self, report: SlotReport, *, attempt: str) -> None:
        self._write_late(self.folder / f"slot-{report.slot}-{attempt}.json", report.to_bytes())

    def report_names(self, slots: Iterable[int]) -> list[str]:
        """The file names of the reports of slots, one for each attempt, to be read by `read_report`."""
        wanted = set(slots)
        matches = filter(None, map(_SLOT.fullmatch, self.files.names(self.folder)))
        return [match[0] for match in matches if int(match[1]) in wanted]

    def read_report(self, name: str) -> SlotReport | None:
        """The report of one attempt of a slot; None if it is only partly written, or gone."""
        return self._load(self.folder / name, SlotReport)

    def _write_late(self, path: Path, data: bytes) -> None:
        """Write a worker's file. A late worker finds nothing to write into once the exchange was removed."""
        if not self.files.has_folders and self.read_pulse() is None:
            raise FileNotFoundError(errno.ENOENT, "the exchange was removed", str(path))
        self.files.write(path, data)

    def _load(self, path: Path, kind: type[D]) -> D | None:
        try:
            return _parsed(self.files.read(path), kind, where=path)
        except OSError:
            return None

    def _batch_of(self, slot: int) -> Path:
        return self.folder / f"batch-{slot}"

    def _refusal(self, source: str) -> Path:
        return self.folder / f"refused-{source.encode().hex()}.json"


def _parsed(data: bytes, kind: type[D], *, where: Path) -> D | None:
    with suppress(StateDamaged):
        return kind.from_bytes(data, where=str(where))
    return None
