"""A run on an object store is disturbed at each of its requests; the next run ends what it began.

The store is obstore's own in memory, whose conditions are those of S3; `make sweep-objects` takes real servers as well
(`test_object_servers` disturbs them from outside, which is far slower). At each request one of three things happens: it
is not sent, and the process is dead; it is carried out, but its answer is lost, and the process lives on; it is
answered, and then the process is dead. (A process that dies without having had the answer leaves the same.) A death is
played in this process, which cannot be forked once it has used obstore: no later request of the dead run is sent.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import obstore
import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore

import statekeeper.store.objects
from statekeeper.model.record import Owner
from statekeeper.run.report import Outcome
from statekeeper.store.process import host_name
from tests.object_servers import running
from tests.seaweedfs import seaweedfs

from .lake import IN_MEMORY, ON_SERVERS, Lake, Look, Story, Tally, share_of, sweep_one

Variant = Literal["not sent", "unanswered", "answered"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
SHARES = 4
"""In so many tests, with a server each, all points of a story on a server are disturbed."""
SHARE = 3
"""The default suite disturbs each story at so many points, `make sweep-objects` at each."""


@dataclass
class Requests:
    """Stands for the module obstore, and disturbs one request of a run: the one at `at`, counted from 0."""

    at: int | None = None
    variant: Variant = "not sent"
    sent: int = 0
    is_dead: bool = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(obstore, name)
        if name == "open_writer":  # which sends nothing itself
            return lambda *arguments, **named: _Writer(self, real(*arguments, **named))
        return self.request(real) if callable(real) else real

    def request(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """What does the same, and is a request that may be disturbed."""

        def request(*arguments: Any, **named: Any) -> Any:
            is_it, self.sent = self.sent == self.at, self.sent + 1
            if is_it and self.variant == "not sent":
                self.is_dead = True
            if self.is_dead:
                raise GenericError("this process is dead")
            answer = real(*arguments, **named)
            if is_it and self.variant == "unanswered":
                raise GenericError("the answer was lost")
            self.is_dead = is_it
            return answer

        return request


class _Writer:
    """Stands for obstore's writer of an object in pieces."""

    def __init__(self, requests: Requests, real: Any) -> None:
        self.write, self.close = requests.request(real.write), requests.request(real.close)
        self._abort = requests.request(real.__exit__)

    def __exit__(self, *error: object) -> None:
        self._abort(*error)


@dataclass
class LakeInProcess:
    """A lake, and the runs on it, which are all in this process."""

    lake: Lake
    look: Look
    monkeypatch: pytest.MonkeyPatch
    lives: int = 0

    def do(self, command: Any, requests: Requests) -> list[Outcome]:
        """The outcomes; none if the run could not even begin, or end."""
        self.lives += 1
        # Of this machine, but of an earlier boot: the next one sees that it is dead.
        owner = Owner(host=host_name(), boot_id=f"earlier-{self.lives}", pid=1, started=0.0)
        for module in ("run.runner", "store.locked_change"):
            self.monkeypatch.setattr(f"statekeeper.{module}.this_process", lambda: owner)
        for module in modules():
            self.monkeypatch.setattr(module, "obstore", requests)
        try:
            return self.lake.do(command)
        except Exception:
            if requests.at is None:
                raise
            return []

    def disturbed(self, command: Any, requests: Requests) -> bool:
        """Whether the run ended well, although it was disturbed."""
        outcomes = self.do(command, requests)
        is_disturbed = requests.sent > (requests.at or 0)
        return (
            is_disturbed
            and bool(outcomes)
            and not requests.is_dead
            and set(outcomes) <= {Outcome.COMPLETED, Outcome.SKIPPED}
        )


def modules() -> list[Any]:
    """Those that send requests."""
    package = statekeeper.store.objects
    found = [
        importlib.import_module(each.name) for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    ]
    return [module for module in found if isinstance(vars(module).get("obstore"), (type(obstore), Requests))]


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """Makes a lake in memory for a story, and what is in its bucket before the disturbed run."""
    bucket = MemoryStore()
    monkeypatch.setattr("statekeeper.store.objects.disk.client_of", lambda *_: bucket)

    def make(story: Story) -> tuple[LakeInProcess, dict[str, bytes]]:
        lake = Lake.of(story, tmp_path, "s3://bucket/data")
        return _begun(LakeInProcess(lake, Look(bucket, "data/", "s3://bucket/", tmp_path), monkeypatch), story)

    return make


@pytest.fixture
def served(tmp_path, monkeypatch, request):
    """The same on a real server of its own: one that has removed many objects lists ever more slowly."""
    starts = {"seaweed": lambda: seaweedfs(tmp_path / "seaweedfs"), "azurite": lambda: running("azurite")}
    with starts[request.param]() as server:

        def make(story: Story) -> tuple[LakeInProcess, dict[str, bytes]]:
            lake = Lake.of(story, tmp_path, f"{server.url}/data", server.storage)
            look = Look(server.bucket, "data/", f"{server.url}/", tmp_path)
            return _begun(LakeInProcess(lake, look, monkeypatch), story)

        yield make


def _begun(lake: LakeInProcess, story: Story) -> tuple[LakeInProcess, dict[str, bytes]]:
    lake.lake.write_source(1)
    if story.has_old_dataset:
        lake.do("run", Requests())
    lake.lake.write_source(2)
    if story.dies_first_at is not None:
        whole = Requests()
        lake.do("run", whole)
        lake.look.put_back({})
        lake.do("run", Requests(int(whole.sent * story.dies_first_at)))
    return lake, lake.look.content()


def _sweep(lake, before, story, count, share=0) -> Tally:
    tally, whole = Tally(f"{story.name}, share {share}" if share else story.name), Requests()
    lake.look.put_back(before)
    assert set(lake.do(story.command, whole)) == {Outcome.COMPLETED}
    assert lake.look.check(story, is_ended=True) == {2}
    tally.requests = whole.sent
    points = [(at, variant) for at in range(whole.sent) for variant in VARIANTS]
    if share:
        points = points[share - 1 :: SHARES]
    for at, variant in share_of(points, count):
        lake.look.put_back(before)
        requests = Requests(at, variant)
        try:
            tally.ended_itself += sweep_one(
                story,
                lake.look,
                lambda requests=requests: lake.disturbed(story.command, requests),
                lambda: lake.do(story.again, Requests()),
            )
        except AssertionError as error:
            raise AssertionError(f"{story.name}: request {at} {variant}: {error}") from error
        tally.missed += requests.sent <= at
        tally.disturbed += requests.sent > at
    tally.check()
    return tally


@pytest.mark.parametrize("story", IN_MEMORY, ids=lambda story: story.name)
def test_a_plain_run_ends_what_a_disturbed_one_began(memory, story, record_property):
    record_property("sweep", f"in memory, {_sweep(*memory(story), story, SHARE)}")


@pytest.mark.sweep
@pytest.mark.parametrize("story", IN_MEMORY, ids=lambda story: story.name)
def test_the_same_at_every_request(memory, story, record_property):
    record_property("sweep", f"in memory, {_sweep(*memory(story), story, None)}")


@pytest.mark.sweep
@pytest.mark.parametrize("served", ["seaweed", "azurite"], indirect=True)
@pytest.mark.parametrize("share", range(1, SHARES + 1))
@pytest.mark.parametrize("story", ON_SERVERS, ids=lambda story: story.name)
def test_the_same_at_every_request_of_a_server(served, story, share, request, record_property):
    server = request.node.callspec.params["served"]
    record_property("sweep", f"on {server}, {_sweep(*served(story), story, None, share)}")
