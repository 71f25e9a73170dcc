"""Seeded histories: what is written into a table in true time, and which commands are run on it meanwhile.

True time is nobody's clock: the server's may be wrong, and steps. A row is stamped by the server's clock, in the way of
the column's type, and can be read once its transaction is committed. Frozen values, and no decision of the product.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from functools import cache
from typing import TypeAlias
from zoneinfo import ZoneInfo

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "America/Havana",  # at midnight
    "Africa/Cairo",  # at midnight, and only in some years
)
"""Zones whose clocks change."""
_QUIET_ZONES = ("UTC", "Asia/Kathmandu")
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


class Column(Enum):
    """How the table stores a row's stamp."""

    ZONED = "a timestamp with a time zone"
    WALL = "a timestamp without one, which is wall time"
    SECONDS = "the same in whole seconds, such as Oracle's DATE"
    DAYS = "a date without a time"

    @property
    def unit(self) -> timedelta:
        """The step between neighbouring values."""
        return _UNITS.get(self, timedelta(microseconds=1))

    def stored(self, instant: datetime, zone: str) -> datetime:
        """What the column holds of an instant: naive wall time, cut to the unit, or the instant itself."""
        if self is Column.ZONED:
            return instant
        wall = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        return wall - (wall - datetime.min) % self.unit  # noqa: DTZ901 - wall time


_UNITS = {Column.SECONDS: timedelta(seconds=1), Column.DAYS: _DAY}


@dataclass(frozen=True)
class Clock:
    """The server's clock: how far it is ahead of the true time, each from a true time on."""

    steps: tuple[tuple[datetime, timedelta], ...] = ()

    def at(self, true: datetime) -> datetime:
        """What it shows at a true time."""
        ahead = [by for since, by in self.steps if since <= true]
        return true + ahead[-1] if ahead else true


@dataclass(frozen=True)
class Version:
    """A row as one transaction left it. `stamped` is the server's time of that write; None is NULL."""

    row: int
    number: int
    stamped: datetime | None
    written: datetime
    committed: datetime
    """The true times of its transaction: from its begin, and from when on it can be read."""


@dataclass(frozen=True)
class Settings:
    """The keys of the table's configuration that decide on windows."""

    timezone: str
    on_gap: str = "extend"
    lookback: str = "0s"
    allow_open_window: bool = False
    late_commits: str = "ignore"
    null_rows: str = "count"
    marks_rows: bool = False
    """Whether rows that were taken before are marked; then there is a lookback."""

    @property
    def with_marks(self) -> Settings:
        """The same with marks."""
        return replace(self, marks_rows=True, lookback="2h" if self.lookback == "0s" else self.lookback)


class Death(Enum):
    """Where a run is killed: after which durable step."""

    CLAIMED = "its window is written down"
    PLANNED = "its plan is saved"
    READ = "all rows are staged"
    PUBLISHED = "its commit record is written"


@dataclass(frozen=True)
class RunDay:
    """`run --date`, with `--force-reprocess` if it is forced."""

    at: datetime
    day: date
    is_forced: bool = False
    death: Death | None = None


@dataclass(frozen=True)
class Backfill:
    """All dates from one to another; killed at the first date that reaches the step of its death."""

    at: datetime
    first: date
    last: date
    death: Death | None = None

    @property
    def days(self) -> tuple[date, ...]:
        """The dates, both ends included."""
        return tuple(self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1))


@dataclass(frozen=True)
class Configure:
    """The configuration is changed."""

    at: datetime
    settings: Settings


@dataclass(frozen=True)
class LoseIndex:
    """`_windows.json` is deleted."""

    at: datetime


@dataclass(frozen=True)
class OldRun:
    """A run of a version that cut its windows without regard to what others had taken; `start` None is a first load."""

    at: datetime
    day: date
    start: datetime | None
    end: datetime


Command: TypeAlias = RunDay | Backfill | Configure | LoseIndex | OldRun


@dataclass(frozen=True)
class History:
    """A table, and what is done with it. `versions` and `commands` are in the order of true time."""

    seed: str
    column: Column
    is_updated: bool
    """Whether rows are updated; else the table is append-only."""
    zone: str
    clock: Clock
    settings: Settings
    versions: tuple[Version, ...]
    commands: tuple[Command, ...]
    ended: datetime
    """The true time after which nothing is written and no command is run, but those that mend."""

    @property
    def with_marks(self) -> History:
        """The same with marks of rows that were taken before, whatever the configuration."""
        commands = (
            replace(command, settings=command.settings.with_marks) if isinstance(command, Configure) else command
            for command in self.commands
        )
        return replace(self, settings=self.settings.with_marks, commands=tuple(commands))

    def current(self, at: datetime) -> dict[int, Version]:
        """The rows that can be read at a true time, by their ids."""
        return {version.row: version for version in self.versions if version.committed <= at}

    def open_since(self, at: datetime) -> datetime:
        """The server's time of the begin of the oldest transaction that is open at a true time; else of that time."""
        begun = (version.written for version in self.versions if version.written < at < version.committed)
        return self.clock.at(min(begun, default=at)).replace(microsecond=0)

    def value(self, version: Version) -> datetime | None:
        """What the column holds of a version."""
        return None if version.stamped is None else self.column.stored(version.stamped, self.zone)


