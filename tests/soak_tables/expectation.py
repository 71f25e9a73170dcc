"""What must be true after a command: the oracle, a model that knows the tables but not the program.

A table that nothing has interrupted has exactly one right end. After a kill or a full disk it may continue
at the snapshot that it had, so its `pending_sources` holds each source that it may still publish.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Content(NamedTuple):
    """What readers see of a table: one version of it, and how many of its rows are good and bad."""

    version: int
    good: int
    bad: int


EMPTY = Content(0, 0, 0)
"""A table without rows, whose version cannot be seen."""


@dataclass(frozen=True)
class Source:
    """A table as it is in the database."""

    version: int
    rows: int
    bad: int = 0
    has_new_column: bool = False
    exists: bool = True


class End(NamedTuple):
    """What a command reports of a table (None: nothing is reported of it), and what readers see afterwards."""

    outcome: str | None
    content: Content | None


@dataclass
class Table:
    """What the oracle knows about a table."""

    name: str
    source: Source
    on_violation: str
    on_drift: str
    verify: str
    target_rows: int
    rule: int = 1000
    is_configured: bool = True
    state: str = "pending"
    content: Content | None = None
    made_for: set[int] = field(default_factory=set)
    """The rules that what is published may have been checked against."""
    damage: str = "none"
    """`none`, `data`, `state`; `maybe` once a command that was killed may have mended it."""
    pending_sources: set[Source] = field(default_factory=set)
    broken_for: int | None = None
    """The rule that the rows of the plan at hand have broken."""

    @property
    def is_broken(self) -> bool:
        """Whether an unforced command only validates rows again that broke the schema."""
        return self.state == "failed" and self.damage != "state" and self.broken_for == self.rule

    def published_from(self, source: Source) -> Content | None:
        """What readers see after `source` was extracted; None if the table fails."""
        if not self._is_read(source):
            return None
        is_refused = self.on_violation == "fail" or (self.on_violation == "quarantine" and source.bad == source.rows)
        if source.bad and is_refused:
            return None
        if not source.rows:
            return EMPTY
        return Content(source.version, source.rows - source.bad, source.bad if self.on_violation == "warn" else 0)

    def _is_read(self, source: Source) -> bool:
        """Whether `source` can be planned, so that its rows are read."""
        return source.exists and not (source.has_new_column and self.on_drift == "fail")

    def ends(self, *, is_forced: bool = False, takes_stale: bool = True, is_disk_full: bool = False) -> set[End]:
        """Every right end of a command that extracts this table and is not interrupted."""
        kept = End("failed", self.content)
        if self.damage == "state":
            return {kept}
        if self.is_broken and not is_forced:
            return {kept}
        ends = {kept} if is_disk_full else set()
        is_stale = self.made_for != {self.rule}
        if self.state == "complete" and not is_forced:
            if self.damage != "data" and (self.rule in self.made_for or not takes_stale):
                # What a command that was killed has published meanwhile was not looked at while it might be damaged.
                contents = self.contents_after_kill() if self.damage == "maybe" else {self.content}
                ends |= {End("skipped", content) for content in contents}
            if self.damage == "none" and not (is_stale and takes_stale):
                return ends
        for source in {self.source, *self.pending_sources}:
            published = self.published_from(source)
            ends.add(End("completed", published) if published else kept)
        return ends

    def contents_after_kill(self) -> set[Content | None]:
        """Everything that readers may see after a command that extracts this table was killed."""
        made = (self.published_from(source) for source in (self.source, *self.pending_sources))
        return {self.content, *(content for content in made if content)}

    def ended(self, end: End, *, is_forced: bool = False, is_disk_full: bool = False) -> None:
        """Learn from an end that was right.

        A full disk, and rows that broke the schema, leave a plan that the next command goes on with.
        """
        if end.outcome == "failed" and self.is_broken and not is_forced:
            return
        if end.outcome == "completed":
            self.made_for = {self.rule}
        if end.outcome in {"completed", "skipped"}:
            self.state, self.damage, self.content = "complete", "none", end.content
            self.pending_sources.clear()
            self.broken_for = None
        elif end.outcome == "failed" and self.damage != "state":
            self.state = "failed"
            refused = [each for each in {self.source, *self.pending_sources} if not self.published_from(each)]
            are_rows = not is_disk_full and all(map(self._is_read, refused))
            self.broken_for = self.rule if are_rows else None
            keeps_plan = is_disk_full or self._is_read(self.source)
            self.pending_sources = self.pending_sources | {self.source} if keeps_plan else set()

    def was_reset(self) -> None:
        """Learn that the table starts over; an unreadable state was moved aside."""
        self.state = "pending"
        self.broken_for = None
        self.pending_sources.clear()
        self.damage = "none" if self.damage == "state" else self.damage

    def was_killed(self, state: str, content: Content | None) -> None:
        """Learn from what a killed command left."""
        self.pending_sources.add(self.source)
        self.broken_for = None
        self.made_for.add(self.rule)
        self.damage = "maybe" if self.damage == "data" else self.damage
        self.state, self.content = state, content


def exit_code_of(outcomes: set[str]) -> int:
    """The exit code of a command that ended by itself."""
    if "failed" in outcomes:
        return 1
    return 3 if "held" in outcomes else 0


def run_state_of(states: set[str]) -> set[str]:
    """What `status` may call a run whose tables are in these states while no process works on it."""
    if states <= {"complete"}:
        return {"complete"}
    if states & {"failed", "damaged"}:
        return {"failed"}
    return {"pending"} if states == {"pending"} else {"incomplete"}
