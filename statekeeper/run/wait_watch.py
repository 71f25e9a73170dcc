"""Reports what tables wait for: to a reporter every second, and to `status` by a small file every few seconds.

A wait shorter than `REPORT_AFTER_SECONDS` is neither reported nor written.
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
from statekeeper.model.state import Owner
from statekeeper.runtime.context import Run
from statekeeper.runtime.progress import Reporter
from statekeeper.store.activity import remove_activity, save_activity
from statekeeper.store.files.disk import Disk

_LOG = logging.getLogger("statekeeper.run")

CHECK_EVERY_SECONDS = 1.0
REPORT_AFTER_SECONDS = 2.0
WRITE_EVERY_SECONDS = 5.0


async def watched(run: Run, *, is_saved: bool = True) -> None:
    """Report what the tables of a run wait for until cancelled; for `status` too, unless nothing may be written."""
    watch = WaitWatch(
        waits=run.waits,
        reporter=run.reporter,
        disk=run.disk,
        threads=run.threads.disk,
        base_path=run.pipeline.base_path,
        run_id=run.run_id,
        owner=run.owner,
        is_saved=is_saved,
    )
    await watch.watch()


@dataclass
class WaitWatch:
    """Watches the waits of one run in this process."""

    waits: Waits
    reporter: Reporter
    disk: Disk
    threads: BlockingPool
    base_path: Path
    run_id: str
    owner: Owner
    is_saved: bool = True
    _reported: set[str] = field(default_factory=set)
    _written: tuple[TableWait, ...] = ()
    _written_at: datetime | None = None

    async def watch(self) -> None:
        """Report and write long waits until cancelled."""
        try:
            while True:
                await asyncio.sleep(CHECK_EVERY_SECONDS)
                now, waits = self.waits.clock(), self.waits.now()
                long = {key: wait for key, wait in waits.items() if _seconds(wait, now) > REPORT_AFTER_SECONDS}
                self._report(long, now)
                if self.is_saved:
                    await self._write(long, now)
        finally:
            if self._written_at is not None:
                with suppress(StatekeeperError, OSError):  # the file of a dead process is ignored anyway
                    await self.threads.do(remove_activity, self.disk, self.base_path, self.run_id, self.owner)

    def _report(self, long: dict[str, Wait], now: datetime) -> None:
        for key, wait in long.items():
            self.reporter.waiting(key, wait.what, _seconds(wait, now))
        for key in self._reported - long.keys():
            self.reporter.waiting(key, None, 0.0)
        self._reported = set(long)

    async def _write(self, long: dict[str, Wait], now: datetime) -> None:
        waits = tuple(TableWait(table=key, kind=w.kind.value, what=w.what, since=w.since) for key, w in long.items())
        is_due = self._written_at is None or (now - self._written_at).total_seconds() >= WRITE_EVERY_SECONDS
        if waits == self._written or not is_due:
            return
        activity = RunActivity(run_id=self.run_id, owner=self.owner, written_at=now, waits=waits)
        self._written, self._written_at = waits, now  # set first, because a cancelled write still finishes
        try:
            await self.threads.do(save_activity, self.disk, self.base_path, activity)
        except (StatekeeperError, OSError) as error:  # only `status` needs it
            _LOG.debug("what tables wait for cannot be saved: %s", error)


def _seconds(wait: Wait, now: datetime) -> float:
    return (now - wait.since).total_seconds()
