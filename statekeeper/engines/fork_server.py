"""The fork server: a process that has imported the modules workers need, and forks a worker on request.

`engines.spawning` starts it as a program of its own. The host is the process that uses statekeeper. The server's
settings (garbage collector, signals, modules) affect neither the host nor the host's own use of multiprocessing. It
communicates over the one socket that it is started with, and leaves nothing on disk.

Decides how a worker starts and how its end is reported. A request comes over the socket with three descriptors: the
worker's pipe, its stop pipe, and the one to which its process id and later its exit code are written. When the host
ends, so do the server and all workers. A server that has had no worker for `IDLE_SECONDS` ends by itself.

Imported modules stay loaded, and workers share their memory with the server until one of them writes to it. A garbage
collection would write to all of it, find nothing, and take longer than the checks of a small part. So the server does
not collect, and in a worker the objects that existed before the fork are hidden from the collector (`gc.freeze`): 4 %
less processor time for a run of 40 small tables, and for one that skips them.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import os
import pickle
import selectors
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NoReturn

from statekeeper.system_errors import as_system_error

IDLE_SECONDS = 60.0
NUMBER = struct.Struct("=i")
"""The format of a process id or an exit code. A negative process id is the error number of a failed fork."""
_SIZE = struct.Struct("=Q")

WorkerMain = Callable[[Connection, int, str], None]


@dataclass(frozen=True)
class Preload:
    """Modules to import before the next fork."""

    modules: tuple[str, ...]


@dataclass(frozen=True)
class Fork:
    """A request for a worker with the host's folder, path and environment.

    The worker calls `main(pipe, stop_pipe, memory_limit)`; `module` and `name` say where `main` is.
    """

    module: str
    name: str
    memory_limit: str
    folder: str
    path: tuple[str, ...]
    environ: dict[str, str]


def send(control: int, request: Preload | Fork, descriptors: Iterable[int] = ()) -> None:
    """Send a request from the host to the server, over the socket with the descriptor `control`."""
    body = pickle.dumps(request)
    header, given = _SIZE.pack(len(body)), list(descriptors)
    connection = socket.socket(fileno=control)
    try:
        if given:
            socket.send_fds(connection, [header], given)
        else:
            connection.sendall(header)
        connection.sendall(body)
    finally:
        connection.detach()


def serve(host: int, modules: Iterable[str]) -> NoReturn:
    """Run the server until it ends. Its standard input is the socket; `host` is the process that started it."""
    gc.disable()
    try:
        server = _Server(_only_descriptor(), host)
        server.preload(modules)
        server.serve()
    except (OSError, MemoryError):
        pass  # the host notices that the server is gone, and reports it with the first worker that it needs
    finally:
        # At once: an orderly shutdown of Arrow and the drivers would keep the reader of our output waiting.
        os._exit(0)


def _only_descriptor() -> socket.socket:
    """The control socket. Every other descriptor of the host is closed; standard input is empty from now on."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    control = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3))
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return control


@dataclass
class _Server:
    control: socket.socket
    host: int
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    children: dict[int, int] = field(default_factory=dict)
    """For each worker's process id, the descriptor to which its exit code is written."""
    own: list[int] = field(default_factory=list)
    """Descriptors that no worker must have."""

    def __post_init__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the host decides; a terminal sends Ctrl-C to every process
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self.own.extend(os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else _pipe())
        signal.set_wakeup_fd(self.own[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector.register(self.own[0], selectors.EVENT_READ, self._reap)
        self.selector.register(self.control, selectors.EVENT_READ, self._handle_request)
        with suppress(AttributeError, OSError):  # the socket closes too, unless another process has a copy of it
            watched = os.pidfd_open(self.host)
            self.own.append(watched)
            self.selector.register(watched, selectors.EVENT_READ, self._end)

    def preload(self, modules: Iterable[str]) -> None:
        """Import modules. Failures are ignored here: a worker that lacks a module reports why."""
        for module in modules:
            with suppress(Exception):
                importlib.import_module(module)

    def serve(self) -> None:
        """Handle requests until the host is gone, or has had no worker for `IDLE_SECONDS`."""
        while True:
            events = self.selector.select(None if self.children else IDLE_SECONDS)
            if not events and not self.children:
                return
            for key, _ in events:
                key.data()

    def _handle_request(self) -> None:
        header, descriptors, _, _ = socket.recv_fds(self.control, _SIZE.size, 3)
        if not header:
            self._end()
        header += self._receive_exactly(_SIZE.size - len(header))
        request: Preload | Fork = pickle.loads(self._receive_exactly(*_SIZE.unpack(header)))  # noqa: S301 - from our host
        match request:
            case Preload(modules=modules):
                self.preload(modules)
            case Fork():
                self._fork(request, *descriptors)

    def _receive_exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            more = self.control.recv(size - len(found))
            if not more:
                self._end()
            found += more
        return bytes(found)

    def _fork(self, request: Fork, pipe: int, stop_pipe: int, status: int) -> None:
        gc.freeze()
        try:
            pid = os.fork()
        except OSError as error:
            _write_number(status, -(error.errno or 1))
            os.close(status)
        else:
            if not pid:
                self._become_worker(request, pipe, stop_pipe, status)
            self.children[pid] = status
            _write_number(status, pid)
        os.close(pipe)
        os.close(stop_pipe)

    def _become_worker(self, request: Fork, pipe: int, stop_pipe: int, status: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.selector.close()
            self.control.close()
            for descriptor in (*self.own, *self.children.values(), status):
                os.close(descriptor)
            gc.enable()
            sys.path[:] = request.path
            os.environ.clear()
            os.environ.update(request.environ)
            os.chdir(request.folder)
            main: WorkerMain = getattr(importlib.import_module(request.module), request.name)
            main(Connection(pipe), stop_pipe, request.memory_limit)
            code = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, the host sees only that the worker ended
            known = as_system_error(error)
            sys.stderr.write(f"a worker process ended: {known.message}\n" if known else traceback.format_exc())
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            os.read(self.own[0], 512)
        while self.children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            where = self.children.pop(pid, None)
            if where is not None:
                _write_number(where, os.waitstatus_to_exitcode(status))
                os.close(where)

    def _end(self) -> NoReturn:
        for pid in self.children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os._exit(0)


def _pipe() -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    return ends


def _write_number(descriptor: int, number: int) -> None:
    with suppress(OSError):  # nobody reads it any more
        os.write(descriptor, NUMBER.pack(number))
