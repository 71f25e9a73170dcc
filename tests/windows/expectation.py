"""What must hold of a lake after each command, and at the end of a history: no row lost, none doubled, unsaid.

A row may be in no dataset only for a reason: a run has said so (a hole, the window of an unfinished extraction, rows
without a stamp), or its transaction was committed after its window was read, which `late_commits` is about. A row may
be in two datasets only if the later window reached back for it by its `lookback`. With marks, it is unmarked in one.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

from statekeeper.model.table import Window

from .histories import History, OldRun, Version
from .lakes import Dataset, Ended, RowVersion
from .model import bound, is_in_window

_ROWS = re.compile(r"the rows from (?P<start>the beginning|\S+) to before (?P<end>\S+) ")
_NULLS = re.compile(r"(?P<count>[\d,]+) rows have no value in ")
_UNCERTAIN = re.compile(r"(?P<count>[\d,]+) rows have no value in \w+: only a first load takes them")
_MORE = "more windows like these are missing"
_COMMAND = re.compile(r"`statekeeper ([^`]*)`|(--date \d{4}-\d{2}-\d{2})")


@dataclass(frozen=True)
class Typed:
    """A command that a message told the user to type."""

    day: date
    is_forced: bool


def commands_in(told: Iterable[str]) -> tuple[Typed, ...]:
    """The commands in messages, each once."""
    found = {}
    for text in told:
        for whole, option in _COMMAND.findall(text):
            words = shlex.split(whole or option)
            if "--date" in words:
                day = date.fromisoformat(words[words.index("--date") + 1])
                found[Typed(day, "--force-reprocess" in words)] = None
    return tuple(found)


@dataclass
class Expectation:
    """The rows of a history as a lake must have them. `met` counts what was met on the way."""

    history: History
    met: Counter[str] = field(default_factory=Counter)
    _told_by_killed: list[str] = field(default_factory=list)
    """What runs have told that were killed."""
    _is_replaced: bool = False
    """Whether a dataset was replaced: versions that it alone had unmarked may be gone with it."""
    _plans: dict[date, str] = field(default_factory=dict)
    _uncertain_nulls: int = 0
    """Rows without a stamp of which a run has said that it does not know whether an extraction has them."""

    def after(self, ended: Ended, told: tuple[str, ...], datasets: dict[date, Dataset], *, at: datetime) -> None:
        """Check a lake after the run of a date by a command at a true time, which has told all this."""
        day = ended.day
        counts = [int(found["count"].replace(",", "")) for text in told for found in _UNCERTAIN.finditer(text)]
        self._uncertain_nulls = max([self._uncertain_nulls, *counts])
        if ended.outcome == "killed":
            self._told_by_killed += told
        if ended.outcome != "completed":
            return
        self.require_no_doubles(datasets)
        if self.history.settings.marks_rows:
            self.require_unmarked_once(datasets)
        dataset = datasets[day]
        if dataset.snapshot < at:  # it goes on where a killed one was
            told = (*told, *self._told_by_killed)
        current = self.history.current(at)
        missing = [
            version
            for version in self._missing(datasets, dataset.snapshot)
            if current[version.row] == version and self._is_before_end(version, dataset)
        ]
        self._require_said(missing, datasets, told, dataset)

    def at_the_end(self, datasets: dict[date, Dataset]) -> list[Version]:
        """The rows that are missing although everything was done that was told."""
        self.require_no_doubles(datasets)
        return [
            version for version in self._missing(datasets, self.history.ended) if not self._is_late(version, datasets)
        ]

    def require_no_doubles(self, datasets: dict[date, Dataset]) -> None:
        """Check that a version is in two datasets only where a lookback has reached back for it."""
        versions = {RowVersion(each.row, each.number): each for each in self.history.versions}
        places: dict[RowVersion, list[date]] = defaultdict(list)
        for day, dataset in datasets.items():
            for row in dataset.rows:
                places[row].append(day)
        for row, days in places.items():
            own = [day for day in days if not self._is_looked_back_for(versions[row], datasets[day])]
            assert len(own) <= 1, f"{versions[row]} is in {own}"
            self.met["a row that a lookback took again"] += len(days) > 1

    def require_unmarked_once(self, datasets: dict[date, Dataset]) -> None:
        """Check that no version is unmarked twice, and that none is only marked before a dataset was replaced."""
        unmarked = Counter(row for dataset in datasets.values() for row in dataset.rows - dataset.marked)
        assert [row for row, times in unmarked.items() if times > 1] == []
        for day, dataset in datasets.items():
            self._is_replaced |= self._plans.setdefault(day, dataset.plan_id) != dataset.plan_id
        if not self._is_replaced:
            assert set[RowVersion]().union(*(dataset.marked for dataset in datasets.values())) <= unmarked.keys()

    def _missing(self, datasets: dict[date, Dataset], at: datetime) -> Iterator[Version]:
        """The versions that are current at a true time and in no dataset."""
        published = set[RowVersion]().union(*(dataset.rows for dataset in datasets.values()))
        for version in self.history.current(at).values():
            if (version.row, version.number) not in published:
                yield version

    def _is_before_end(self, version: Version, dataset: Dataset) -> bool:
        value, window = self.history.value(version), dataset.scope.window
        assert window is not None
        return value is None or value < bound(self.history, window.end, window)

    def _is_looked_back_for(self, version: Version, dataset: Dataset) -> bool:
        value, window, covered = self.history.value(version), dataset.scope.window, dataset.scope.covered
        assert window is not None
        return value is not None and covered is not None and value < bound(self.history, covered, window)

    def _is_late(self, version: Version, datasets: dict[date, Dataset]) -> bool:
        """Whether a version was committed after its window was read, and was stamped before the window's end."""
        if version.stamped is None:
            self.met["a row without a stamp that came later"] += 1
            return True
        for dataset in datasets.values():
            window = dataset.scope.window
            assert window is not None
            covered = window.model_copy(update={"start": dataset.scope.covered})
            if is_in_window(self.history, version, covered):
                is_late = version.committed > dataset.snapshot and version.stamped < window.end
                waits = self.history.settings.late_commits == "wait" and not self.history.clock.steps
                is_old = any(isinstance(one, OldRun) and one.at == dataset.snapshot for one in self.history.commands)
                if is_late and version.written < dataset.snapshot and waits and not is_old:
                    return False  # its transaction was open, and windows wait for those
                self.met["a late commit that no window takes"] += is_late
                return is_late
        return False

    def _require_said(
        self, missing: list[Version], datasets: dict[date, Dataset], told: tuple[str, ...], dataset: Dataset
    ) -> None:
        window = dataset.scope.window
        assert window is not None
        self._require_counted([version for version in missing if version.stamped is None], datasets, told, dataset)
        for version in missing:
            if version.stamped is None or self._is_late(version, datasets):
                continue
            assert any(_MORE in text for text in told) or any(
                is_in_window(self.history, version, each) for each in _told_windows(told, window)
            ), f"{version}, value {self.history.value(version)}, is in no dataset, and nothing says so: {told}"

    def _require_counted(
        self, missing: list[Version], datasets: dict[date, Dataset], told: tuple[str, ...], dataset: Dataset
    ) -> None:
        """Check that rows without a stamp are counted: exactly, or less those that hide behind rows that got one."""
        if self.history.settings.null_rows == "ignore":
            return
        found = [match for text in told for match in _NULLS.finditer(text)]
        counted = max((int(match["count"].replace(",", "")) for match in found), default=0)
        current = self.history.current(dataset.snapshot)
        hiding = [
            version
            for version in self.history.versions
            if version.stamped is None
            and current.get(version.row) not in {None, version}
            and any((version.row, version.number) in each.rows for each in datasets.values())
        ]
        self.met["a row without a stamp that hides behind another"] += counted < len(missing)
        assert len(missing) <= counted + self._uncertain_nulls + len(hiding), (
            f"{len(missing)} rows have no stamp, {counted} are counted, and {len(hiding)} may hide one"
        )


def _told_windows(told: tuple[str, ...], like: Window) -> Iterator[Window]:
    """The windows of which messages say that their rows are in no complete extraction."""
    for text in told:
        for found in _ROWS.finditer(text):
            start = None if found["start"] == "the beginning" else datetime.fromisoformat(found["start"])
            yield like.model_copy(update={"start": start, "end": datetime.fromisoformat(found["end"])})
