"""One worker process as the local engine sees it, and the thread that communicates with it.

Everything that may block happens in that thread: starting the process, sending it jobs, receiving its messages, waiting
for its end. The thread passes each message to the engine, which decides what follows.
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
    """The process could not be started."""

    error: OSError


@dataclass(frozen=True)
class Ended:
    """The process has ended. `exit_code` is minus the signal that killed it; None if it is not known."""

    exit_code: int | None


WorkerEvent = Message | NotStarted | Ended


class WorkerLink:
    """A worker process from its start to its end. `on_event` is called in the link's own thread.

    The last event is NotStarted or Ended.
    """

    def __init__(self, memory_limit: str, on_event: Callable[[WorkerLink, WorkerEvent], None]) -> None:
        self._memory_limit = memory_limit
        self._on_event = on_event
        self._requests: SimpleQueue[bytes | None] = SimpleQueue()
        self._assigned = 0
        self._stopped = 0
        self._is_killed = False
        self._process: WorkerProcess | None = None
        self._thread = threading.Thread(target=self._run, name="statekeeper-worker", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process id, once there is a process."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the thread, which starts the process. Raises RuntimeError if the system allows no further thread."""
        start_thread(self._thread)

    def assign(self, request: bytes) -> None:
        """Send a pickled request; the one before must be done."""
        self._assigned += 1
        self._requests.put(request)

    def stop(self) -> None:
        """Stop the current request between two batches."""
        self._stopped = self._assigned
        if self._process:
            self._process.stop(self._stopped)

    def shut_down(self) -> None:
        """Stop the current request, then end the process."""
        self.stop()
        self._requests.put(None)

    def kill(self) -> None:
        """Kill the process at once."""
        self._is_killed = True
        if self._process:
            self._process.kill()

    def join(self, seconds: float) -> None:
        """Wait until the thread has ended, but no longer than `seconds`."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._process = process = fork_server().fork(worker_main, self._memory_limit)
        except OSError as error:
            self._on_event(self, NotStarted(error))
            return
        # Both may have been requested before there was a process.
        if self._is_killed:
            process.kill()
        if self._stopped:
            process.stop(self._stopped)
        self._talk(process)
        self._on_event(self, Ended(process.wait()))

    def _talk(self, process: WorkerProcess) -> None:
        try:
            while (request := self._next_request(process)) is not None:
                process.pipe.send_bytes(request)
                while not isinstance(message := process.pipe.recv(), Done):
                    self._on_event(self, message)
                self._on_event(self, message)
            process.pipe.send_bytes(pickle.dumps(None))
        except (EOFError, OSError):
            return
        except Exception:  # noqa: BLE001 - an answer that cannot be read: the pipe is of no further use
            process.kill()

    def _next_request(self, process: WorkerProcess) -> bytes | None:
        """Wait for the next request. Raises EOFError if the process ends first."""
        while True:
            try:
                return self._requests.get(timeout=_LOOK_EVERY_SECONDS)
            except Empty:
                if process.pipe.poll():  # without a job it sends nothing, so this is its end
                    raise EOFError from None
