"""Starts worker processes, by forking them from a server of our own (`engines.fork_server`), and waits for their end.

The host's multiprocessing is left alone: its start method, fork server, preloads and temporary folder belong to the
host. (multiprocessing would also run the host's main script again in every child. A short script that extracts a table
without `if __name__ == "__main__"` would then extract it in every worker, too.)

A process has one server, which imports once what all workers need, while the host goes on. The server is kept for the
next engine. It ends by itself when nobody has needed it for a minute, or when the host ends.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing import spawn
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from statekeeper.engines.fork_server import NUMBER, Fork, Preload, WorkerMain, send

_WORKER = "statekeeper.engines.worker"


@dataclass(eq=False)
class WorkerProcess:
    """A worker as the host sees it. `pipe` carries requests and answers; `stop` and `kill` never block."""

    pid: int
    pipe: Connection
    _stop_pipe: int
    _status: int
    _exit_code: int | None = None
    _is_over: bool = False

    def stop(self, request: int) -> None:
        """Tell it to stop its current request, if that has this number; the first request has number 1."""
        with suppress(OSError):
            os.write(self._stop_pipe, NUMBER.pack(request))

    def kill(self) -> None:
        """Kill it at once."""
        if not self._is_over:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int | None:
        """Wait for its end, and return its exit code (minus the signal that killed it); None if the server died."""
        if not self._is_over:
            code = os.read(self._status, NUMBER.size)
            self._exit_code = NUMBER.unpack(code)[0] if code else None
            self._is_over = True
            self.pipe.close()
            os.close(self._stop_pipe)
            os.close(self._status)
        return self._exit_code


class ForkServer:
    """The server: started when it is first needed, and again when it has ended. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: int | None = None  # no socket object: at exit Python would warn that it is not closed
        self._pid = 0
        self._modules: set[str] = set()

    @property
    def pid(self) -> int | None:
        """The server's process id, if one was started and is not known to have ended."""
        return self._pid if self._control is not None else None

    def prepare(self, modules: Iterable[str]) -> None:
        """Have the server import modules, without waiting for it.

        Raises:
            OSError: it cannot be started.
        """
        with self._lock:
            self._use(modules)

    def fork(self, main: WorkerMain, memory_limit: str) -> WorkerProcess:
        """A new worker that calls `main(pipe, stop_pipe, memory_limit)`; waits until it is forked.

        Raises:
            OSError: it cannot be started.
        """
        request = Fork(
            module=main.__module__,
            name=main.__name__,
            memory_limit=memory_limit,
            folder=str(Path.cwd()),
            path=_search_path(),
            environ=dict(os.environ),
        )
        for is_last in (False, True):
            process = self._fork(request)
            if process is not None:
                return process
            if is_last:
                break  # the second try has a new server, in case the first had just ended because it was idle
        raise ChildProcessError("the fork server ended before it forked a worker")

    def forget(self) -> None:
        """Let go of a server that belongs to the process from which this one was forked."""
        if self._control is not None:
            os.close(self._control)

    def _fork(self, request: Fork) -> WorkerProcess | None:
        with ExitStack() as on_failure:
            ours, theirs = Pipe(duplex=True)
            on_failure.callback(ours.close)
            with theirs, ExitStack() as sent:
                stop_pipe_of_worker, stop_pipe = os.pipe()
                sent.callback(os.close, stop_pipe_of_worker)
                on_failure.callback(os.close, stop_pipe)
                os.set_blocking(stop_pipe, False)
                status, status_of_worker = os.pipe()
                sent.callback(os.close, status_of_worker)
                on_failure.callback(os.close, status)
                with self._lock, suppress(BrokenPipeError, ConnectionResetError):
                    control = self._use([_WORKER])
                    send(control, request, (theirs.fileno(), stop_pipe_of_worker, status_of_worker))
            answer = os.read(status, NUMBER.size)
            if not answer:
                return None
            (pid,) = NUMBER.unpack(answer)
            if pid < 0:
                raise OSError(-pid, f"{os.strerror(-pid)}: a process cannot be forked")
            on_failure.pop_all()
            return WorkerProcess(pid, ours, stop_pipe, status)

    def _use(self, modules: Iterable[str]) -> int:
        """The socket of a running server that has imported these modules, or will."""
        wanted = tuple(module for module in modules if module not in self._modules)
        if self._control is not None and _has_ended(self._control):
            self._reap()
        if self._control is None:
            wanted = (*self._modules, *wanted)
            self._control, self._pid = _started(wanted)
        elif wanted:
            send(self._control, Preload(wanted))
        self._modules.update(wanted)
        return self._control

    def _reap(self) -> None:
        if self._control is not None:
            os.close(self._control)
        self._control = None
        with suppress(ChildProcessError):  # the host does not ask how its children end
            os.waitpid(self._pid, 0)


_servers: dict[int, ForkServer] = {}
"""Servers by the host's process id: a process that the host forked finds the host's entry here too."""


def fork_server() -> ForkServer:
    """The server of this process."""
    server = _servers.setdefault(os.getpid(), ForkServer())
    for pid in [pid for pid in _servers if pid != os.getpid()]:
        _servers.pop(pid).forget()
    return server


def start_fork_server(modules: Iterable[str]) -> None:
    """Start the server from which workers are forked, unless it runs. This does not wait.

    If it cannot be started, the request for the first worker reports why.

    Args:
        modules: names of the modules that workers will need; the server imports them once, for all of them.
    """
    with suppress(OSError):
        fork_server().prepare([_WORKER, *modules])


def _started(modules: tuple[str, ...]) -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    # `sys.path` is set before anything of ours is imported there.
    program = (
        f"import sys; sys.path[:] = {list(_search_path())!r}; "
        f"from statekeeper.engines.fork_server import serve; serve({os.getpid()}, {list(modules)!r})"
    )
    with theirs:
        try:
            pid = os.posix_spawn(
                spawn.get_executable(),
                [spawn.get_executable(), "-c", program],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
                # A terminal sends Ctrl-C to every process; it would end a server that is still importing.
                setsigmask=[signal.SIGINT],
            )
        except BaseException:
            ours.close()
            raise
    return ours.detach(), pid


def _search_path() -> tuple[str, ...]:
    """`sys.path`, with the working directory by its path instead of an empty string."""
    return tuple(entry or str(Path.cwd()) for entry in sys.path)


def _has_ended(control: int) -> bool:
    """Whether the server is gone. It never writes to its socket, so that the socket is readable only at its end."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    return bool(poll.poll(0))
