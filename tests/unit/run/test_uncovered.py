"""What is told of a table's windows that nothing complete has."""

from __future__ import annotations

from datetime import UTC, date, datetime

from statekeeper.hints.next_command import RunCommands
from statekeeper.model.windows import TakenWindow
from statekeeper.plan.coverage import Coverage
from statekeeper.run.uncovered import what_is_uncovered


def _window(day, start, end, *, is_complete):
    at = [None if number is None else datetime(2026, 1, number, tzinfo=UTC) for number in (start, end)]
    run_id = f"shop-202601{day:02}"
    return TakenWindow(
        run_id=run_id, extraction_date=f"2026-01-{day:02}", column="at", start=at[0], end=at[1], is_complete=is_complete
    )


def _told(*windows):
    commands = RunCommands(config="shop.yml", tables_file=None, extraction_date=date(2026, 1, 9), run_id=None)
    return what_is_uncovered(Coverage.of(windows), key="shop.orders", pipeline="shop", commands=commands)


def test_a_window_that_was_planned_is_told_with_the_command_that_goes_on():
    (told,) = _told(_window(4, None, 5, is_complete=False), _window(5, 5, 6, is_complete=True))
    assert "`statekeeper run shop.yml --date 2026-01-04 --table shop.orders` goes on" in told


def test_a_planned_window_that_others_have_taken_whole_is_not_told():
    """Its command would be refused: an index was lost, and a date was planned whose rows another one had planned."""
    planned = _window(4, None, 5, is_complete=False)
    assert _told(planned, _window(5, None, 6, is_complete=True)) == ()
    (told,) = _told(planned, _window(5, 4, 6, is_complete=True))
    assert "--date 2026-01-04" in told, "it has rows that no other has"
