"""What earlier extractions leave to the next plan, by the commit records that lie on disk."""

from __future__ import annotations

from datetime import date, timedelta
from types import SimpleNamespace

import pytest

from statekeeper.config.resolved import IncrementalConfig
from statekeeper.errors import StateDamaged
from statekeeper.model.mark import Mark
from statekeeper.model.table import ExtractionMode, Scope, Window
from statekeeper.plan.history import baseline_of, kept_scope
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.layout import ExtractionLayout
from tests.unit.commit_records import NOON, TABLE, commit_record, state_of

SAME = "source=1 query=2 schema=3 window=4"
OTHER_WINDOW, OTHER_QUERY = SAME.replace("window=4", "window=5"), SAME.replace("query=2", "query=9")
OTHER_SCHEMA = SAME.replace("schema=3", "schema=9")
DAY = date(2026, 1, 6)


class Table:
    """The folder of a table, with the extractions of some dates and runs."""

    def __init__(self, base_path):
        self.base_path = base_path
        self.disk = LocalDisk()
        self.own = self.layout(DAY)

    def layout(self, day, run_id="shop"):
        return ExtractionLayout.of(base_path=self.base_path, table=TABLE, extraction_date=day, run_id=run_id)

    def write(self, day, *, run_id="shop", watermark=None, scope=None, fingerprint=SAME, **changes):
        layout = self.layout(day, run_id)
        scope = scope or Scope(mode=ExtractionMode.INCREMENTAL, watermark=watermark)
        record = commit_record(layout, scope=scope, config_fingerprint=fingerprint, **changes)
        layout.folder.mkdir(parents=True, exist_ok=True)
        layout.metadata.write_bytes(record.to_bytes())
        return record

    def damage(self, day, run_id="shop"):
        layout = self.layout(day, run_id)
        layout.folder.mkdir(parents=True, exist_ok=True)
        layout.metadata.write_text("{")

    def kept(self, *, scope=None, planned_for=SAME, now=SAME, is_full=False, column="at"):
        incremental = IncrementalConfig(column=column) if column else None
        config = SimpleNamespace(incremental=incremental, is_full_extract=is_full)
        record = state_of(self.own, scope=scope, fingerprint=planned_for)
        return kept_scope(self.disk, self.own, config, record, now)

    def baseline(self, *, is_declared=False, now=SAME):
        config = SimpleNamespace(model=SimpleNamespace(is_declared=is_declared))
        return baseline_of(self.disk, self.own, config, now)


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path)


WINDOW = Window(column="at", start=None, end=NOON, timezone="UTC")
BEGUN = Scope(mode=ExtractionMode.FULL, window=WINDOW, watermark=NOON)


class TestScope:
    def test_a_scope_that_was_decided_is_kept(self, table):
        table.write(DAY, watermark=NOON + timedelta(days=1))
        assert table.kept(scope=BEGUN) == BEGUN

    def test_where_the_state_was_lost_it_is_the_scope_of_what_is_published(self, table):
        record = table.write(DAY, scope=BEGUN)
        assert table.kept() == record.table_config.scope == BEGUN

    def test_without_either_there_is_none(self, table):
        table.write(DAY - timedelta(days=1), scope=BEGUN)
        assert table.kept() is None

    def test_of_another_window_none_is_kept(self, table):
        table.write(DAY, scope=BEGUN)
        assert table.kept(scope=BEGUN, planned_for=OTHER_WINDOW) is None

    def test_what_is_published_says_nothing_of_another_window_or_when_it_is_damaged(self, table):
        table.write(DAY, scope=BEGUN, fingerprint=OTHER_WINDOW)
        assert table.kept() is None
        table.damage(DAY)
        assert table.kept() is None

    def test_a_first_extraction_of_version_0_1_gets_the_end_that_its_watermark_says(self, table):
        unbounded = Scope(mode=ExtractionMode.FULL, watermark=NOON)
        assert table.kept(scope=unbounded) == BEGUN
        assert table.kept(scope=unbounded, is_full=True) == unbounded
        assert table.kept(scope=unbounded, column=None) == unbounded
        assert table.kept(scope=Scope(mode=ExtractionMode.FULL)).window is None


class TestBaseline:
    def test_other_documents_and_hidden_ones_are_not_looked_at(self, table):
        table.write(DAY, columns={"a": "int8"})
        for name in ("shop_state.json", ".shop_metadata.json", "_windows.json"):
            (table.own.folder / name).write_text("{")
        assert table.baseline().columns == {"a": "int8"}

    def test_the_column_of_marks_is_not_the_tables(self, table):
        mark = Mark(incremental_column="at", unique=(("a",),))
        table.write(DAY, columns={"a": "int8", "taken_before": "bool"}, mark=mark)
        assert table.baseline().columns == {"a": "int8"}
        table.write(DAY, columns={"a": "int8", "taken_before": "bool"})
        assert table.baseline().columns == {"a": "int8", "taken_before": "bool"}

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
