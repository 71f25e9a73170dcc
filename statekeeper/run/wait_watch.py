"""Tells what tables wait for: a reporter, every second, and `status`, by a small file, every few seconds.

Nothing is told, and nothing written, of a wait that is shorter than `TOLD_AFTER_SECONDS`.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from statekeeper.engines.threads import BlockingPool
from statekeeper.engines.waiting import Wait, Waits
from statekeeper.errors import StatekeeperError
from statekeeper.model.activity import RunActivity, TableWait
from statekeeper.model.record import Owner
from statekeeper.runtime.progress import Reporter
from statekeeper.store.activity import remove_activity, save_activity
from statekeeper.store.files.disk import Disk

_LOG = logging.getLogger("statekeeper.run")

LOOK_EVERY_SECONDS = 1.0
TOLD_AFTER_SECONDS = 2.0
WRITTEN_EVERY_SECONDS = 5.0


@dataclass
class WaitWatch:
    """Of one run in this process."""

    waits: Waits
    reporter: Reporter
    disk: Disk
    threads: BlockingPool
    base_path: Path
    run_id: str
    owner: Owner
    _told: set[str] = field(default_factory=set)
    _written: tuple[TableWait, ...] = ()
    _written_at: datetime | None = None

    async def watch(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_SECONDS)
                now = self.waits.clock()
                long = {key: wait for key, wait in self.waits.now().items() if _seconds(wait, now) > TOLD_AFTER_SECONDS}
                self._tell(long, now)
                await self._write(long, now)
        finally:
            if self._written_at is not None:
                with suppress(StatekeeperError, OSError):  # of a process that is gone it counts no more
                    await self.threads.do(remove_activity, self.disk, self.base_path, self.run_id, self.owner)

    def _tell(self, long: dict[str, Wait], now: datetime) -> None:
        for key, wait in long.items():
            self.reporter.waiting(key, wait.what, _seconds(wait, now))
        for key in self._told - long.keys():
            self.reporter.waiting(key, None, 0.0)
        self._told = set(long)

    async def _write(self, long: dict[str, Wait], now: datetime) -> None:
        waits = tuple(TableWait(table=key, kind=w.kind.value, what=w.what, since=w.since) for key, w in long.items())
        is_due = self._written_at is None or (now - self._written_at).total_seconds() >= WRITTEN_EVERY_SECONDS
        if waits == self._written or not is_due:
            return
        activity = RunActivity(run_id=self.run_id, owner=self.owner, written_at=now, waits=waits)
        self._written, self._written_at = waits, now  # before: a cancelled write is finished all the same
        try:
            await self.threads.do(save_activity, self.disk, self.base_path, activity)
        except (StatekeeperError, OSError) as error:  # only `status` misses it
            _LOG.debug("what tables wait for cannot be written down: %s", error)


def _seconds(wait: Wait, now: datetime) -> float:
    return (now - wait.since).total_seconds()
