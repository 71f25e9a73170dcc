"""The driver's sign of life, given by a thread of its own: whatever the event loop and the disks of tables are at."""

from __future__ import annotations

import threading
from contextlib import suppress

from statekeeper.engines.spark.mailbox import Mailbox

BEAT_EVERY_SECONDS = 1.0
_LAST_SECONDS = 5.0
"""How long a sign that is being written is waited for in the end."""


class Heartbeat:
    """Beats in a mailbox, which is there already, until it is stopped."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="statekeeper-heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; it blocks for as long as the last sign is being written."""
        self._is_over.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_SECONDS)

    def _beat(self) -> None:
        number = 0
        while not self._is_over.wait(BEAT_EVERY_SECONDS):
            number += 1
            with suppress(OSError):  # if it lasts, workers end, and say so
                self._mailbox.beat(number)
