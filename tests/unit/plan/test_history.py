"""What earlier extractions leave to the next plan, by the commit records that lie on disk."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from statekeeper.config.resolved import IncrementalConfig, WindowKind
from statekeeper.errors import StateDamaged
from statekeeper.model.table import ExtractionMode, Scope
from statekeeper.plan.history import baseline_of, scope_or_watermarks
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.layout import ExtractionLayout
from tests.unit.commit_records import NOON, TABLE, commit_record, state_of

SAME = "source=1 query=2 schema=3 window=4"
OTHER_WINDOW, OTHER_QUERY = SAME.replace("window=4", "window=5"), SAME.replace("query=2", "query=9")
OTHER_SCHEMA = SAME.replace("schema=3", "schema=9")
DAY = date(2026, 1, 6)
BEGUN = Scope(mode=ExtractionMode.FULL, watermark=NOON - timedelta(days=1))


class Table:
    """The folder of a table, with the extractions of some dates and runs."""

    def __init__(self, base_path):
        self.base_path = base_path
        self.disk = LocalDisk()
        self.own = self.layout(DAY)

    def layout(self, day, run_id="shop"):
        return ExtractionLayout.of(base_path=self.base_path, table=TABLE, extraction_date=day, run_id=run_id)

    def write(self, day, *, run_id="shop", watermark=None, fingerprint=SAME, **changes):
        layout = self.layout(day, run_id)
        scope = Scope(mode=ExtractionMode.INCREMENTAL, watermark=watermark)
        record = commit_record(layout, scope=scope, config_fingerprint=fingerprint, **changes)
        layout.folder.mkdir(parents=True, exist_ok=True)
        layout.metadata.write_bytes(record.to_bytes())
        return record

    def damage(self, day, run_id="shop"):
        layout = self.layout(day, run_id)
        layout.folder.mkdir(parents=True, exist_ok=True)
        layout.metadata.write_text("{")

    def found(self, *, kind=WindowKind.WATERMARK, scope=None, planned_for=SAME, now=SAME):
        incremental = IncrementalConfig(column="at", kind=kind) if kind else None
        record = state_of(self.own, scope=scope, fingerprint=planned_for)
        return scope_or_watermarks(self.disk, self.own, SimpleNamespace(incremental=incremental), record, now)

    def baseline(self, *, is_declared=False, now=SAME):
        config = SimpleNamespace(model=SimpleNamespace(is_declared=is_declared))
        return baseline_of(self.disk, self.own, config, now)


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path)


def days(*numbers):
    return [datetime(2026, 1, number, tzinfo=UTC) for number in numbers]


class TestScope:
    def test_a_scope_that_was_decided_is_kept(self, table):
        table.write(DAY - timedelta(days=1), watermark=NOON)
        assert table.found(scope=BEGUN) == (BEGUN, ())

    def test_without_a_window_there_is_nothing_to_look_for(self, table):
        table.write(DAY - timedelta(days=1), watermark=NOON)
        assert table.found(kind=None) == (None, ())

    def test_where_the_state_was_lost_it_is_the_scope_of_what_is_published(self, table):
        record = table.write(DAY, watermark=NOON)
        table.write(DAY - timedelta(days=1), watermark=NOON)
        assert table.found() == (record.table_config.scope, ())

    @pytest.mark.parametrize("is_damaged", [False, True])
    def test_what_is_published_says_nothing_of_another_window_or_when_it_is_damaged(self, table, is_damaged):
        table.write(DAY, watermark=NOON, fingerprint=OTHER_WINDOW)
        if is_damaged:
            table.damage(DAY)
        (earlier,) = days(5)
        table.write(DAY - timedelta(days=1), watermark=earlier)
        assert table.found() == (None, (earlier,))

    def test_another_window_is_decided_anew_from_earlier_dates_alone(self, table):
        (earlier,) = days(5)
        for day in (DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)):
            table.write(day, run_id="other", watermark=earlier if day < DAY else NOON)
        # What this extraction has published itself was made for a window that holds no more.
        table.write(DAY, watermark=NOON)
        assert table.found(scope=BEGUN, planned_for=OTHER_WINDOW) == (None, (earlier,))


class TestWatermarks:
    def test_they_are_those_of_all_other_complete_extractions_the_newest_dates_first(self, table):
        first, second, later = days(4, 5, 8)
        table.write(date(2026, 1, 4), watermark=first)
        table.write(date(2026, 1, 5), watermark=second)
        table.write(date(2026, 1, 8), watermark=later)
        table.write(date(2026, 1, 7), watermark=NOON, extraction_complete=False)
        assert table.found() == (None, (later, second, first))

    def test_one_without_a_watermark_counts_by_its_snapshot(self, table):
        (at,) = days(3)
        table.write(date(2026, 1, 4), taken_at=at)
        assert table.found() == (None, (at,))

    def test_its_own_is_not_among_them_and_ends_nothing(self, table):
        (first,) = days(4)
        table.write(DAY, watermark=NOON, fingerprint=OTHER_WINDOW)
        table.write(DAY, run_id="another", watermark=first)
        assert table.found() == (None, (first,))

    def test_a_days_window_asks_for_one_alone(self, table):
        first, second = days(4, 5)
        table.write(date(2026, 1, 4), watermark=first)
        table.write(date(2026, 1, 5), watermark=second)
        assert table.found(kind=WindowKind.DAY) == (None, (second,))

    def test_none_is_guessed_where_a_commit_record_cannot_be_read(self, table):
        table.write(date(2026, 1, 4), watermark=NOON)
        table.damage(date(2026, 1, 5))
        with pytest.raises(StateDamaged):
            table.found()

    def test_other_documents_are_not_looked_at(self, table):
        table.write(date(2026, 1, 5), watermark=NOON)
        (table.layout(date(2026, 1, 5)).folder / "shop_state.json").write_text("{")
        assert table.found() == (None, (NOON,))


class TestBaseline:
    def test_without_an_earlier_extraction_there_is_none(self, table):
        assert table.baseline() is None

    def test_it_is_that_of_the_newest_date_and_of_its_runs_the_one_that_read_last(self, table):
        table.write(date(2026, 1, 4), columns={"a": "int8"}, taken_at=NOON + timedelta(days=9))
        table.write(date(2026, 1, 5), run_id="first", columns={"a": "int16"})
        types = {"a": "NUMBER"}
        table.write(
            date(2026, 1, 5), run_id="last", columns={"a": "int32"}, database_types=types, taken_at=NOON + timedelta(1)
        )
        table.write(date(2026, 1, 5), run_id="second", columns={"a": "int64"})
        baseline = table.baseline()
        assert (baseline.run_id, baseline.columns, baseline.database_types) == ("last", {"a": "int32"}, types)

    def test_its_own_extraction_counts(self, table):
        table.write(DAY, columns={"a": "int8"})
        assert table.baseline().columns == {"a": "int8"}

    @pytest.mark.parametrize(
        "changes",
        [{"extraction_complete": False}, {"fingerprint": OTHER_QUERY}, {"fingerprint": OTHER_SCHEMA}],
        ids=["incomplete", "another query", "another schema"],
    )
    def test_what_says_nothing_of_drift_is_passed_over_for_an_earlier_date(self, table, changes):
        table.write(date(2026, 1, 4), columns={"a": "int8"}, fingerprint=OTHER_WINDOW)
        table.write(date(2026, 1, 5), columns={"a": "int16"}, **changes)
        assert table.baseline().columns == {"a": "int8"}

    def test_a_damaged_record_of_another_run_is_an_error_unless_a_model_is_compared_with(self, table):
        table.write(date(2026, 1, 4), columns={"a": "int8"})
        table.damage(date(2026, 1, 5))
        with pytest.raises(StateDamaged):
            table.baseline()
        assert table.baseline(is_declared=True).columns == {"a": "int8"}

    def test_a_damaged_record_of_its_own_is_about_to_be_replaced(self, table):
        table.write(date(2026, 1, 4), columns={"a": "int8"})
        table.damage(DAY)
        assert table.baseline().columns == {"a": "int8"}
