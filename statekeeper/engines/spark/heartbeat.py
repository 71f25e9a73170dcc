"""The driver's heartbeat, written by a thread of its own, so that neither the event loop nor slow disks delay it.

It is the only writer of the pulse file. So cancellations, which are in that file too, need no other file and no lock.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from statekeeper.engines.spark.exchange import DriverSign, Exchange
from statekeeper.system_errors import start_thread

_LAST_SECONDS = 5.0
"""How long `stop` waits for a heartbeat that is being written."""


class Heartbeat:
    """Writes heartbeats to an existing exchange at an interval, until it is stopped.

    Only `stop` and `wait_until_stop_is_written` wait for the file system.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._every = 0.0
        self._is_over = False
        self._is_stopped = False
        self._dropped: tuple[int, ...] = ()
        self._abandoned: tuple[int, ...] = ()
        self._wake = threading.Event()
        self._stop_is_written = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="statekeeper-heartbeat", daemon=True)

    def start(self, every: float) -> None:
        """Write a heartbeat every `every` seconds, in a thread."""
        self._every = every
        start_thread(self._thread)

    def cancel_item(self, item: int) -> None:
        """Announce at once that nobody waits for an item any more."""
        self._dropped = (*self._dropped, item)
        self._wake.set()

    def forget(self, item: int) -> None:
        """Note that a cancelled item has ended; later heartbeats do not mention it."""
        self._dropped = tuple(each for each in self._dropped if each != item)

    def abandon(self, slot: int) -> None:
        """Announce at once that a slot is to end with its current item."""
        self._abandoned = (*self._abandoned, slot)
        self._wake.set()

    def stop_all(self) -> None:
        """Announce at once that all work is to stop."""
        self._is_stopped = True
        self._wake.set()

    def wait_until_stop_is_written(self, seconds: float) -> None:
        """Wait until workers can read that all work is to stop, but no longer than `seconds`."""
        if self._thread.is_alive():
            self._stop_is_written.wait(seconds)

    def stop(self) -> None:
        """End the thread; blocks while the last heartbeat is being written, for at most `_LAST_SECONDS`."""
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
            with suppress(OSError):  # if the failure lasts, workers end and report it
                self._exchange.write_sign(sign)
                if sign.is_stopped:
                    self._stop_is_written.set()
