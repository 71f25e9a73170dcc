"""The stories of `test_objects` on a real server: runs and the server are killed, answers are lost.

Every run is a process of its own, and talks to the server through a proxy that counts its requests. At each of them,
in a first series, the run is killed before the request is sent; or the request is carried out and its answer lost, and
the run lives on; or the run is killed when it has the answer. In a second series the run lives on in all three
variants, but the server is killed at this moment, and started again on its data. Then a plain run must end the story.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from statekeeper.run.report import Outcome

from .lake import INTO_TABLES, ON_SERVERS, STORIES, Story, Tally, share_of, sweep_one
from .proxy import VARIANTS, proxy
from .served_lake import ServedLake, Victim, make_lake

SHARE = {"run": 2, "server": 1}
"""The default suite disturbs each story at so many points, `make sweep-objects` at each."""
_COMMIT = re.compile(r"^PUT \S+/_delta_log/\d+\.json")
"""The default suite disturbs a story of a table at each commit to it."""


@pytest.fixture
def served(tmp_path, request):
    """Makes the lake of a story, and what is in its bucket before the disturbed run."""
    server = request.getfixturevalue(request.param)
    with proxy(server.port) as between:

        def make(story: Story) -> tuple[ServedLake, dict[str, bytes]]:
            served = make_lake(tmp_path, server, between, story)
            lake, look = served.lake, served.look
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
    chosen = share_of(points, count)
    if story.is_in_table and count is not None:
        chosen = [(at, variant) for at, variant in points if _COMMIT.search(whole.seen[at])]
        assert len(chosen) >= len(VARIANTS)
    for at, variant in chosen:
        served.look.put_back(before)

        def disturb(at: int = at, variant: Any = variant) -> bool:
            outcomes, disturbance = served.disturbed(story.command, at, variant, victim)
            tally.missed += not disturbance.is_met
            return disturbance.is_met and bool(outcomes) and set(outcomes) <= {Outcome.COMPLETED, Outcome.SKIPPED}

        try:
            missed = tally.missed
            has_ended_well = sweep_one(story, served.look, disturb, lambda: served.do(story.again))
            tally.ended_itself += has_ended_well and tally.missed == missed
        except AssertionError as error:
            raise AssertionError(f"{tally.story}: request {at}, {whole.seen[at]}, {variant}: {error}") from error
    tally.disturbed = len(chosen) - tally.missed
    tally.check()
    return tally


SERIES = [("seaweed", "run"), ("seaweed", "server"), ("azurite", "run")]
"""Azurite's objects do not outlive a kill, so that it is never killed."""


@pytest.mark.parametrize(
    ("served", "victim", "story"),
    [
        (server, victim, story)
        for server, victim in SERIES
        for story in [
            *STORIES[1 : 4 if server == "azurite" else 8 : 2],
            *(INTO_TABLES[1:] if (server, victim) == SERIES[0] else []),
        ]
    ],
    indirect=["served"],
    ids=str,
)
def test_a_plain_run_ends_what_a_disturbed_one_began(served, story, victim, record_property):
    record_property("sweep", str(_sweep(*served(story), story, victim, SHARE[victim])))


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("served", "victim", "story"),
    [
        (server, victim, story)
        for server, victim in SERIES
        for story in [*ON_SERVERS, *(INTO_TABLES if server == "seaweed" else [])]
    ],
    indirect=["served"],
    ids=str,
)
def test_the_same_at_every_request(served, story, victim, record_property):
    record_property("sweep", str(_sweep(*served(story), story, victim, None)))
