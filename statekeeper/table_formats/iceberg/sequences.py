"""The sequences of a table: for each application id, the number that its last commit has recorded.

They are properties of the table, set by the same commit that adds the files. Summaries of snapshots have them too, for
people, but snapshots expire. A table keeps those of the last `KEPT` application ids: an extraction has one, so that
daily extractions are known for thirteen years.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyiceberg.table import Table

PREFIX = "statekeeper.sequence."
KEPT = 5000
"""The application ids that a table knows; each takes about 100 bytes of its metadata."""


@dataclass(frozen=True)
class Recorded:
    """A number, and at which commit of the table it was recorded, by the table's own count of commits."""

    number: int
    commit: int

    @classmethod
    def parse(cls, text: str) -> Recorded:
        """Read what `str` gives; a number alone is taken as recorded before all others."""
        number, _, commit = text.partition("@")
        return cls(_number(number), _number(commit))

    def __str__(self) -> str:
        return f"{self.number}@{self.commit}"


def number_of(table: Table, application_id: str) -> int:
    """The number that the last commit of an application id has recorded; 0 without one."""
    name = PREFIX + application_id
    summaries = (snapshot.summary for snapshot in table.snapshots())
    found = [_number(summary.additional_properties.get(name, "")) for summary in summaries if summary is not None]
    return max([Recorded.parse(table.properties.get(name, "")).number, *found])


def as_summary(sequences: Mapping[str, int]) -> dict[str, str]:
    """The properties of the summary of a commit."""
    return {PREFIX + name: str(number) for name, number in sequences.items()}


def as_properties(table: Table, sequences: Mapping[str, int]) -> dict[str, str]:
    """The properties of the table that a commit sets."""
    commit = table.last_sequence_number + 1
    return {PREFIX + name: str(Recorded(number, commit)) for name, number in sequences.items()}


def outdated(table: Table, sequences: Iterable[str], *, kept: int = KEPT) -> list[str]:
    """The properties of the table that a commit removes: those that were recorded the longest ago."""
    own = {PREFIX + name for name in sequences}
    known = {name: text for name, text in table.properties.items() if name.startswith(PREFIX) and name not in own}
    oldest_first = sorted(known, key=lambda name: (Recorded.parse(known[name]).commit, name))
    return oldest_first[: max(0, len(known) + len(own) - kept)]


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
