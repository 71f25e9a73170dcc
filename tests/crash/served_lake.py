"""A lake on a real server, whose runs are processes of their own and talk to the server through a proxy."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from statekeeper.run.report import Outcome
from tests.object_servers import ObjectServer

from .lake import Lake, Look, Story
from .proxy import Disturbance, Proxy

Victim = Literal["run", "server"]
_PATIENCE = {"retry_timeout": "20s"}
_STRIKE_SECONDS = 120


@dataclass(frozen=True)
class Running:
    """A run in a process of its own."""

    process: Any
    pipe: Connection

    def kill(self) -> None:
        self.process.kill()  # no error if it has ended

    def end(self) -> list[Outcome]:
        """The outcomes; none if it was killed, or could not even begin or end."""
        try:
            outcomes: list[Outcome] = self.pipe.recv()
        except EOFError:
            outcomes = []
        self.process.join()
        return outcomes


def start(lake: Lake, command: Any) -> Running:
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(lake, command, theirs))
    process.start()
    theirs.close()
    return Running(process, ours)


def _child(lake: Lake, command: Any, pipe: Connection) -> None:
    pipe.send(lake.do(command))


@dataclass(frozen=True)
class ServedLake:
    """A lake on a server."""

    lake: Lake
    look: Look
    server: Any
    proxy: Proxy

    def do(self, command: Any) -> list[Outcome]:
        """Run the command in peace."""
        direct = replace(self.lake, storage=self.server.storage | _PATIENCE)
        return start(direct, command).end()

    def _restart_server(self) -> None:
        self.server.kill()
        self.server.restart()

    def disturbed(
        self, command: Any, at: int | None, variant: Any, victim: Victim
    ) -> tuple[list[Outcome], Disturbance]:
        """Run the command, and disturb it at its request number `at`."""
        disturbance = self.proxy.disturbance = Disturbance(at, variant)
        running = start(self.lake, command)
        if victim == "server":
            disturbance.then = self._restart_server
        elif variant != "unanswered":
            disturbance.then = running.kill
        outcomes = running.end()
        assert not disturbance.is_met or disturbance.is_over.wait(_STRIKE_SECONDS)
        return outcomes, disturbance


def make_lake(folder: Path, server: ObjectServer, between: Proxy, story: Story) -> ServedLake:
    """The lake of a story, under a prefix that no other test has."""
    prefix = f"lake-{os.getpid()}-{folder.name}"
    endpoint = server.storage["endpoint"].replace(f":{between.upstream}", f":{between.port}")
    storage = server.storage | _PATIENCE | {"endpoint": endpoint}
    lake = Lake.of(story, folder, f"{server.url}/{prefix}", storage)
    return ServedLake(lake, Look(server.bucket, f"{prefix}/", f"{server.url}/", folder), server, between)
