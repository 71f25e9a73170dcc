"""A run is killed at each durable step, and then resumed: nothing is lost, doubled or left over."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace

import pytest

from statekeeper.model.table import Layout
from statekeeper.run.report import Outcome
from tests.messages import says

from .world import ROWS, Killing, Point, World

FOLDER = ROWS // 2


@dataclass(frozen=True)
class Scenario:
    """What was published before (None: nothing), what will be published, and the kind of disk and lock."""

    before: int | None
    after: int
    disk: str = "local"
    lock: str = "flock"
    scope: str = "table"
    good_before: int = 100
    good_after: int = 100
    """Amounts below this are good; rows with others are put apart."""
    layout: Layout = Layout.DATED
    is_by_windows: bool = False
    is_about_place: bool = False
    """Whether only steps that have to do with where a dataset lies are of interest."""

    def is_of_interest(self, point: Point) -> bool:
        """Whether a kill at this step tests something that no other scenario does."""
        if self.is_by_windows:
            return point[1] in _OF_WINDOWS
        if (self.layout is Layout.HIVE or self.is_about_place) and point[1] not in _OF_PLACE:
            return False
        if self.scope == "run":
            return point[1] in {"run_snapshot", "start", "restart"}
        if self.disk == "mount-point":
            return point[1] in {"publish", "ready", "metadata", "passed"}
        if {self.good_before, self.good_after} == {100}:
            return True
        return point[1] in _OF_QUARANTINE and (self.before is None or point[1] not in _OF_SIFTING)

    @property
    def amounts_below(self) -> dict[int, int]:
        """The good amounts, by the version that readers see."""
        return (
            {1: self.good_after, 2: self.good_after}
            if self.before is None
            else {1: self.good_before, 2: self.good_after}
        )

    @property
    def parts(self) -> int:
        return -(-ROWS // self.after)

    def prepare(self, world: World) -> None:
        """Publish the old version, then change the source."""
        if self.before is not None:
            first = replace(self.killing, chunk_rows=self.before, is_forced=False, amounts_below=self.good_before)
            run = world.run(first)
            assert run.outcome is Outcome.COMPLETED, run.reason
            world.write_source(version=2)

    @property
    def killing(self) -> Killing:
        return Killing(
            chunk_rows=self.after,
            is_forced=self.before is not None,
            disk=self.disk,
            lock=self.lock,
            scope=self.scope,
            amounts_below=self.good_after,
            is_by_windows=self.is_by_windows,
        )


_OF_WINDOWS = frozenset({"windows", "plan", "start"})
_OF_SIFTING = frozenset({"sifted", "split_receipt", "rejects_receipt", "violations"})
_OF_QUARANTINE = _OF_SIFTING | {"quarantine", "publish", "metadata", "passed"}
"""The kinds of files and steps that have to do with rows that are put apart; what is before publication is alike."""
_OF_PLACE = frozenset({"intent", "ready", "quarantine", "publish", "metadata", "passed", "sweep"})
"""The kinds that have to do with where a dataset lies; the others are alike in every layout."""
SCENARIOS = {
    "first publication of a file": Scenario(None, ROWS),
    "first publication of a folder": Scenario(None, FOLDER),
    "file by file": Scenario(ROWS, ROWS),
    "folder by folder": Scenario(FOLDER, FOLDER),
    "file by folder": Scenario(ROWS, FOLDER),
    "folder by file": Scenario(FOLDER, ROWS),
    "folder by folder without exchange": Scenario(FOLDER, FOLDER, disk="no-exchange"),
    "file by folder without exchange": Scenario(ROWS, FOLDER, disk="no-exchange"),
    "folder by folder where base_path is a mount point": Scenario(FOLDER, FOLDER, disk="mount-point"),
    "file by folder where base_path is a mount point": Scenario(ROWS, FOLDER, disk="mount-point"),
    "first publication under a lease": Scenario(None, FOLDER, lock="lease"),
    "folder by folder under a lease": Scenario(FOLDER, FOLDER, lock="lease"),
    "first publication at the run's snapshot": Scenario(None, FOLDER, scope="run"),
    "folder by folder at a new snapshot of the run": Scenario(FOLDER, FOLDER, scope="run"),
    "first publication at the run's snapshot on a disk that loses what was not synced": Scenario(
        None, FOLDER, disk="lossy", scope="run"
    ),
    "first publication on a disk that loses what was not synced": Scenario(None, FOLDER, disk="lossy"),
    "file by file on a disk that loses what was not synced": Scenario(ROWS, ROWS, disk="lossy"),
    "folder by folder on a disk that loses what was not synced": Scenario(FOLDER, FOLDER, disk="lossy"),
    "rows put apart at the first publication": Scenario(None, FOLDER, good_after=95),
    "rows put apart of a file where none were": Scenario(ROWS, ROWS, good_after=95),
    "rows put apart by others": Scenario(FOLDER, FOLDER, good_before=95, good_after=90),
    "rows put apart no more": Scenario(FOLDER, FOLDER, good_before=95),
    "rows put apart under a lease": Scenario(FOLDER, FOLDER, lock="lease", good_before=90, good_after=95),
    "rows put apart on a disk that loses what was not synced": Scenario(
        FOLDER, FOLDER, disk="lossy", good_before=90, good_after=95
    ),
    "rows put apart no more on a disk that loses what was not synced": Scenario(
        FOLDER, FOLDER, disk="lossy", good_before=95
    ),
    "rows put apart by others without rename": Scenario(
        FOLDER, FOLDER, disk="nameless", lock="lease", good_before=95, good_after=90
    ),
    "rows put apart no more without rename": Scenario(FOLDER, FOLDER, disk="nameless", lock="lease", good_before=95),
    "first publication of a file without rename": Scenario(None, ROWS, disk="nameless", lock="lease"),
    "first publication of a folder without rename": Scenario(None, FOLDER, disk="nameless", lock="lease"),
    "first publication at the run's snapshot without rename": Scenario(None, FOLDER, "nameless", "lease", "run"),
    "file by file without rename": Scenario(ROWS, ROWS, disk="nameless", lock="lease"),
    "folder by folder without rename": Scenario(FOLDER, FOLDER, disk="nameless", lock="lease"),
    "file by folder without rename, what was not synced lost": Scenario(ROWS, FOLDER, "lossy-nameless", "lease"),
    "a first window": Scenario(None, FOLDER, is_by_windows=True),
    "a window under a lease": Scenario(FOLDER, FOLDER, lock="lease", is_by_windows=True),
    "a first window on a disk that loses what was not synced": Scenario(None, FOLDER, disk="lossy", is_by_windows=True),
    "a window without rename": Scenario(FOLDER, FOLDER, disk="nameless", lock="lease", is_by_windows=True),
    "a first window without rename, what was not synced lost": Scenario(
        None, FOLDER, disk="lossy-nameless", lock="lease", is_by_windows=True
    ),
}
SCENARIOS |= {f"hive: {name}": replace(scenario, layout=Layout.HIVE) for name, scenario in SCENARIOS.items()}
"""A dataset of one part is a folder there, too: of "a file" is then one part."""


TWICE = (
    "first publication of a file",
    "first publication of a folder",
    "file by file",
    "folder by folder",
    "rows put apart by others",
)
"""The scenarios in which the resume is killed, too, before it is resumed."""


HIVE_IN_SHORT = (
    "hive: first publication of a folder",
    "hive: file by folder",
    "hive: folder by folder without exchange",
    "hive: folder by folder where base_path is a mount point",
    "hive: folder by folder under a lease",
    "hive: folder by folder on a disk that loses what was not synced",
    "hive: rows put apart by others",
    "hive: first publication of a file without rename",
    "hive: folder by folder without rename",
    "hive: file by folder without rename, what was not synced lost",
)
"""What of publication is different there: which folder is exchanged, and what is removed when."""


LIKE_A_SISTER_UNTIL_PUBLICATION = (
    "first publication of a file",
    "file by file",
    "file by folder",
    "folder by file",
    "folder by folder without exchange",
    "folder by folder without rename",
    "folder by folder on a disk that loses what was not synced",
    "file by folder without rename, what was not synced lost",
)
"""Here the short sweep kills only from the intent on: until then another scenario takes the same steps."""


WHOLE_IN_SHORT = ("folder by folder", "first publication of a folder without rename")
"""The scenarios, one with rename and one without, in which the short sweep kills at every kind of step."""


SHARES = 4
"""Elsewhere it kills at one of so many kinds of steps; SWEEP_SHARE, a number, says which. CI has it from the commit."""


ONLY_AT_LENGTH = (
    "file by folder without exchange",
    "file by folder where base_path is a mount point",
    "first publication under a lease",
    "file by file on a disk that loses what was not synced",
    "rows put apart no more",
    "rows put apart no more on a disk that loses what was not synced",
    "first publication of a file without rename",
    "file by file without rename",
    "rows put apart no more without rename",
    *(name for name in SCENARIOS if name.startswith("hive: ") and name not in HIVE_IN_SHORT),
)
"""The scenarios that only the long sweep goes through: each has a sister that the short one goes through."""


@pytest.mark.parametrize(
    "name", [name for name in SCENARIOS if name not in ONLY_AT_LENGTH], ids=lambda name: name.replace(" ", "-")
)
def test_killed_at_every_kind_of_durable_step_and_resumed(name, fast_disk, record_property):
    is_twice, scenario = name in TWICE, SCENARIOS[name]
    if name in LIKE_A_SISTER_UNTIL_PUBLICATION:
        scenario = replace(scenario, is_about_place=True)
    choose = _first if name in WHOLE_IN_SHORT else _share_of_first
    points, kills = _sweep(scenario, fast_disk, choose, is_twice=is_twice)
    record_property("sweep", f"{name}: killed {kills} times at {points} distinct points")
    assert points > 60


@pytest.mark.sweep
@pytest.mark.parametrize("name", SCENARIOS, ids=lambda name: name.replace(" ", "-"))
def test_killed_at_every_single_durable_step_and_resumed(name, fast_disk):
    points, kills = _sweep(SCENARIOS[name], fast_disk, _all, is_twice=True, is_exhaustive=True)
    print(f"\n{name}: {kills} kills at {points} distinct points")


def _sweep(scenario, folder, choose, *, is_twice, is_exhaustive=False):
    template = World.make(folder / "template", scenario.layout)
    scenario.prepare(template)
    points = template.copy_to(folder / "whole").run(scenario.killing).points
    again = replace(scenario.killing, is_forced=False)
    of_interest = {point for point in points if is_exhaustive or scenario.is_of_interest(point)}
    numbers = choose(points, of_interest)
    for number in numbers:
        world = template.copy_to(folder / f"kill-{number}")
        world.run(replace(scenario.killing, kill_at=number))
        _assert_readers_see_one_version(world, scenario)
        end = world.run(replace(again, kill_at=(number * 7) % len(points) if is_twice else None))
        if end.outcome is None:
            _assert_readers_see_one_version(world, scenario)
            end = world.run(again)
        _assert_ended_well(world, scenario, killed_at=points[number], run=end)
        shutil.rmtree(world.folder)
    return len(set(points)), len(numbers)


def _all(points, of_interest):
    return [number for number, point in enumerate(points) if point in of_interest]


def _first(points, of_interest):
    """The first time each point is passed."""
    return sorted({points[number]: number for number in reversed(_all(points, of_interest))}.values())


def _share_of_first(points, of_interest):
    return _first(points, of_interest)[int(os.environ.get("SWEEP_SHARE", "0")) % SHARES :: SHARES]


def _assert_readers_see_one_version(world, scenario):
    if "nameless" in scenario.disk and not world.is_committed:
        # Parts may be there under the dataset's own name: only the commit record says that they are all of it.
        assert scenario.before is None
        return
    # Where nothing is renamed, what is copied in has its name from the beginning; where base_path is a mount point, the
    # parts of a folder have theirs just before it is exchanged.
    if scenario.disk not in {"nameless", "lossy-nameless", "mount-point"}:
        world.assert_globs_see_only_what_is_published()
    if "nameless" not in scenario.disk:
        world.assert_folder_has_only_what_is_published()
    version = world.readable_version(amounts_below=scenario.amounts_below)
    if scenario.before is None:
        assert version in {None, 1}
    elif scenario.disk == "no-exchange" and version is None:
        # The one short window without output: the old is moved aside, and not yet replaced.
        assert list(world.swap.glob("*/.*.replaced-*"))
    else:
        assert version in {1, 2}


def _assert_ended_well(world, scenario, *, killed_at, run):
    is_old = world.readable_version(amounts_below=scenario.amounts_below) == 1
    forced_before_it_was_known = scenario.before is not None and is_old
    if scenario.scope == "run" and run.outcome is Outcome.FAILED:
        # It died before the new snapshot was kept, and the old one cannot be read at any more: no other is put in its
        # place unasked.
        assert scenario.before is not None, killed_at
        assert says(run.reason, "run.tables_read_at_one_snapshot", source="shop")
        assert world.readable_version(amounts_below=scenario.amounts_below) == 1
        world.run(replace(scenario.killing))
    elif forced_before_it_was_known:
        # It died before the state said that it is to be extracted again: the resume found complete data and skipped it.
        assert run.outcome is Outcome.SKIPPED, killed_at
        world.run(replace(scenario.killing))
    else:
        assert run.outcome in {Outcome.COMPLETED, Outcome.SKIPPED}, (killed_at, run.reason)
    world.assert_complete(parts=scenario.parts, has_quarantine=scenario.good_after < 100)
    assert scenario.scope == "table" or world.is_at_the_runs_snapshot
