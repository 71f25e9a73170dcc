"""Handle: a server in a process of its own, as a test holds it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Client
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
KEY_VARIABLE = "ORACLE_SERVER_CONTROL_KEY"


class ServerError(Exception):
    """The server could not do what the handle asked."""


class OracleServer:
    """A running server. Every method that is not written here is one of `control.Controller`, called by name."""

    def __init__(self, process: subprocess.Popen[str], told: dict[str, Any], key: bytes) -> None:
        self._process = process
        self._key = key
        self._lock = threading.Lock()
        self._pipe = Client(tuple(told["control"]), authkey=key)
        self.host: str = told["host"]
        self.port: int = told["port"]
        self.service: str = told["service"]
        self.users: dict[str, str] = {}

    @classmethod
    def start(
        cls,
        *,
        service: str = "TESTDB",
        release: int = 23,
        port: int = 0,
        users: dict[str, str] | None = None,
        tls: Sequence[Path] = (),
    ) -> OracleServer:
        """Start one.

        Args:
            service: the service's name, and the instance's.
            release: of which release of Oracle it speaks the protocol, one of `handshake.RELEASES`.
            port: 0 is one that is free.
            users: names and passwords of accounts with every privilege, APP/app if none are given.
            tls: for TLS a file of its certificate and key, and, where clients must have one, of what signed theirs.
        """
        key = secrets.token_hex(16)
        command = [sys.executable, "-m", "tests.oracle_server", "--port", str(port), "--service", service]
        command += ["--release", str(release), "--controlled"]
        command += [word for pair in zip(("--tls", "--tls-clients"), tls, strict=False) for word in map(str, pair)]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {KEY_VARIABLE: key},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            process.communicate()
            raise ServerError("the server did not start; its error stands above")
        server = cls(process, json.loads(line), key.encode())
        for name, password in (users or {"APP": "app"}).items():
            server.create_user(name, password, "owner")
        return server

    def create_user(self, name: str, password: str, preset: str = "none", session_limit: int | None = None) -> None:
        """An account; presets are those of `database.users.PRESETS`: none, dictionary, scn, all, owner."""
        self._ask("create_user", name, password, preset, session_limit)
        self.users[name] = password

    @property
    def dsn(self) -> str:
        return f"{self.host}:{self.port}/{self.service}"

    @property
    def credentials(self) -> dict[str, str]:
        """What `oracledb.connect(**server.credentials)` wants, for the first user."""
        user, password = next(iter(self.users.items()))
        return {"user": user, "password": password, "dsn": self.dsn}

    def _ask(self, name: str, *arguments: Any, **options: Any) -> Any:
        with self._lock:
            self._pipe.send((name, arguments, options))
            fine, value = self._pipe.recv()
        if not fine:
            raise ServerError(value)
        return value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *arguments, **options: self._ask(name, *arguments, **options)

    def stop(self) -> None:
        self._pipe.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
