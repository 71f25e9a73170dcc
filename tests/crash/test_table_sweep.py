"""A run into a Delta table is killed at each durable step, and then resumed: each extraction is one version of it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest

from statekeeper.run.report import Outcome

from .table_world import Story, TableWorld

WRITES, KINDS = ("append", "replace_date", "replace", "merge"), ("first", "forced", "next date")
STORIES = [
    *(Story(write, kind) for write in WRITES for kind in KINDS),
    *(Story("append", kind, "lossy") for kind in KINDS),
    Story("merge", "next date", "lossy"),
    *(Story("append", kind, "nameless", "lease") for kind in KINDS),
]
IN_SHORT = [
    Story("append", "forced"),
    Story("replace_date", "forced"),
    Story("replace", "next date"),
    Story("merge", "forced"),
    Story("append", "first", "lossy"),
    Story("append", "forced", "nameless", "lease"),
]
"""The stories of the short sweep: each write, and each kind of disk. Each commit's run takes another third of them."""
_SHARE = int(os.environ.get("SWEEP_SHARE", "0")) % 3
_OF_TABLES = frozenset({"table", "publish", "intent", "metadata", "passed", "sweep"})
"""The kinds of steps that are different where a dataset is published into a table."""
SHARES = 8
"""The short sweep kills at one of so many kinds of steps besides the commit itself."""


@pytest.mark.parametrize("story", IN_SHORT[_SHARE::3], ids=str)
def test_killed_at_kinds_of_steps_of_a_publication_and_resumed(story, fast_disk, record_property):
    points, kills = _sweep(story, fast_disk, _some)
    record_property("sweep", f"Delta table, {story}: killed {kills} times at {points} distinct points")


@pytest.mark.sweep
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_killed_at_every_single_step_and_resumed(story, fast_disk):
    points, kills = _sweep(story, fast_disk, lambda points: range(len(points)), is_twice=True)
    print(f"\nDelta table, {story}: {kills} kills at {points} distinct points")


def _some(points):
    """The first time that each kind of step of a publication is passed: all about the commit, the last, and a share."""
    first = {point: number for number, point in reversed(list(enumerate(points))) if point[1] in _OF_TABLES}
    of_commits = [
        number for (step, role, _), number in first.items() if role == "table" and step in {"create", "commit"}
    ]
    others = sorted(first.values())[int(os.environ.get("SWEEP_SHARE", "0")) % SHARES :: SHARES]
    return sorted({*of_commits, *others, len(points) - 1})


def _sweep(story, folder, choose, *, is_twice=False):
    template = TableWorld.of(folder / "template", story)
    whole = template.copy_to(folder / "whole")
    points = whole.run(story.killing).points
    whole.assert_ended()
    assert ("commit", "table", "after") in points
    again = replace(story.killing, is_forced=False)
    numbers = choose(points)
    for number in numbers:
        world = template.copy_to(folder / f"kill-{number}")
        world.run(replace(story.killing, kill_at=number))
        rows = world.assert_readers_see_whole_extractions()
        end = world.run(replace(again, kill_at=(number * 7) % len(points) if is_twice else None))
        if end.outcome is None:
            rows = world.assert_readers_see_whole_extractions()
            end = world.run(again)
        if story.kind == "forced" and end.outcome is Outcome.SKIPPED and rows != story.states[-1]:
            # It died before the state said that it is to be extracted again.
            end = world.run(story.killing)
        assert end.outcome in {Outcome.COMPLETED, Outcome.SKIPPED}, (points[number], end.reason)
        try:
            world.assert_ended()
        except AssertionError as error:
            raise AssertionError(f"{story}: killed at {number}, {points[number]}: {error}") from error
        shutil.rmtree(world.folder)
    return len(set(points)), len(numbers)
