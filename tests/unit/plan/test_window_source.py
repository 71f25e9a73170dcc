"""A column without a zone needs one, and the same one for all windows of its table."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest

from statekeeper.config.resolved import IncrementalConfig
from statekeeper.errors import PlanError
from statekeeper.model.column import SourceColumn
from statekeeper.model.table import TableRef
from statekeeper.model.windows import TakenWindow
from statekeeper.plan.axis import TimeAxis
from statekeeper.plan.coverage import Coverage
from statekeeper.plan.window_source import time_axis
from tests.messages import is_silent, raises_message, says

WALL = SourceColumn(name="AT", database_type="DATE", read_type="timestamp[us]")
ZONED = SourceColumn(name="AT", database_type="TIMESTAMP(6) WITH TIME ZONE", read_type="timestamp[us, tz=UTC]")


class _Server:
    """What a session with a server tells."""

    def utc_offset(self):
        return "+02:00"

    def why_transactions_are_hidden(self):
        return None


def _axis(column, zone=None, *, coverage=None, session=None):
    table = TableRef(source_name="s", table_name="t", path_name="t")
    config = SimpleNamespace(table=table, incremental=IncrementalConfig(column="at", timezone=zone))
    return time_axis(config, [column], session or object(), coverage or Coverage())


def _covered(end, zone):
    window = TakenWindow(
        run_id="r", extraction_date=date(2026, 7, 1).isoformat(), column="AT", start=None, end=end, timezone=zone,
        is_complete=True,
    )  # fmt: skip
    return Coverage.of((window,))


JULY = datetime(2026, 7, 2, tzinfo=UTC)
OF_UTC = _covered(JULY, "UTC")


def test_a_column_with_a_zone_needs_no_other_and_its_days_are_of_utc():
    assert _axis(ZONED) == TimeAxis("UTC")
    assert _axis(ZONED, "Europe/Madrid", coverage=OF_UTC) == TimeAxis("Europe/Madrid")


def test_a_column_without_a_zone_needs_one():
    assert _axis(WALL, "Europe/Madrid") == TimeAxis("Europe/Madrid", has_zone=False)
    with raises_message(PlanError, "plan.column_has_no_zone", table="s.t", column="AT", type="DATE") as caught:
        _axis(WALL)
    assert is_silent(caught.value.hint, "plan.clock_of_the_database")
    assert is_silent(caught.value.hint, "plan.its_windows_are_in_utc")


def test_the_servers_offset_and_the_zone_of_earlier_windows_are_suggested():
    with pytest.raises(PlanError) as caught:
        _axis(WALL, coverage=OF_UTC, session=_Server())
    assert says(caught.value.hint, "plan.clock_of_the_database", offset="+02:00")
    assert says(caught.value.hint, "plan.its_windows_are_in_utc")


def test_windows_by_the_wall_times_of_another_zone_are_refused():
    with raises_message(PlanError, "plan.windows_are_of_another_zone", before="UTC", zone="Europe/Madrid") as caught:
        _axis(WALL, "Europe/Madrid", coverage=OF_UTC)
    assert "incremental_timezone: UTC" in caught.value.hint


def test_a_zone_with_the_same_wall_times_goes_on():
    madrid = _covered(datetime(2026, 7, 2, tzinfo=timezone(timedelta(hours=2))), "Europe/Madrid")
    assert _axis(WALL, "Europe/Paris", coverage=madrid).zone == "Europe/Paris"
    assert _axis(WALL, "UTC", coverage=OF_UTC).zone == "UTC"


def test_the_end_of_a_full_extraction_is_an_instant_in_any_zone():
    assert _axis(WALL, "Europe/Madrid", coverage=_covered(JULY, None)).zone == "Europe/Madrid"
