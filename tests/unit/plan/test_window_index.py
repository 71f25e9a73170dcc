"""Which windows are taken: by one document, and by the commit records where it is of no use."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from statekeeper.config.sections.output import OutputConfig
from statekeeper.errors import StateDamaged
from statekeeper.model.metadata import ValidationSummary
from statekeeper.model.state import State
from statekeeper.model.table import ExtractionMode, Scope, Window
from statekeeper.model.windows import TakenWindow
from statekeeper.plan.taken_window import taken_window, window_of
from statekeeper.plan.window_index import WindowIndex
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.layout import ExtractionLayout
from tests.unit.commit_records import NOON, TABLE, commit_record, state_of

DAY = date(2026, 1, 6)


def scope_of(day, *, days=1, lookback=timedelta()):
    """The scope of one date or of several, of which `day` is the last."""
    end = NOON + (day - DAY)
    start = end - timedelta(days=days)
    window = Window(column="at", start=start - lookback, end=end, timezone="UTC")
    return Scope(mode=ExtractionMode.INCREMENTAL, window=window, watermark=end, covered_from=start)


class CountingDisk(LocalDisk):
    """Counts what is read and listed."""

    def __init__(self):
        super().__init__()
        self.looks = 0

    def read(self, path):
        self.looks += 1
        return super().read(path)

    def names(self, folder):
        self.looks += 1
        return super().names(folder)


class Table:
    """The folder of a table, and extractions as they come."""

    def __init__(self, base_path):
        self.base_path = base_path
        self.disk = CountingDisk()
        self.index = WindowIndex(self.disk, OutputConfig(base_path=str(base_path)), TABLE, self.layout(DAY))

    def layout(self, day, run_id="shop"):
        return ExtractionLayout.of(base_path=self.base_path, table=TABLE, extraction_date=day, run_id=run_id)

    def take(self, day, run_id="shop", **scope):
        taken = taken_window(scope_of(day, **scope), run_id, day)
        assert self.index.take(taken, decided_by=self.index.coverage())

    def complete(self, day, run_id="shop", *, scope=None, **changes):
        layout = self.layout(day, run_id)
        layout.folder.mkdir(parents=True, exist_ok=True)
        record = commit_record(layout, scope=scope or scope_of(day), **changes)
        config = record.table_config.model_copy(
            update={"incremental_column": "at", "extraction_date": day.isoformat(), "run_id": run_id}
        )
        layout.metadata.write_bytes(record.model_copy(update={"table_config": config}).to_bytes())
        return layout.metadata

    def plan(self, day, run_id="shop", *, state=State.EXTRACTING, **scope):
        layout = self.layout(day, run_id)
        layout.folder.mkdir(parents=True, exist_ok=True)
        planned = {"extraction_date": day.isoformat(), "state": state, "plan_id": "a" * 32}
        layout.state.write_bytes(state_of(layout, scope=scope_of(day, **scope), **planned).to_bytes())

    @property
    def found(self):
        return [(window.date.day, window.run_id, window.is_complete) for window in self.index.coverage().taken]


@pytest.fixture
def table(tmp_path):
    return Table(tmp_path)


def test_a_window_that_was_taken_is_there_and_complete_once_its_commit_record_is(table):
    table.take(DAY)
    assert table.found == [(6, "shop", False)]
    table.complete(DAY)
    assert table.found == [(6, "shop", True)]


def test_a_window_is_taken_by_one_of_two_that_decide_at_once(table):
    table.take(date(2026, 1, 4))
    decided = table.index.coverage()
    first, second = (taken_window(scope_of(DAY), run_id, DAY) for run_id in ("first", "second"))
    assert table.index.take(first, decided_by=decided)
    assert not table.index.take(second, decided_by=decided)
    assert [run_id for _, run_id, _ in table.found] == ["shop", "first"]
    assert table.index.take(second, decided_by=table.index.coverage())


def test_of_two_that_find_no_document_one_takes(table):
    decided = table.index.coverage()
    assert decided.revision is None
    first, second = (taken_window(scope_of(DAY), run_id, DAY) for run_id in ("first", "second"))
    assert table.index.take(first, decided_by=decided)
    assert not table.index.take(second, decided_by=decided)


def test_an_extraction_that_plans_again_has_one_window(table):
    table.take(DAY)
    table.take(DAY, days=3)
    (window,) = table.index.coverage().taken
    assert window.end - window.start == timedelta(days=3)


def test_a_lookback_belongs_to_the_window_before(table):
    table.take(DAY, lookback=timedelta(hours=5))
    (window,) = table.index.coverage().taken
    assert window.start == NOON - timedelta(days=1)


@pytest.mark.parametrize("is_lost", [False, True], ids=["read", "made again"])
def test_an_extraction_that_is_extracted_again_by_a_wider_window_has_taken_both(table, is_lost):
    """It was killed, and goes on with its plan later: no other one takes the rows that it has planned."""
    table.complete(DAY)
    table.plan(DAY, days=3)
    table.take(DAY, days=3)
    if is_lost:
        table.index.layout.windows.unlink()
    assert [(window.start, window.is_complete) for window in table.index.coverage().taken] == [
        (NOON - timedelta(days=3), False),
        (NOON - timedelta(days=1), True),
    ]
    table.complete(DAY, scope=scope_of(DAY, days=3))
    table.plan(DAY, days=3, state=State.COMPLETE)
    (window,) = table.index.coverage().taken
    assert (window.start, window.is_complete) == (NOON - timedelta(days=3), True)


def test_an_extraction_that_is_extracted_again_by_a_narrower_window_leaves_the_rest(table):
    table.take(DAY, days=3)
    table.complete(DAY, scope=scope_of(DAY, days=3))
    table.take(DAY)
    table.take(date(2026, 1, 8), "other")  # which saves both windows that the first one has
    table.complete(DAY)
    assert [(window.start, window.run_id) for window in table.index.coverage().taken] == [
        (NOON - timedelta(days=1), "shop"),
        (NOON + timedelta(days=1), "other"),
    ]


@pytest.mark.parametrize("content", [None, b"", b"{", b'{"format": "statekeeper.plan"}'])
def test_records_say_what_a_lost_or_damaged_document_said(table, content):
    table.complete(date(2026, 1, 4))
    table.complete(date(2026, 1, 5), extraction_complete=False)
    table.complete(DAY, run_id="other")
    table.plan(date(2026, 1, 7))
    if content is not None:
        table.index.layout.windows.write_bytes(content)
    assert table.found == [(4, "shop", True), (6, "other", True), (7, "shop", False)]
    table.take(date(2026, 1, 8))
    assert [day for day, _, _ in table.found] == [4, 6, 7, 8]


def test_a_commit_record_that_cannot_be_read_is_an_error_and_no_hole(table):
    table.complete(DAY).write_text("{")
    with pytest.raises(StateDamaged):
        table.index.coverage()


def test_a_later_date_that_the_document_does_not_know_is_found_in_the_records(table):
    table.take(DAY)
    table.complete(DAY)
    table.complete(date(2026, 1, 7))  # as an older version does, which writes no window down
    assert table.found == [(6, "shop", True), (7, "shop", True)]


def test_a_run_of_the_newest_date_that_the_document_does_not_know_is_found_too(table):
    table.take(DAY)
    table.complete(DAY)
    table.complete(DAY, run_id="older")
    assert sorted(table.found) == [(6, "older", True), (6, "shop", True)]


@pytest.mark.parametrize(
    "changes", [{"scope": None}, {"extraction_complete": False}], ids=["without a window", "incomplete"]
)
def test_what_has_no_window_is_no_reason_to_read_all_records(table, changes, monkeypatch):
    table.take(date(2026, 1, 5))
    table.complete(date(2026, 1, 5))
    if changes == {"scope": None}:
        full = commit_record(table.layout(DAY))
        table.layout(DAY).folder.mkdir(parents=True)
        table.layout(DAY).metadata.write_bytes(full.to_bytes())
    else:
        table.complete(DAY, **changes)
    monkeypatch.setattr(WindowIndex, "_recorded", lambda _index: pytest.fail("it reads all records"))
    assert table.found == [(5, "shop", True)]


def test_a_plan_that_was_given_up_and_a_state_that_cannot_be_read_take_nothing(table):
    layout = table.layout(DAY)
    layout.folder.mkdir(parents=True)
    for content in (state_of(layout, scope=scope_of(DAY)).to_bytes(), b"{"):
        layout.state.write_bytes(content)
        assert table.found == []


def test_a_newest_extraction_that_is_gone_is_no_window(table):
    for day in (date(2026, 1, 5), DAY):
        table.take(day)
        table.complete(day)
    assert [day for day, _, _ in table.found] == [5, 6]
    table.take(date(2026, 1, 7))  # which has both seen complete
    table.layout(DAY).metadata.unlink()
    assert [day for day, _, _ in table.found] == [5], "nothing lies there any more, of the last one either"


def test_of_an_extraction_whose_state_is_complete_the_commit_record_says_what_it_has_taken(table):
    table.complete(DAY)
    table.plan(DAY, days=3, state=State.COMPLETE)
    assert [(window.start, window.is_complete) for window in table.index.coverage().taken] == [
        (NOON - timedelta(days=1), True)
    ]


@pytest.mark.parametrize("is_there", [False, True], ids=["no commit record", "one of an incomplete extraction"])
def test_what_a_complete_state_has_planned_is_taken_although_no_commit_record_says_so(table, is_there):
    if is_there:
        table.complete(DAY, extraction_complete=False)
    table.plan(DAY, state=State.COMPLETE)
    assert table.found == [(6, "shop", False)], "its next run extracts this window again"


def test_a_window_is_removed_if_no_record_is_as_old(table):
    for day in (date(2026, 1, 5), DAY):
        table.complete(day)
    older, oldest = (taken_window(scope_of(day), "shop", day) for day in (date(2026, 1, 4), date(2026, 1, 5)))
    assert table.index.is_removed(older)
    assert not table.index.is_removed(oldest)
    table.complete(date(2026, 1, 3))
    assert not table.index.is_removed(older)


def test_dates_that_were_removed_from_the_old_end_stay_taken_when_all_records_are_read(table):
    for day in (3, 4, 5, 6, 7):
        table.take(date(2026, 1, day))
        table.complete(date(2026, 1, day))
    for day in (3, 4, 6):
        table.layout(date(2026, 1, day)).metadata.unlink()
    table.complete(date(2026, 1, 8))  # as an older version does: the document lacks it, so all records are read
    assert [day for day, _, _ in table.found] == [3, 4, 5, 7, 8], "the 6th is a hole, which is said"


def test_a_plan_looks_at_a_constant_number_of_files_however_many_dates_there_are(table):
    counts = {}
    for number in range(90):
        day = date(2026, 1, 1) + timedelta(days=number)
        table.take(day)
        table.complete(day)
        table.disk.looks = 0
        assert len(table.index.coverage().taken) == number + 1
        counts[number] = table.disk.looks
    assert max(counts.values()) <= 12, counts


def test_a_first_extraction_of_version_0_1_is_taken_up_to_its_watermark_or_its_snapshot(table):
    later = NOON + timedelta(hours=3)
    for watermark, taken_at in ((NOON, later), (None, NOON)):
        table.complete(DAY, scope=Scope(mode=ExtractionMode.FULL, watermark=watermark), taken_at=taken_at)
        (window,) = table.index.coverage().taken
        assert (window.start, window.end, window.column) == (None, NOON, "at")


def test_a_table_without_an_incremental_column_has_no_window(table):
    assert window_of(commit_record(table.layout(DAY))) is None
    assert taken_window(Scope(mode=ExtractionMode.FULL), "shop", DAY) is None
    assert taken_window(scope_of(DAY).model_copy(update={"watermark": None}), "shop", DAY) is None
    assert isinstance(taken_window(scope_of(DAY), "shop", DAY), TakenWindow)


def counted(nulls, untaken=0):
    """The change of a commit record that has these rows without a value."""
    found = {"null_incremental_rows": nulls, "untaken_null_rows": untaken}
    return {
        "validation": ValidationSummary(reconcile="count", counted_rows=1, model=None, checks=0).model_copy(
            update=found
        )
    }


def first_load(day):
    return scope_of(day).model_copy(
        update={
            "window": Window(column="at", start=None, end=scope_of(day).watermark, timezone="UTC"),
            "covered_from": None,
        }
    )


@pytest.mark.parametrize(
    ("nulls", "untaken", "taken"), [(30, 0, 30), (35, 5, 30), (0, 0, 0), (35, None, 35), (None, None, None)]
)
def test_rows_without_a_value_that_were_taken_are_those_of_the_newest_window(table, nulls, untaken, taken):
    table.complete(date(2026, 1, 4), scope=first_load(date(2026, 1, 4)), **counted(99))
    later = NOON + timedelta(hours=1)
    table.complete(date(2026, 1, 5), taken_at=later, **counted(nulls, untaken))
    assert table.index.taken_null_rows(table.index.coverage()) == taken


def test_a_first_load_that_was_extracted_again_has_taken_the_rows_without_a_value(table):
    again = NOON + timedelta(days=1)
    table.complete(date(2026, 1, 4), scope=first_load(date(2026, 1, 4)), taken_at=again, **counted(35))
    table.complete(date(2026, 1, 5), **counted(35, 5))
    assert table.index.taken_null_rows(table.index.coverage()) == 35


def test_nothing_is_known_of_rows_without_a_value_before_an_extraction_is_complete(table):
    assert table.index.taken_null_rows(table.index.coverage()) is None
    table.take(DAY)
    assert table.index.taken_null_rows(table.index.coverage()) is None
