"""The axis of an incremental column: where days begin on it, and up to where no later row can be. Pure.

A column with a zone holds instants. A column without one holds wall times of a zone, which are not monotonic: when
clocks go back, an hour comes twice. So a bound on it is the least wall time that any later instant can have, and the
repeated hour is read whole by one window. A position on the axis is an aware time with a fixed offset: that of the
wall time's first occurrence. So positions compare as their wall times do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

from statekeeper.model.column import SourceColumn
from statekeeper.plan.coverage import Interval
from statekeeper.sources.scope import is_wall_time_of, wall_of

_DAY, _SECOND, _HOUR = timedelta(days=1), timedelta(seconds=1), timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall-clock time
_MOST_BACK = 48
"""Hours: clocks never went back by more, as offsets are less than a day."""


@dataclass(frozen=True)
class TimeAxis:
    """How a column holds points in time.

    Attributes:
        zone: the IANA time zone whose midnights bound a day, and whose wall times a column without a zone holds.
        has_zone: whether the column holds instants.
        unit: what the column may cut off of a time: a bound within a unit would leave out what comes later in it.
    """

    zone: str = "UTC"
    has_zone: bool = True
    unit: timedelta = _SECOND

    def day(self, day: date) -> Interval[datetime]:
        """The interval of a date: of 23 or 25 hours if clocks change, and empty if the zone leaves the date out."""
        return Interval(self._first(_midnight(day)), self._first(_midnight(day + _DAY)))

    def reach(self, snapshot_time: datetime) -> Reach:
        """Up to where a snapshot has every row."""
        wall = _wall(snapshot_time, self._zone)
        if self.has_zone:
            return Reach(_fixed(snapshot_time.astimezone(self._zone) - (wall - _EPOCH) % self.unit))
        least = _least_wall(snapshot_time, self._zone)
        end = self._first(least - (least - _EPOCH) % self.unit)
        return Reach(end, f"clocks in {self.zone} go back to {least.time()} after it" if least < wall else None)

    def position(self, moment: datetime) -> datetime:
        """A moment, such as an earlier window's end, as a position on the axis.

        The wall time of a bound stays, also if the zone's rules have changed since: rows are selected by it.
        """
        if self.has_zone:
            return _fixed(moment.astimezone(self._zone))
        offset = wall_of(moment, self._zone) - moment.astimezone(UTC).replace(tzinfo=None)
        return moment.astimezone(timezone(offset))

    def is_written_in_its_zone(self, moment: datetime) -> bool:
        """Whether a moment is written with an offset that the zone has at its wall time."""
        return is_wall_time_of(moment, self._zone)

    def back(self, position: datetime, lookback: timedelta) -> datetime:
        """`position` less `lookback`, in local or in elapsed time, whichever is earlier, so that no row is missed."""
        if not lookback:
            return position
        local = wall_of(position, self._zone) - lookback
        elapsed = (position.astimezone(UTC) - lookback).astimezone(self._zone)
        if self.has_zone:
            return min(_fixed(local.replace(tzinfo=self._zone)), _fixed(elapsed))
        least = min(local, elapsed.replace(tzinfo=None, fold=0))
        return self._first(least - (least - _EPOCH) % self.unit)

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def _first(self, wall: datetime) -> datetime:
        """The position of a wall time: its first occurrence or, if clocks skip it, its time by the offset before."""
        return _fixed(wall.replace(tzinfo=self._zone, fold=0))


@dataclass(frozen=True)
class Reach:
    """Up to where on an axis a snapshot has every row; `why` says what puts it well before the snapshot's time."""

    end: datetime
    why: str | None = None


def axis_of(column: SourceColumn, zone: str) -> TimeAxis | None:
    """The axis of a column by its types; None for a column that holds no points in time."""
    types = tuple(kind for kind in (column.read_type, *column.alternatives) if kind is not None)
    if not any(kind.startswith(("date", "timestamp")) for kind in types):
        return None
    if "TIME ZONE" in column.database_type.upper() or any("tz=" in kind for kind in types):
        return TimeAxis(zone, has_zone=True)
    return TimeAxis(zone, has_zone=False, unit=_DAY if types[0].startswith("date") else _SECOND)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min)


def _fixed(moment: datetime) -> datetime:
    """The same moment with its offset alone: with a ZoneInfo it would compare as wall time, or in a fold as unequal."""
    offset = moment.utcoffset()
    assert offset is not None, "the moment is aware"
    return moment.replace(tzinfo=timezone(offset), fold=0)


def _least_wall(instant: datetime, zone: ZoneInfo) -> datetime:
    """The least wall time that this instant or a later one has: its own, or one to which clocks go back soon."""
    before = instant.astimezone(UTC)
    least = _wall(before, zone)
    for _ in range(_MOST_BACK):
        after = before + _HOUR
        if _offset(after, zone) < _offset(before, zone):
            least = min(least, _wall(_change(before, after, zone), zone))
        before = after
    return least


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first instant between these two that has another offset than `before`."""
    offset = _offset(before, zone)
    while after - before > timedelta.resolution:
        middle = before + (after - before) // 2
        before, after = (middle, after) if _offset(middle, zone) == offset else (before, middle)
    return after


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None, "the zone has offsets"
    return offset