def history(seed: str, *, is_short: bool = False, columns: tuple[Column, ...] = tuple(Column)) -> History:
    """The history of a seed; a short one has few days."""
    return _Maker(random.Random(seed), is_short=is_short).history(seed, columns)


@cache
def clock_changes(zone: str) -> tuple[datetime, ...]:
    """The instants from 2015 to 2026 at which a zone's offset changes, to the minute."""
    zone_info = ZoneInfo(zone)
    found, day = [], datetime(2015, 1, 1, tzinfo=UTC)
    while day.year < 2027:
        low, high = day, day + _DAY
        if _offset(low, zone_info) != _offset(high, zone_info):
            while high - low > _MINUTE:
                middle = low + (high - low) // 2
                middle -= timedelta(seconds=middle.second, microseconds=middle.microsecond)
                low, high = (middle, high) if _offset(middle, zone_info) == _offset(low, zone_info) else (low, middle)
            found.append(high)
        day += _DAY
    return tuple(found)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()


@dataclass
class _Maker:
    dice: random.Random
    is_short: bool

    def history(self, seed: str, columns: tuple[Column, ...]) -> History:
        dice = self.dice
        zone = dice.choice((*ZONES, *ZONES, *_QUIET_ZONES))
        changes = clock_changes(zone)
        about = dice.choice(changes) if changes else datetime(2024, 6, 15, 12, tzinfo=UTC)
        days = dice.randint(3, 4) if self.is_short else dice.randint(4, 9)
        began = (about - timedelta(days=dice.randint(1, days - 1))).astimezone(ZoneInfo(zone))
        first = began.date()
        column = dice.choice(columns)
        settings = self._settings(zone, column)
        commands = tuple(self._commands(first, days, column, settings, zone, about))
        ended = max(_midnight(first + timedelta(days=days + 1), zone), commands[-1].at + _MINUTE)
        clock = self._clock(first, days, zone)
        is_updated = dice.random() < 0.4
        versions = self._versions(first, ended, clock, commands, about, is_updated=is_updated)
        return History(
            seed=seed,
            column=column,
            is_updated=is_updated,
            zone=zone,
            clock=clock,
            settings=settings,
            versions=tuple(sorted(versions, key=lambda version: version.committed)),
            commands=commands,
            ended=ended,
        )

    def _settings(self, zone: str, column: Column) -> Settings:
        dice = self.dice
        of_dates = dice.choice((zone, zone, "UTC", "Asia/Tokyo")) if column is Column.ZONED else zone
        return Settings(
            timezone=of_dates,
            on_gap=dice.choice(("extend", "extend", "fail", "backfill")),
            lookback=dice.choice(("0s", "0s", "2h", "3d")),
            allow_open_window=dice.random() < 0.35,
            late_commits="ignore" if self.is_short else dice.choice(("ignore", "wait")),
            null_rows=dice.choice(("count", "count", "count", "ignore")),
        )

    # --- commands

    def _commands(
        self, first: date, days: int, column: Column, settings: Settings, zone: str, about: datetime
    ) -> Iterator[Command]:
        """Nights with their mishaps, and what people do in between, in the order of their times."""
        dice, commands = self.dice, []
        hour, back = dice.randint(0, 23), dice.choice((0, 1, 1, 1))
        old = dice.randint(2, days - 1) if dice.random() < 0.25 else 0
        yield from self._old_runs(first, old, column, settings.timezone)
        for number in range(old + (old > 0), days):
            day = first + timedelta(days=number)
            night = self._at(day + timedelta(days=back), hour, zone)
            if dice.random() < 0.2:
                continue
            commands.append(RunDay(night, day, death=self._death()))
            if dice.random() < 0.2:
                commands.append(RunDay(night + dice.choice((_MINUTE, 90 * _MINUTE)), day))
        for _ in range(dice.randint(1, 3) if self.is_short else dice.randint(2, 6)):
            at = self._at(first + timedelta(days=dice.randint(old + (old > 0), days)), dice.randint(0, 23), zone)
            if about.astimezone(ZoneInfo(zone)).date() > first + old * _DAY and dice.random() < 0.2:
                at = about + timedelta(microseconds=dice.randint(-7200 * 10**6, 3600 * 10**6))  # while clocks change
            day = at.astimezone(ZoneInfo(zone)).date() - timedelta(days=dice.choice((0, 0, 1, 2, 3)))
            commands.append(self._by_hand(at, day, settings, column))
        yield from sorted(commands, key=lambda command: command.at)

    def _old_runs(self, first: date, days: int, column: Column, timezone: str) -> Iterator[OldRun]:
        """A first load up to noon, then each night its date alone; what was missed is in no window."""
        half = timedelta() if column is Column.DAYS else timedelta(hours=12)
        for number in range(days):
            day = first + timedelta(days=number)
            start, end = (_written_midnight(day + timedelta(days=after), timezone) for after in (0, 1))
            if number == 0:
                yield OldRun((start + half + 30 * _MINUTE).astimezone(UTC), day, None, start + half)
            elif self.dice.random() < 0.7:
                yield OldRun((end + 30 * _MINUTE).astimezone(UTC), day, start, end)

    def _by_hand(self, at: datetime, day: date, settings: Settings, column: Column) -> Command:
        dice = self.dice
        match dice.choices(("day", "force", "backfill", "configure", "lose"), weights=(5, 3, 3, 2, 1))[0]:
            case "day":
                return RunDay(at, day, death=self._death())
            case "force":
                return RunDay(at, day, is_forced=True, death=self._death())
            case "backfill":
                return Backfill(at, day - timedelta(days=dice.randint(1, 4)), day, death=self._death())
            case "configure":
                return Configure(at, self._changed(settings, column))
            case _:
                return LoseIndex(at)

    def _changed(self, settings: Settings, column: Column) -> Settings:
        dice = self.dice
        return replace(
            settings,
            **dice.choice(
                (
                    {"on_gap": dice.choice(("extend", "fail", "backfill"))},
                    {"lookback": dice.choice(("0s", "90m", "2d"))},
                    {"allow_open_window": not settings.allow_open_window},
                    {"timezone": "America/Lima"} if column is Column.ZONED else {"lookback": "1d"},
                )
            ),
        )

    def _death(self) -> Death | None:
        return self.dice.choice(tuple(Death)) if self.dice.random() < 0.2 else None

    def _at(self, day: date, hour: int, zone: str) -> datetime:
        """A time of a day; commands of one history are at different ones."""
        at = datetime.combine(day, time(hour), ZoneInfo(zone)).astimezone(UTC)
        return at + timedelta(microseconds=self.dice.randint(0, 3600 * 10**6 - 1))

    # --- the table

    def _clock(self, first: date, days: int, zone: str) -> Clock:
        dice = self.dice
        if dice.random() < 0.6:
            return Clock()
        steps = [(datetime(2000, 1, 1, tzinfo=UTC), timedelta(minutes=dice.randint(-20, 20)))]
        for _ in range(dice.randint(0, 2)):
            at = self._at(first + timedelta(days=dice.randint(0, days)), dice.randint(0, 23), zone)
            steps.append((at, timedelta(minutes=dice.randint(-20, 20))))
        return Clock(tuple(sorted(steps)))

    def _versions(
        self, first: date, ended: datetime, clock: Clock, commands: tuple[Command, ...], about: datetime, *,
        is_updated: bool,
    ) -> Iterator[Version]:  # fmt: skip
        dice = self.dice
        earliest = datetime.combine(first, time(), UTC) - 3 * _DAY
        share_late = dice.choice((0.0, 0.0, 0.1))
        rows: dict[int, Version] = {}
        times = sorted(self._time(earliest, ended, commands, about) for _ in range(20 if self.is_short else 36))
        for number, written in enumerate(times):
            row = dice.choice([*rows]) if is_updated and rows and dice.random() < 0.4 else number
            late = self._delay() if dice.random() < share_late else timedelta()
            before = rows.get(row)
            if before is not None and before.committed >= written:
                continue  # an open transaction holds the row
            stamped = None if dice.random() < 0.05 else clock.at(written)
            version = Version(row, before.number + 1 if before else 1, stamped, written, min(written + late, ended))
            rows[row] = version
            yield version

    def _time(self, earliest: datetime, ended: datetime, commands: tuple[Command, ...], about: datetime) -> datetime:
        """Anywhere, or just where windows begin and end, or where clocks change."""
        dice = self.dice
        span = (ended - earliest) // timedelta(microseconds=1)
        nearby = timedelta(microseconds=int(dice.choice((-1, 1)) * 10 ** dice.uniform(0, 9.7)))
        somewhere = earliest + timedelta(microseconds=dice.randrange(span))
        near = dice.choice(
            (
                somewhere,
                somewhere,
                dice.choice(commands).at + nearby,
                somewhere.replace(minute=0, second=0, microsecond=0) + nearby,
                about + nearby,
            )
        )
        return min(max(near, earliest), ended - timedelta(microseconds=1))

    def _delay(self) -> timedelta:
        return timedelta(seconds=10 ** self.dice.uniform(0, 5.2))


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def _written_midnight(day: date, zone: str) -> datetime:
    """As documents have it: with the offset that the zone has then, which is the one before if clocks skip it."""
    midnight = datetime.combine(day, time(), ZoneInfo(zone))
    return datetime.fromisoformat(midnight.isoformat())
