"""Threads for everything in a run that may block, so that its event loop never does.

They read and write files, hash, copy, sync and import models, one step at a time per table. Waiting for locks may take
long, so it has threads of its own, and no other step waits for it. Engines send their heartbeats elsewhere.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, Self, TypeVar

from statekeeper.system_errors import start_thread

P = ParamSpec("P")
Value = TypeVar("Value")


_MAX_DISK_THREADS = 16


class BlockingPool:
    """A pool of up to `size` threads for blocking steps.

    Threads are started as they are needed. If the system allows no further one, the existing threads do all the work.
    """

    def __init__(
        self, size: int, name: str, *, make_thread: Callable[..., threading.Thread] = threading.Thread
    ) -> None:
        self._size = size
        self._make_thread = make_thread
        self._name = name
        self._steps: SimpleQueue[_Step | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)

    async def do(self, step: Callable[P, Value], *arguments: P.args, **options: P.kwargs) -> Value:
        """The result of `step`, called in a thread.

        A thread cannot be stopped. So the cancellation of a caller waits until its step has ended, unless no thread has
        begun the step. What a step has begun to write is therefore whole, and a caller never has two steps at once.

        Raises:
            OSError: the system allows no thread at all (EAGAIN); otherwise what the step raises.
        """
        self._need_thread()
        future: Future[Value] = Future()
        self._steps.put(_Step(future, partial(step, *arguments, **options)))
        ended = asyncio.wrap_future(future)
        try:
            return await asyncio.shield(ended)
        except asyncio.CancelledError:
            if not future.cancel():
                while not ended.done():
                    with suppress(asyncio.CancelledError):
                        await asyncio.wait([ended])
            raise

    def close(self) -> None:
        """End the threads. No step is running, since every caller has waited for its own."""
        for _ in self._threads:
            self._steps.put(None)
        for thread in self._threads:
            thread.join()

    def _need_thread(self) -> None:
        if self._idle.acquire(blocking=False) or len(self._threads) >= self._size:
            return
        thread = self._make_thread(target=self._work, name=f"statekeeper-{self._name}", daemon=True)
        try:
            start_thread(thread)
        except RuntimeError as error:
            if not self._threads:
                raise OSError(errno.EAGAIN, f"{os.strerror(errno.EAGAIN)}: a thread cannot be started") from error
        else:
            self._threads.append(thread)

    def _work(self) -> None:
        while (step := self._steps.get()) is not None:
            step.do()
            self._idle.release()


@dataclass(frozen=True)
class _Step:
    future: Future[Any]
    work: Callable[[], Any]

    def do(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self.work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised in the caller
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


@dataclass(frozen=True)
class Threads:
    """The threads of a run."""

    disk: BlockingPool
    locks: BlockingPool

    @classmethod
    def of(cls, active_tables: int) -> Self:
        """The threads for this many active tables: enough that no table's wait for a lock delays another's."""
        return cls(
            disk=BlockingPool(min(active_tables, _MAX_DISK_THREADS), "disk"), locks=BlockingPool(active_tables, "lock")
        )

    def close(self) -> None:
        """End the threads; see `BlockingPool.close`."""
        self.disk.close()
        self.locks.close()
