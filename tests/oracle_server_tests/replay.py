"""Requests that a client sent to a real database, sent to the test server as they are."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import closing

from tests.oracle_server.database.database import Database
from tests.oracle_server.server import Connection
from tests.oracle_server.session import Session
from tests.oracle_server_tests.decoding import Packet


def answered(requests: list[Packet], *, release: int, field_version: int) -> list[Packet]:
    """The requests, each followed by the answer of a server whose client has logged on and wants marked ends.

    Each answer must fit in one packet.
    """
    database = Database(release=release)
    ours, theirs = socket.socketpair()
    connection = Connection(database, theirs)
    connection.session = Session(database, database.users.named("SYS"), *database.new_session_number())
    connection.packets.large = True
    connection.calls.field_version = field_version
    agreement = connection.agreement
    agreement.field_version, agreement.marked_responses, agreement.end_of_response = field_version, True, release >= 23
    threading.Thread(target=_serve, args=(connection, len(requests)), daemon=True).start()
    found: list[Packet] = []
    with closing(ours), ours.makefile("rb") as stream:
        ours.settimeout(30)
        for request in requests:
            ours.sendall(request.raw)
            head = stream.read(8)
            found += [request, Packet(False, head + stream.read(struct.unpack(">I", head[:4])[0] - 8))]
    return found


def _serve(connection: Connection, count: int) -> None:
    with closing(connection.packets.sock):
        for _ in range(count):
            connection._answer_next()
