"""A proxy between a run and its object store, which counts the requests and disturbs a chosen one.

It speaks as much HTTP as stores need, keeps connections open, and changes nothing: signatures stay valid, since they
sign the address of the proxy.
"""

from __future__ import annotations

import http.client
import re
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, get_args

Variant = Literal["not sent", "unanswered", "answered"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
LATE = "late"
"""The request is sent when `then` returns, which may take its time."""


@dataclass
class Disturbance:
    """What happens to the request number `at` (from 0; None: to none), and `then`, before anybody hears of it.

    It is not sent; or sent and carried out, and its answer is lost; or answered; or late. With `like` it is the request
    number `at` of those that match.
    """

    at: int | None = None
    variant: Variant | Literal["late"] = "not sent"
    like: re.Pattern[str] = re.compile("")
    then: Callable[[], None] = lambda: None
    seen: list[str] = field(default_factory=list)
    """Every request that matches: its method and its target."""
    is_met: bool = False
    """Whether the run came to this request."""
    is_over: threading.Event = field(default_factory=threading.Event)
    """Set when `then` has returned, which may be after the run has ended: it was its last request."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_it(self, request: str) -> bool:
        """Whether this is the request to disturb; each request is told here once."""
        with self._lock:
            if not self.like.search(request):
                return False
            self.seen.append(request)
            is_it = len(self.seen) - 1 == self.at
            self.is_met |= is_it
            return is_it

    def strike(self) -> None:
        try:
            self.then()
        finally:
            self.is_over.set()


@dataclass
class Proxy:
    """The proxy of a server on a port of this machine."""

    port: int
    upstream: int
    disturbance: Disturbance = field(default_factory=Disturbance)


@contextmanager
def proxy(upstream: int) -> Iterator[Proxy]:
    """A proxy before the server that listens on the port `upstream`."""

    class Connection(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            with suppress(OSError, http.client.HTTPException):
                _serve(self.rfile, self.connection, made)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Connection) as server:
        made = Proxy(server.server_address[1], upstream)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield made
        server.shutdown()


def _serve(asked: BinaryIO, client: socket.socket, proxy: Proxy) -> None:
    """Answer the requests of one connection, until it or that to the server ends."""
    with socket.create_connection(("127.0.0.1", proxy.upstream)) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (request := _request(asked)) is not None:
            method, target, data = request
            disturbance = proxy.disturbance
            is_it = disturbance.is_it(f"{method} {target}")
            if is_it and disturbance.variant == "not sent":
                disturbance.strike()
                return
            if is_it and disturbance.variant == LATE:
                disturbance.strike()
            server.sendall(data)
            answer = _answer(server, method)
            if is_it and disturbance.variant == "unanswered":
                disturbance.strike()
                return
            client.sendall(answer)
            if is_it and disturbance.variant != LATE:
                disturbance.strike()
                return


def _request(asked: BinaryIO) -> tuple[str, str, bytes] | None:
    """Method, target and all bytes of the next request; None if the client is gone."""
    first = asked.readline()
    if not first:
        return None
    head, length = [first], 0
    while (line := asked.readline()) not in {b"\r\n", b""}:
        head.append(line)
        name, _, value = line.partition(b":")
        assert name.lower() != b"transfer-encoding", "a client that sends chunks"
        if name.lower() == b"content-length":
            length = int(value)
    method, target, _ = first.decode("latin1").split(" ", 2)
    return method, target, b"".join(head) + b"\r\n" + asked.read(length)


def _answer(server: socket.socket, method: str) -> bytes:
    """All bytes of the server's answer; a body that came in chunks comes in one piece."""
    found = http.client.HTTPResponse(server, method=method)
    found.begin()
    body = found.read()
    kept = [
        (name, value) for name, value in found.getheaders() if name.lower() not in {"transfer-encoding", "connection"}
    ]
    if found.getheader("content-length") is None and found.status not in {204, 304}:
        kept.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in kept)
    return f"HTTP/1.1 {found.status} {found.reason}\r\n{head}\r\n".encode("latin1") + body
