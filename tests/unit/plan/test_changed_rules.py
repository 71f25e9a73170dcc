"""A zone whose rules change between two windows, as when tzdata is updated: no row is lost, and none is read twice."""

from __future__ import annotations

import struct
import zoneinfo
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import duckdb
import pytest

from statekeeper.plan.axis import TimeAxis
from statekeeper.run.report import Outcome
from statekeeper.sources.scope import wall_of
from tests.unit.small_shop import Heard, Shop

HOUR = timedelta(hours=1)
ZONE = "Test/Changing"
ORDERS = {"table_name": "orders", "incremental_column": "at", "incremental_timezone": ZONE}
FIRST = date(2026, 1, 1)


@pytest.fixture
def rules(tmp_path_factory):
    """Sets the offset of the zone, as an update of tzdata does."""
    folder = tmp_path_factory.mktemp("tzdata")
    (folder / "Test").mkdir()
    before = zoneinfo.TZPATH

    def change(offset, *, before=None):
        """The offset in hours; until a fortnight before the first date, `before`."""
        types = b"".join(
            struct.pack(">lBB", hours * 3600, 0, 0) for hours in (offset if before is None else before, offset)
        )
        since = struct.pack(">qB", int(datetime(2025, 12, 18, tzinfo=UTC).timestamp()), 1)
        header = struct.Struct(">4s1s15x6l")
        first = header.pack(b"TZif", b"2", 0, 0, 0, 0, 1, 4) + types[:6] + b"TST\0"
        second = header.pack(b"TZif", b"2", 0, 0, 0, 1, 2, 4) + since + types + b"TST\0"
        (folder / ZONE).write_bytes(first + second + f"\n<{offset:+03d}>{-offset}\n".encode())
        ZoneInfo.clear_cache()

    zoneinfo.reset_tzpath(to=[folder, *before])
    yield change
    zoneinfo.reset_tzpath(to=before)
    ZoneInfo.clear_cache()


@pytest.fixture
def shop(tmp_path):
    """A row in each half hour of three days."""
    made = Shop(tmp_path)
    made.execute(
        "create table orders as "
        "select range as id, timestamp '2026-01-01' + interval (30 * range) minute as at from range(144)"
    )
    return made


def _published(shop, *days):
    with duckdb.connect() as connection:
        files = [str(shop.layout(day=FIRST + timedelta(days=number)).output) for number in days]
        return sorted(row for (row,) in connection.execute("select id from read_parquet(?)", [files]).fetchall())


@pytest.mark.parametrize(("earlier", "later"), [(-5, -4), (-5, -6), (9, 11), (3, 1), (0, 1), (1, 0), (0, -1), (-1, 0)])
@pytest.mark.parametrize("keys", [{}, {"on_gap": "fail"}], ids=["extend", "fail"])
def test_windows_go_on_where_the_last_one_ended_on_the_wall(shop, rules, earlier, later, keys):
    rules(earlier)
    assert shop.run({**ORDERS, **keys}, day=FIRST)["orders"].outcome is Outcome.COMPLETED
    rules(later, before=earlier)
    for number in (1, 2):
        heard = Heard()
        outcome = shop.run({**ORDERS, **keys}, day=FIRST + timedelta(days=number), reporter=heard)["orders"]
        assert outcome.outcome is Outcome.COMPLETED, outcome.failure
        assert heard.warnings == []
    assert _published(shop, 0, 1, 2) == list(range(144))
    assert shop.rows(day=FIRST) == 48


def test_an_extraction_reads_the_same_rows_again_after_the_rules_have_changed(shop, rules):
    rules(-5)
    for number in (0, 1):
        shop.run(ORDERS, day=FIRST + timedelta(days=number))
    rules(-3)
    assert shop.run(ORDERS, day=FIRST + timedelta(days=1), is_forced=True)["orders"].outcome is Outcome.COMPLETED
    assert _published(shop, 0, 1) == list(range(96))


def test_an_instant_of_an_earlier_version_is_no_wall_time(rules):
    rules(2)
    instant = datetime(2026, 1, 2, tzinfo=UTC)
    assert wall_of(instant, ZoneInfo(ZONE)) == datetime(2026, 1, 2, 2)  # noqa: DTZ001 - wall-clock time
    rules(2, before=0)
    assert wall_of(instant, ZoneInfo(ZONE)) == instant.replace(tzinfo=None), "it may have been a wall time"
    within = instant + timedelta(microseconds=1)
    assert wall_of(within, ZoneInfo("Africa/Casablanca")) == (within + HOUR).replace(tzinfo=None)


def test_a_column_with_a_zone_goes_on_at_the_same_instant(rules):
    rules(-5)
    end = datetime(2026, 1, 2, tzinfo=timezone(-5 * HOUR))
    rules(-4)
    assert TimeAxis(ZONE).position(end) == end
    assert TimeAxis(ZONE).position(end).utcoffset() == -4 * HOUR
