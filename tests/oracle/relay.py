"""A relay between a driver and a server that can stop forwarding after any byte of the server."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Relay:
    """Forwards bytes in both directions, but at most `allowed` bytes of the server on each connection."""

    def __init__(self, host: str, port: int, *, allowed: int | None = None) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.allowed = allowed
        self.passed = 0
        """The number of bytes of the server that were forwarded on the last connection."""
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *arguments: socket.socket) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                self.passed = 0
                self._start(self._pass, client, server)
                self._start(self._pass_answers, server, client)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                ready, _, urgent = select.select([source], [], [source])
                if urgent:  # the driver finds out by it whether it can break a call
                    target.send(source.recv(1, socket.MSG_OOB), socket.MSG_OOB)
                elif ready:
                    if not (data := source.recv(65536)):
                        break
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def _pass_answers(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.allowed is not None:
                    data = data[: max(0, self.allowed - self.passed)]
                self.passed += len(data)
                target.sendall(data)
            if self.allowed is None:
                target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # which wakes the thread that reads it
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
