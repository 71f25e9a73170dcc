"""The program: its options, and what it prints when a person starts it."""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import threading
from multiprocessing.connection import Listener as PipeListener

from tests.oracle_server import demo
from tests.oracle_server.control import Controller, answer
from tests.oracle_server.database.database import Database
from tests.oracle_server.handle import KEY_VARIABLE
from tests.oracle_server.server import Listener
from tests.oracle_server.wire.handshake import RELEASES


def main() -> None:
    """Parse the command line and serve until the end of standard input, or until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1521, help="0 takes any that is free")
    parser.add_argument("--service", default="TESTDB")
    parser.add_argument("--release", type=int, default=23, choices=sorted(RELEASES))
    parser.add_argument("--database", default=":memory:", help="a DuckDB file to keep the rows in")
    parser.add_argument(
        "--demo",
        action="store_true",
        help="fill it with the tables of configs/prod.yml, and say how they are extracted",
    )
    parser.add_argument("--controlled", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--tls", metavar="PEM", help="speak TLS with the certificate and the key of this file")
    parser.add_argument("--tls-clients", metavar="PEM", help="and only with clients whose certificate this one signed")
    options = parser.parse_args()
    sys.setswitchinterval(0.001)  # many short answers: let no thread keep the others waiting
    database = Database(service=options.service, release=options.release, path=options.database)
    listener = Listener(database, options.host, options.port, tls=_tls(options.tls, options.tls_clients))
    controller = Controller(database, listener)
    if options.demo:
        controller.demo()
    if options.controlled:
        _serve_handle(listener, controller)
        return
    if not options.demo:
        controller.create_user("APP", "app", "owner")
    user, password = (demo.USER, demo.PASSWORD) if options.demo else ("app", "app")
    print(f"listening on {listener.host}:{listener.port}, service {options.service}, user {user}/{password}")
    if options.demo:
        print("It holds the tables of configs/prod.yml. In another terminal, in this folder:")
        commands = demo.commands(listener.host, listener.port, options.service)
    else:
        dsn = f"{listener.host}:{listener.port}/{options.service}"
        commands = [f"oracledb.connect(user={user!r}, password={password!r}, dsn={dsn!r})"]
    print("\n".join(f"  {command}" for command in commands), flush=True)
    try:
        listener.serve_forever()
    except KeyboardInterrupt:
        listener.close()


def _tls(certificate: str | None, clients: str | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=clients)
    context.load_cert_chain(certificate)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _serve_handle(listener: Listener, controller: Controller) -> None:
    pipes = PipeListener(("127.0.0.1", 0), authkey=os.environ[KEY_VARIABLE].encode())
    threading.Thread(target=answer, args=(controller, pipes), daemon=True).start()
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    told = {"host": listener.host, "port": listener.port, "service": controller.database.service}
    print(json.dumps(told | {"control": pipes.address}), flush=True)
    sys.stdin.read()  # ends when the handle does, however it ends
    os._exit(0)
