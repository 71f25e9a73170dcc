import io
import sys

import pytest
from rich.console import Console

from statekeeper.cli.progress import LiveReporter, StandardError, display, live_or_log
from statekeeper.reporting import LogReporter


class _Display:
    """A progress display that is read instead of looked at."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.now = 0.0
        self.progress = display(Console(file=self.stream, width=120))
        self.reporter = LiveReporter(self.progress, clock=lambda: self.now)

    @property
    def lines(self) -> list[tuple[str, str, str, str]]:
        return [
            (task.description, task.fields["rows"], task.fields["speed"], task.fields["chunks"])
            for task in self.progress.tasks
        ]


def test_table_at_work_shows_rows_speed_and_chunks() -> None:
    display = _Display()
    display.reporter.table_state("shop.A", "extracting", None)
    display.reporter.plan_ready("shop.A", 4, 1000)
    display.now = 2.0
    display.reporter.rows_read("shop.A", 500)
    display.reporter.chunk_done("shop.A", 2, 4, 250)
    assert display.lines == [("shop.A", "500", "250 rows/s", "2/4")]
    assert display.progress.tasks[0].percentage == 50


def test_every_moment_of_a_table_can_be_drawn() -> None:
    display = _Display()

    def drawn() -> str:
        console = Console(file=io.StringIO(), width=120)
        with console.capture() as capture:
            console.print(display.progress.get_renderable())
        return capture.get()

    display.reporter.table_state("shop.A", "pending", None)
    assert "pending" in drawn()
    display.reporter.table_state("shop.A", "extracting", None)
    display.reporter.plan_ready("shop.A", 4, 1000)
    assert "extracting" in drawn()
    assert "0/4" in drawn()
    display.reporter.rows_read("shop.A", 500)
    display.reporter.chunk_done("shop.A", 4, 4, 500)
    display.reporter.table_state("shop.A", "validating", None)
    assert "validating" in drawn()
    assert "4/4" in drawn()
    assert "500" in drawn()


def test_rows_of_chunks_count_even_where_none_were_told_as_they_were_read() -> None:
    display = _Display()
    display.reporter.plan_ready("shop.A", 2, 1000)
    display.now = 1.0
    display.reporter.chunk_done("shop.A", 1, 2, 600)
    assert display.lines == [("shop.A", "600", "600 rows/s", "1/2")]
    display.reporter.rows_read("shop.A", 100)
    display.reporter.chunk_done("shop.A", 2, 2, 400)
    assert display.lines == [("shop.A", "1,000", "1,000 rows/s", "2/2")]


def test_table_of_unknown_size_moves_by_chunks() -> None:
    display = _Display()
    display.reporter.plan_ready("shop.A", 4, None)
    display.reporter.rows_read("shop.A", 500)
    assert display.progress.tasks[0].percentage == 0
    display.reporter.chunk_done("shop.A", 1, 4, 500)
    assert display.progress.tasks[0].percentage == 25


@pytest.mark.parametrize("rows", [0, None])
def test_empty_table_is_drawn(rows: int | None) -> None:
    display = _Display()
    display.reporter.plan_ready("shop.A", 0 if rows is None else 1, rows)
    assert display.progress.tasks[0].percentage == 0


def test_new_plan_starts_its_line_anew() -> None:
    display = _Display()
    display.reporter.plan_ready("shop.A", 4, 1000)
    display.reporter.rows_read("shop.A", 900)
    display.reporter.plan_ready("shop.A", 2, 500)
    assert display.lines == [("shop.A", "", "", "0/2")]
    assert display.progress.tasks[0].percentage == 0


def test_table_that_ends_leaves_the_display_and_one_line() -> None:
    display = _Display()
    display.reporter.plan_ready("shop.A", 1, 10)
    display.reporter.rows_read("shop.A", 10)
    display.reporter.table_state("shop.A", "complete", None)
    display.reporter.table_state("shop.B", "skipped", "complete and verified")
    display.reporter.warning("shop.C", "[bold]7 rows[/bold] have no date")
    assert display.lines == []
    assert display.stream.getvalue().splitlines() == [
        "complete shop.A: 10 rows",
        "skipped shop.B: complete and verified",
        "warning shop.C: [bold]7 rows[/bold] have no date",
    ]


def test_live_display_is_drawn_where_a_person_looks_and_logged_elsewhere() -> None:
    with live_or_log(io.StringIO(), is_live=True) as reporter:
        assert isinstance(reporter, LiveReporter)
    with live_or_log(io.StringIO(), is_live=False) as reporter:
        assert isinstance(reporter, LogReporter)


def test_log_lines_follow_standard_error_when_it_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StandardError()
    replaced = io.StringIO()
    monkeypatch.setattr(sys, "stderr", replaced)
    stream.write("line\n")
    stream.flush()
    assert replaced.getvalue() == "line\n"
