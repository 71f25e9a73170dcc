"""How worker processes are started: forked from a server of our own (`engines.fork_server`), and how they end.

Decides nothing for others: multiprocessing's start method, its fork server, its preloads and its temporary folder are
the host's. (multiprocessing would also run the host's main script again in every child; a script of three lines that
extracts a table, without `if __name__ == "__main__"`, would then extract it in every worker, too.)

There is one server in a process, which imports what workers need once for all of them, while the host goes on. It is
kept for the next engine, and ends by itself when nobody has needed it for a minute, or when the host ends.
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
    """A worker, seen from the host. `pipe` carries orders and answers; `stop` and `kill` never block."""

    pid: int
    pipe: Connection
    _reins: int
    _status: int
    _exit_code: int | None = None
    _is_over: bool = False

    def stop(self, order: int) -> None:
        """Tell it to end its present order, if that has this number (the first that it was sent is 1)."""
        with suppress(OSError):
            os.write(self._reins, NUMBER.pack(order))

    def kill(self) -> None:
        """End it at once, whatever it is doing."""
        if not self._is_over:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int | None:
        """Its exit code, once it has ended (minus the signal that killed it); None where the server died before."""
        if not self._is_over:
            told = os.read(self._status, NUMBER.size)
            self._exit_code = NUMBER.unpack(told)[0] if told else None
            self._is_over = True
            self.pipe.close()
            os.close(self._reins)
            os.close(self._status)
        return self._exit_code


class ForkServer:
    """The server, started when it is first needed, and again when it has ended. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control: int | None = None  # no socket object: at its exit Python would complain of it
        self._pid = 0
        self._modules: set[str] = set()

    @property
    def pid(self) -> int | None:
        """The server's process, if one was started and has not been seen to end."""
        return self._pid if self._control is not None else None

    def prepare(self, modules: Iterable[str]) -> None:
        """Have the server import modules; it is not waited for.

        Raises:
            OSError: it cannot be started.
        """
        with self._lock:
            self._use(modules)

    def fork(self, main: WorkerMain, memory_limit: str) -> WorkerProcess:
        """A new worker that calls `main(pipe, reins, memory_limit)`; waits until it is there.

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
                break  # a server that ended because it was idle is replaced by one that has just been started
        raise ChildProcessError("the process that workers are forked from ended before it forked one")

    def forget(self) -> None:
        """Leave a server that is another process's, whose fork we are."""
        if self._control is not None:
            os.close(self._control)

    def _fork(self, request: Fork) -> WorkerProcess | None:
        with ExitStack() as if_it_fails:
            ours, theirs = Pipe(duplex=True)
            if_it_fails.callback(ours.close)
            with theirs, ExitStack() as sent:
                reins_of_worker, reins = os.pipe()
                sent.callback(os.close, reins_of_worker)
                if_it_fails.callback(os.close, reins)
                os.set_blocking(reins, False)
                status, status_of_worker = os.pipe()
                sent.callback(os.close, status_of_worker)
                if_it_fails.callback(os.close, status)
                with self._lock, suppress(BrokenPipeError, ConnectionResetError):
                    control = self._use([_WORKER])
                    send(control, request, (theirs.fileno(), reins_of_worker, status_of_worker))
            told = os.read(status, NUMBER.size)
            if not told:
                return None
            (pid,) = NUMBER.unpack(told)
            if pid < 0:
                raise OSError(-pid, f"{os.strerror(-pid)}: a process cannot be forked")
            if_it_fails.pop_all()
            return WorkerProcess(pid, ours, reins, status)

    def _use(self, modules: Iterable[str]) -> int:
        """The socket of a server that lives and has, or will have, these modules."""
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
"""By process id, since a process that the host forked finds the host's here."""


def fork_server() -> ForkServer:
    """The server of this process."""
    server = _servers.setdefault(os.getpid(), ForkServer())
    for pid in [pid for pid in _servers if pid != os.getpid()]:
        _servers.pop(pid).forget()
    return server


def start_fork_server(modules: Iterable[str]) -> None:
    """Start the server that workers are forked from, unless it runs; it is not waited for.

    Where it cannot be started, the first worker that is asked for says why.

    Args:
        modules: what workers will need, by name: it is imported once, for all of them.
    """
    with suppress(OSError):
        fork_server().prepare([_WORKER, *modules])


def _started(modules: tuple[str, ...]) -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    # What it may import from is told before anything of ours is imported there.
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
                # A terminal sends Ctrl-C to every process; while it imports, the server would end by it.
                setsigmask=[signal.SIGINT],
            )
        except BaseException:
            ours.close()
            raise
    return ours.detach(), pid


def _search_path() -> tuple[str, ...]:
    """`sys.path`, where the working directory stands by its name."""
    return tuple(entry or str(Path.cwd()) for entry in sys.path)


def _has_ended(control: int) -> bool:
    """Whether the server is gone; it never says a word over its socket."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    return bool(poll.poll(0))
