"""How a worker learns that it should end: it was told to, or nobody is there any more who waits for it."""

from __future__ import annotations

import time
from enum import StrEnum

from statekeeper.engines.spark.mailbox import Mailbox


class Verdict(StrEnum):
    """Whether work goes on."""

    GO_ON = "go on"
    STOPPED = "stopped"
    """The driver said so."""
    ALONE = "alone"
    """The driver gave no sign of life for too long, or its mailbox is gone."""


class Watch:
    """The eye of a seat's worker on the mailbox; it looks every so many seconds, however often it is asked.

    `silence` (seconds, by this machine's own clock) is how long the pulse may stand still.
    """

    def __init__(self, mailbox: Mailbox, *, seat: int, silence: float, every: float) -> None:
        self._mailbox = mailbox
        self._seat = seat
        self._silence = silence
        self._every = every
        self._pulse: bytes | None = b""
        self._dropped: frozenset[int] = frozenset()
        self._heard_at = self._looked_at = float("-inf")
        self._verdict = Verdict.GO_ON
        self._item: int | None = None

    def begin(self, item: int) -> Verdict:
        """Whether an item is to be begun, and from now on whether it is to go on."""
        self._item = item
        return self.verdict()

    def verdict(self) -> Verdict:
        """Whether the present item goes on."""
        now = time.monotonic()
        return self._current if now - self._looked_at < self._every else self._look(now)

    @property
    def is_over(self) -> bool:
        """Whether not only the present item ends, but everything."""
        self.verdict()
        return self._verdict is not Verdict.GO_ON

    @property
    def _current(self) -> Verdict:
        is_dropped = self._item in self._dropped
        return Verdict.STOPPED if is_dropped and self._verdict is Verdict.GO_ON else self._verdict

    def _look(self, now: float) -> Verdict:
        self._looked_at = now
        if self._verdict is Verdict.GO_ON:
            self._verdict = self._look_for_driver(now)
        return self._current

    def _look_for_driver(self, now: float) -> Verdict:
        try:
            pulse = self._mailbox.pulse()
            if pulse is None:
                return Verdict.ALONE
            if pulse != self._pulse and (sign := self._mailbox.sign_in(pulse)) is not None:
                self._pulse, self._heard_at, self._dropped = pulse, now, frozenset(sign.dropped)
                if sign.is_stopped or self._seat in sign.abandoned:
                    return Verdict.STOPPED
        except OSError:  # a file system with a moment of weakness; if it lasts, the silence is as good as the driver's
            pass
        if self._heard_at == float("-inf"):
            self._heard_at = now
        return Verdict.ALONE if now - self._heard_at > self._silence else Verdict.GO_ON
