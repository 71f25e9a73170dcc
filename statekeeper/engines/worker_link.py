"""One worker process as the local engine sees it, and the thread of ours that talks with it.

Everything that may block is done in that thread: starting the process, sending it work, hearing what it says, waiting
for its end. What is heard is told to the engine, which decides what follows.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from statekeeper.engines.spawning import WorkerProcess, fork_server
from statekeeper.engines.worker import Done, Message, worker_main
from statekeeper.system_errors import start_thread

_LOOK_EVERY_SECONDS = 0.5
"""How soon the death of a worker without work is noticed."""


@dataclass(frozen=True)
class NotStarted:
    """There is no process, and there will be none."""

    error: OSError


@dataclass(frozen=True)
class Ended:
    """The process has ended, with an exit code (minus the signal that killed it) if one is known."""

    exit_code: int | None


News = Message | NotStarted | Ended


class WorkerLink:
    """A worker process, from its start to its end; `tell` is called in the link's own thread.

    The last news is NotStarted or Ended.
    """

    def __init__(self, memory_limit: str, tell: Callable[[WorkerLink, News], None]) -> None:
        self._memory_limit = memory_limit
        self._tell = tell
        self._orders: SimpleQueue[bytes | None] = SimpleQueue()
        self._assigned = 0
        self._stopped = 0
        self._is_killed = False
        self._process: WorkerProcess | None = None
        self._thread = threading.Thread(target=self._run, name="statekeeper-worker", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process, once it is there."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Raises RuntimeError where the system allows no further thread."""
        start_thread(self._thread)

    def assign(self, order: bytes) -> None:
        """Give it a pickled order; the one before is done."""
        self._assigned += 1
        self._orders.put(order)

    def stop(self) -> None:
        """Have the present order end between two batches."""
        self._stopped = self._assigned
        if self._process:
            self._process.stop(self._stopped)

    def dismiss(self) -> None:
        """Have it end after its present order, which is to end soon."""
        self.stop()
        self._orders.put(None)

    def kill(self) -> None:
        """End the process at once."""
        self._is_killed = True
        if self._process:
            self._process.kill()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, for a while."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._process = process = fork_server().fork(worker_main, self._memory_limit)
        except OSError as error:
            self._tell(self, NotStarted(error))
            return
        # It may have been asked for before there was a process.
        if self._is_killed:
            process.kill()
        if self._stopped:
            process.stop(self._stopped)
        self._talk(process)
        self._tell(self, Ended(process.wait()))

    def _talk(self, process: WorkerProcess) -> None:
        try:
            while (order := self._next_order(process)) is not None:
                process.pipe.send_bytes(order)
                while not isinstance(message := process.pipe.recv(), Done):
                    self._tell(self, message)
                self._tell(self, message)
            process.pipe.send_bytes(pickle.dumps(None))
        except (EOFError, OSError):
            return
        except Exception:  # noqa: BLE001 - an answer that cannot be read, of whatever kind: nothing good follows it
            process.kill()

    def _next_order(self, process: WorkerProcess) -> bytes | None:
        """Raises EOFError where the process ends before there is one."""
        while True:
            try:
                return self._orders.get(timeout=_LOOK_EVERY_SECONDS)
            except Empty:
                if process.pipe.poll():  # without work it says nothing
                    raise EOFError from None
