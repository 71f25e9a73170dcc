"""The driver's sign of life, given by a thread of its own: whatever the event loop and the disks of tables are at.

It is the one writer of the sign, so that what the driver calls off needs no file of its own, and no lock.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from statekeeper.engines.spark.exchange import DriverSign, Exchange
from statekeeper.system_errors import start_thread

_LAST_SECONDS = 5.0
"""How long a sign that is being written is waited for in the end."""


class Heartbeat:
    """Beats in a exchange, which is there already, every so many seconds, until it is stopped.

    Only `stop` and `wait_for_word` wait for the file system.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._every = 0.0
        self._is_over = False
        self._is_stopped = False
        self._dropped: tuple[int, ...] = ()
        self._abandoned: tuple[int, ...] = ()
        self._wake = threading.Event()
        self._has_said_so = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="statekeeper-heartbeat", daemon=True)

    def start(self, every: float) -> None:
        """Beat, in a thread, every so many seconds."""
        self._every = every
        start_thread(self._thread)

    def call_off(self, item: int) -> None:
        """Have a sign say, at once, that nobody waits for an item any more."""
        self._dropped = (*self._dropped, item)
        self._wake.set()

    def forget(self, item: int) -> None:
        """An item that was called off has ended: from the next sign on it is not mentioned."""
        self._dropped = tuple(each for each in self._dropped if each != item)

    def abandon(self, slot: int) -> None:
        """Have a sign say, at once, that a slot is to end with its present item."""
        self._abandoned = (*self._abandoned, slot)
        self._wake.set()

    def call_off_all(self) -> None:
        """Have a sign say, at once, that all work ends."""
        self._is_stopped = True
        self._wake.set()

    def wait_for_word(self, seconds: float) -> None:
        """Wait until workers can read that all work ends, but no longer."""
        if self._thread.is_alive():
            self._has_said_so.wait(seconds)

    def stop(self) -> None:
        """Beat no more; it blocks for as long as the last sign is being written."""
        self._is_over = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_SECONDS)

    def _beat(self) -> None:
        number = 0
        while not self._is_over:
            self._wake.wait(self._every)
            self._wake.clear()
            number += 1
            sign = DriverSign(
                beat=number, is_stopped=self._is_stopped, dropped=self._dropped, abandoned=self._abandoned
            )
            with suppress(OSError):  # if it lasts, workers end, and say so
                self._exchange.sign(sign)
                if sign.is_stopped:
                    self._has_said_so.set()
