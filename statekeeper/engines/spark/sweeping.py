"""Mailboxes of drivers that died: removed, which also ends the workers that still work for them."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from statekeeper.engines.spark.mailbox import Mailbox
from statekeeper.store.owner import Liveness, liveness

_LOG = logging.getLogger("statekeeper.spark")


def sweep_mailboxes(ours: Path, silence: timedelta) -> None:
    """Remove the mailboxes of the same run beside ours whose driver is dead; never raises.

    Of a driver on another machine its pulse tells, which takes a while: that long this takes, in the worst case.
    """
    unknown: dict[Mailbox, str | None] = {}
    for mailbox in _others(ours):
        owner = mailbox.owner()
        alive = liveness(owner) if owner else Liveness.UNKNOWN
        if alive is Liveness.DEAD:
            _LOG.info("removing the mailbox of a driver that died: %s", mailbox.folder)
            mailbox.remove()
        elif alive is Liveness.UNKNOWN:
            unknown[mailbox] = _pulse(mailbox)
    if not unknown:
        return
    deadline = time.monotonic() + silence.total_seconds()
    while time.monotonic() < deadline:
        if not ours.exists():
            return  # our own run has ended: the next one looks again
        time.sleep(0.2)
    for mailbox, pulse in unknown.items():
        if _pulse(mailbox) == pulse:
            mailbox.remove()


def _others(ours: Path) -> list[Mailbox]:
    run = ours.name.rpartition("-")[0]
    try:
        return [
            Mailbox(folder)
            for folder in ours.parent.iterdir()
            if folder != ours and folder.name.rpartition("-")[0] == run and folder.is_dir()
        ]
    except OSError:
        return []


def _pulse(mailbox: Mailbox) -> str | None:
    with suppress(OSError):
        return mailbox.pulse()
    return None
