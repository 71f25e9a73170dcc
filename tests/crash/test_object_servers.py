"""The stories of `test_objects` on a real server: runs and the server are killed, answers are lost.

Every run is a process of its own, and talks to the server through a proxy that counts its requests. At each of them,
in a first series, the run is killed before the request is sent; or the request is carried out and its answer lost, and
the run lives on; or the run is killed when it has the answer. In a second series the run lives on in all three
variants, but the server is killed at this moment, and started again on its data. Then a plain run must end the story.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any, Literal

import pytest

from statekeeper.run.report import Outcome
from tests.object_servers import running

from .lake import STORIES, Lake, Look, Story, Tally, share_of, sweep_one
from .proxy import VARIANTS, Disturbance, Proxy, proxy

Victim = Literal["run", "server"]
PATIENCE = {"retry_timeout": "20s"}
SHARE = {"run": 2, "server": 1}
"""The default suite disturbs each story at so many points, `make sweep-objects` at each."""


@dataclass(frozen=True)
class Running:
    """A run in a process of its own."""

    process: Any
    pipe: Connection

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)

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
        direct = replace(self.lake, storage=self.server.storage | PATIENCE)
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
        return running.end(), disturbance


@pytest.fixture(scope="module")
def azurite():
    with running("azurite") as server:
        yield server


@pytest.fixture
def served(tmp_path, request):
    """Makes the lake of a story, and what is in its bucket before the disturbed run."""
    server = request.getfixturevalue(request.param)
    with proxy(server.port) as between:

        def make(story: Story) -> tuple[ServedLake, dict[str, bytes]]:
            prefix = f"sweep-{os.getpid()}-{tmp_path.name}"
            endpoint = server.storage["endpoint"].replace(f":{server.port}", f":{between.port}")
            storage = server.storage | PATIENCE | {"endpoint": endpoint}
            lake = Lake(tmp_path, f"{server.url}/{prefix}", story.layout, story.is_by_windows, storage)
            look = Look(server.bucket, f"{prefix}/", f"{server.url}/", tmp_path)
            served = ServedLake(lake, look, server, between)
            lake.write_source(1)
            if story.has_old_dataset:
                assert served.do("run") == [Outcome.COMPLETED]
            lake.write_source(2)
            if story.dies_first_at is not None:
                _, whole = served.disturbed("run", None, "answered", "run")
                look.put_back({})
                served.disturbed("run", int(len(whole.seen) * story.dies_first_at), "answered", "run")
            return served, look.content()

        yield make


def _sweep(served: ServedLake, before: dict[str, bytes], story: Story, victim: Victim, count: int | None) -> Tally:
    tally = Tally(f"{served.server.name}, {story.name}, {victim} killed")
    served.look.put_back(before)
    outcomes, whole = served.disturbed(story.command, None, "answered", victim)
    assert set(outcomes) == {Outcome.COMPLETED}
    assert served.look.check(story, is_ended=True) == {2}
    tally.requests = len(whole.seen)
    points = [(at, variant) for at in range(tally.requests) for variant in VARIANTS]
    for at, variant in share_of(points, count):
        served.look.put_back(before)

        def disturb(at: int = at, variant: Any = variant) -> bool:
            outcomes, disturbance = served.disturbed(story.command, at, variant, victim)
            assert disturbance.is_over, "a story has the same requests each time"
            return bool(outcomes) and set(outcomes) <= {Outcome.COMPLETED, Outcome.SKIPPED}

        try:
            tally.ended_itself += sweep_one(story, served.look, disturb, lambda: served.do(story.again))
        except AssertionError as error:
            raise AssertionError(f"{tally.story}: request {at}, {whole.seen[at]}, {variant}: {error}") from error
        tally.disturbed += 1
    return tally


SERIES = [("seaweed", "run"), ("seaweed", "server"), ("azurite", "run")]
"""Azurite's objects do not outlive a kill, so that it is never killed."""


@pytest.mark.parametrize(("served", "victim"), SERIES, indirect=["served"])
@pytest.mark.parametrize("story", STORIES[1::2], ids=lambda story: story.name)
def test_a_plain_run_ends_what_a_disturbed_one_began(served, story, victim, record_property):
    record_property("sweep", str(_sweep(*served(story), story, victim, SHARE[victim])))


@pytest.mark.sweep
@pytest.mark.parametrize(("served", "victim"), SERIES, indirect=["served"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_the_same_at_every_request(served, story, victim):
    print(f"\n{_sweep(*served(story), story, victim, None)}")
