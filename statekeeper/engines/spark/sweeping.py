"""Mailboxes of drivers that died: removed, which also ends the workers that still work for them."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from statekeeper.engines.spark.mailbox import Mailbox
from statekeeper.store.layout import spark_mailbox
from statekeeper.store.process import Liveness, liveness

_LOOK_EVERY_SECONDS = 1.0
_LOG = logging.getLogger("statekeeper.spark")


def sweep_dead_mailboxes(base_path: Path, run_id: str) -> None:
    """Remove the mailboxes of a run whose drivers are known to be dead; never raises."""
    for mailbox in _mailboxes_of(spark_mailbox(base_path, run_id, "")):
        if _liveness(mailbox) is Liveness.DEAD:
            _LOG.info("removing the mailbox of a driver that died: %s", mailbox.folder)
            mailbox.remove()


def sweep_silent_mailboxes(ours: Path, silence: timedelta) -> None:
    """Remove the mailboxes of the same run beside ours whose drivers, on other machines, are silent; never raises.

    It takes as long as they may be silent, or until our own is removed: then the next run looks again.
    """
    others = [mailbox for mailbox in _mailboxes_of(ours) if mailbox.folder != ours]
    pulses = {mailbox: _pulse(mailbox) for mailbox in others if _liveness(mailbox) is Liveness.UNKNOWN}
    deadline = time.monotonic() + silence.total_seconds()
    while pulses and time.monotonic() < deadline:
        if not ours.exists():
            return
        time.sleep(_LOOK_EVERY_SECONDS)
    for mailbox, pulse in pulses.items():
        if _pulse(mailbox) == pulse:
            _LOG.info("removing the mailbox of a driver that gave no sign of life: %s", mailbox.folder)
            mailbox.remove()


def _mailboxes_of(any_of_run: Path) -> list[Mailbox]:
    """The mailboxes of the run of which one is given, that one included."""
    run = any_of_run.name.rpartition("-")[0]
    try:
        return [Mailbox(path) for path in any_of_run.parent.iterdir() if path.name.rpartition("-")[0] == run]
    except OSError:
        return []


def _liveness(mailbox: Mailbox) -> Liveness:
    owner = mailbox.owner()
    return liveness(owner) if owner else Liveness.UNKNOWN


def _pulse(mailbox: Mailbox) -> bytes | None:
    with suppress(OSError):
        return mailbox.pulse()
    return None
