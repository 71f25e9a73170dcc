"""The process that workers are forked from: it has imported what they need, and forks one whenever it is asked to.

It is a program of its own, started by `engines.spawning`, and used by nobody else: what it does to itself (its
collector, its signals, its modules) reaches neither the process that uses statekeeper, the host, nor that process's
own use of multiprocessing. It talks over the one socket that it is started with, and leaves nothing on disk.

Decides how a worker begins and how its end is told. A request comes over the socket with three descriptors: the
worker's pipe, its reins, and where its process id and then its exit code are written. When the host is gone, so are
the server and all workers; a server that has had no worker for `IDLE_SECONDS` ends by itself.

What is imported stays until the end, and workers share its memory with the server for as long as neither writes to it.
A garbage collection would write to all of it, find nothing, and take longer than the checks of a small part. So there
is none in the server, and what a worker finds when it is forked is out of its collector's sight.
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
"""A process id or an exit code, as it is written; a negative process id is the error number of a failed fork."""
_SIZE = struct.Struct("=Q")

WorkerMain = Callable[[Connection, int, str], None]


@dataclass(frozen=True)
class Preload:
    """Modules to import before the next fork."""

    modules: tuple[str, ...]


@dataclass(frozen=True)
class Fork:
    """A worker in the surroundings of the host: `main(pipe, reins, memory_limit)`, by its module and name."""

    module: str
    name: str
    memory_limit: str
    folder: str
    path: tuple[str, ...]
    environ: dict[str, str]


def send(control: int, request: Preload | Fork, descriptors: Iterable[int] = ()) -> None:
    """Send a request to the server, from the host, over the socket of this number."""
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
    """The life of the server; the socket is its standard input, `host` the process that started it."""
    gc.disable()
    try:
        server = _Server(_only_descriptor(), host)
        server.preload(modules)
        server.serve()
    except (OSError, MemoryError):
        pass  # the host notices that it is gone, and says so with the first worker that it needs
    finally:
        # At once: taking Arrow and the drivers down piece by piece would keep the reader of our output waiting.
        os._exit(0)


def _only_descriptor() -> socket.socket:
    """The control socket, and nothing else that the host had open; standard input is empty from now on."""
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
    """By process id, where its exit code is to be written."""
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
        self.selector.register(self.control, selectors.EVENT_READ, self._obey)
        with suppress(AttributeError, OSError):  # the socket tells, too, unless another process has a copy of it
            watched = os.pidfd_open(self.host)
            self.own.append(watched)
            self.selector.register(watched, selectors.EVENT_READ, self._end)

    def preload(self, modules: Iterable[str]) -> None:
        """Import modules; a worker that then lacks one says why."""
        for module in modules:
            with suppress(Exception):
                importlib.import_module(module)

    def serve(self) -> None:
        """Do what is asked until the host is gone, or wants nothing any more."""
        while True:
            events = self.selector.select(None if self.children else IDLE_SECONDS)
            if not events and not self.children:
                return
            for key, _ in events:
                key.data()

    def _obey(self) -> None:
        header, descriptors, _, _ = socket.recv_fds(self.control, _SIZE.size, 3)
        if not header:
            self._end()
        header += self._exactly(_SIZE.size - len(header))
        request: Preload | Fork = pickle.loads(self._exactly(*_SIZE.unpack(header)))  # noqa: S301 - from our host
        match request:
            case Preload(modules=modules):
                self.preload(modules)
            case Fork():
                self._fork(request, *descriptors)

    def _exactly(self, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            more = self.control.recv(size - len(found))
            if not more:
                self._end()
            found += more
        return bytes(found)

    def _fork(self, request: Fork, pipe: int, reins: int, status: int) -> None:
        gc.freeze()
        try:
            pid = os.fork()
        except OSError as error:
            _tell(status, -(error.errno or 1))
            os.close(status)
        else:
            if not pid:
                self._become_worker(request, pipe, reins, status)
            self.children[pid] = status
            _tell(status, pid)
        os.close(pipe)
        os.close(reins)

    def _become_worker(self, request: Fork, pipe: int, reins: int, status: int) -> NoReturn:
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
            main(Connection(pipe), reins, request.memory_limit)
            code = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, the host only sees that the worker ended
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
                _tell(where, os.waitstatus_to_exitcode(status))
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


def _tell(descriptor: int, number: int) -> None:
    with suppress(OSError):  # nobody waits for it any more
        os.write(descriptor, NUMBER.pack(number))
