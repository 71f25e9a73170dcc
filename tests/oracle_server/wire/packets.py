"""Packets: the frames of Oracle Net on a socket.

This module knows lengths, packet types and the break/reset dance of markers. What the bodies of data packets say is a
byte stream that others read and write.
"""

import contextlib
import select
import socket
import ssl
import struct
import time
from typing import Protocol

CONNECT, ACCEPT, REFUSE, DATA, RESEND, MARKER = 1, 2, 4, 6, 11, 12
END_OF_RESPONSE = 0x2000
END_OF_FILE = 0x0040
BREAK, RESET, INTERRUPT = 1, 2, 3


class ConnectionEndedError(Exception):
    """The peer closed the connection, or a fault asked us to."""


class InterruptedCallError(Exception):
    """The client sent a break while its call was under way."""


class Counts(Protocol):
    """Keeps count of packets received, packets sent and round trips."""

    def add(self, what: str) -> None: ...


class PacketStream:
    """One client's packets; `large` lengths are used once the connection is accepted."""

    def __init__(self, sock: socket.socket, traffic: Counts) -> None:
        self.sock = sock
        self._traffic = traffic
        self._is_asked = False
        self.large = False
        self.sdu = 8192
        self._pushed_back: list[tuple[int, bytes]] = []

    def receive(self) -> tuple[int, bytes]:
        """The next packet: its type and its body."""
        if self._pushed_back:
            return self._pushed_back.pop(0)
        header = self._exactly(8)
        length = struct.unpack(">I", header[:4])[0] if self.large else struct.unpack(">H", header[:2])[0]
        if length < 8:
            raise ConnectionEndedError(f"a packet of {length} bytes")
        body = self._exactly(length - 8)
        self._traffic.add("packets received")
        self._is_asked = True
        return header[4], body

    def receive_data(self) -> bytes:
        """The next data packet's bytes without its flags; a break marker raises."""
        kind, body = self.receive()
        if kind == MARKER:
            if body[2] in (BREAK, INTERRUPT):
                raise InterruptedCallError
            return self.receive_data()
        if kind != DATA:
            raise ConnectionEndedError(f"packet type {kind} where data was expected")
        if struct.unpack(">H", body[:2])[0] & END_OF_FILE:
            raise ConnectionEndedError("the client said goodbye")
        return body[2:]

    def send(self, kind: int, body: bytes, flags: int = 0) -> None:
        self._count_answer()
        self._traffic.add("packets sent")
        length = len(body) + 8
        head = struct.pack(">I", length) if self.large else struct.pack(">HH", length, 0)
        self._write(head + bytes((kind, flags, 0, 0)) + body)

    def send_data(self, parts: list[bytes | memoryview], *, end_of_response: bool) -> None:
        """Send one response, cut into packets of at most the agreed size; the last one says that it is the last."""
        self._count_answer()
        body = memoryview(b"".join(parts))
        room = self.sdu - 10
        out = []
        last = max(0, (len(body) - 1) // room)
        for number in range(last + 1):
            piece = body[number * room : (number + 1) * room]
            length = len(piece) + 10
            flags = END_OF_RESPONSE if end_of_response and number == last else 0
            head = struct.pack(">I", length) if self.large else struct.pack(">HH", length, 0)
            out += [head, b"\x06\x00\x00\x00", struct.pack(">H", flags), piece]
            self._traffic.add("packets sent")
        self._write(b"".join(out))

    def send_marker(self, kind: int) -> None:
        self.send(MARKER, bytes((1, 0, kind)))

    def answer_break(self) -> None:
        """Tell the client that its call is abandoned and wait for its reset; an error answer must follow."""
        self.send_marker(BREAK)
        while True:
            kind, body = self.receive()
            if kind == MARKER and body[2] == RESET:
                break
        self.send_marker(RESET)

    def abort(self) -> None:
        """Cut the connection, as a failing network does."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def check_for_break(self, seconds: float = 0.0) -> None:
        """Wait that long, and raise as soon as the client interrupts or leaves."""
        deadline = time.monotonic() + seconds
        while True:
            if self._pushed_back:
                return
            if not self._is_waiting(max(0.0, deadline - time.monotonic())):
                return
            kind, body = self.receive()
            if kind == MARKER and body[2] in (BREAK, INTERRUPT):
                raise InterruptedCallError
            self._pushed_back.append((kind, body))  # a pipelined request: its turn comes later

    def _is_waiting(self, seconds: float) -> bool:
        """Whether the client sends something within that time."""
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():  # read from the socket, and not yet by us
            return True
        readable, _, _ = select.select([self.sock], [], [], seconds)
        return bool(readable)

    def _count_answer(self) -> None:
        """Whatever follows a request is its answer, in one packet or in many; counted before the client can have it."""
        if self._is_asked:
            self._traffic.add("round trips")
        self._is_asked = False

    def _write(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as reason:
            raise ConnectionEndedError(str(reason)) from reason

    def _exactly(self, count: int) -> bytes:
        pieces = []
        while count:
            try:
                piece = self.sock.recv(min(count, 1 << 20))
            except OSError as reason:
                raise ConnectionEndedError(str(reason)) from reason
            if not piece:
                raise ConnectionEndedError("end of stream")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)
