import io
import os
import pty
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from statekeeper.cli.progress import LiveReporter, StandardError, live_or_log
from statekeeper.runtime.progress import LogReporter, TableEnd


class _Display:
    """A live display that is read instead of looked at."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.reporter = LiveReporter(lambda text: self.said.append(text.plain), clock=lambda: self.now)

    def lines(self, *, width: int = 120, height: int = 24) -> list[str]:
        return self.reporter.lines(width=width, height=height)

    @property
    def cells(self) -> list[list[str]]:
        """The words of the tables at work."""
        return [line.split() for line in self.lines()[:-1]]


def test_table_at_work_shows_rows_speed_chunks_and_time_left() -> None:
    display = _Display()
    display.reporter.table_state("shop.A", "extracting", None)
    display.reporter.plan_ready("shop.A", 4, 1000)
    display.now = 2.0
    display.reporter.rows_read("shop.A", 500)
    display.reporter.chunk_done("shop.A", 2, 4, 250, 4096)
    assert display.cells == [["shop.A", "extracting", "500", "250/s", "2/4", "-2.0", "s"]]


def test_every_moment_of_a_table_can_be_drawn() -> None:
    display = _Display()
    display.reporter.table_state("shop.A", "pending", None)
    assert display.cells == [["shop.A", "pending", "0.0", "s"]]
    display.reporter.table_state("shop.A", "extracting", None)
    display.reporter.plan_ready("shop.A", 4, 1000)
    assert display.cells == [["shop.A", "extracting", "0/4", "0.0", "s"]]
    display.now = 75.0
    display.reporter.rows_read("shop.A", 500)
    display.reporter.chunk_done("shop.A", 4, 4, 500, 4096)
    display.reporter.table_state("shop.A", "validating", None)
    assert display.cells == [["shop.A", "validating", "500", "7/s", "4/4", "-1m", "15s"]]


def test_rows_of_chunks_count_even_where_none_were_told_as_they_were_read() -> None:
    display = _Display()
    display.reporter.plan_ready("shop.A", 2, 1000)
    display.now = 1.0
    display.reporter.chunk_done("shop.A", 1, 2, 600, 4096)
    assert display.cells[0][1:4] == ["600", "600/s", "1/2"]
    display.reporter.rows_read("shop.A", 100)
    display.reporter.chunk_done("shop.A", 2, 2, 400, 4096)
    assert display.cells[0][1:4] == ["1,000", "1,000/s", "2/2"]


def test_time_left_of_a_table_of_unknown_size_follows_from_its_chunks() -> None:
    display = _Display()
    display.reporter.plan_ready("shop.A", 4, None)
    display.now = 3.0
    display.reporter.rows_read("shop.A", 500)
    assert display.cells[0][-2:] == ["3.0", "s"]
    display.reporter.chunk_done("shop.A", 1, 4, 500, 4096)
    assert display.cells[0][-2:] == ["-9.0", "s"]


@pytest.mark.parametrize("rows", [0, None])
def test_empty_table_is_drawn(rows: int | None) -> None:
    display = _Display()
    display.reporter.plan_ready("shop.A", 0 if rows is None else 1, rows)
    assert display.cells[0][0] == "shop.A"


def test_new_plan_starts_its_line_anew() -> None:
    display = _Display()
    display.reporter.plan_ready("shop.A", 4, 1000)
    display.now = 5.0
    display.reporter.rows_read("shop.A", 900)
    display.reporter.plan_ready("shop.A", 2, 500)
    assert display.cells == [["shop.A", "0/2", "0.0", "s"]]


def test_table_that_ends_leaves_the_display_and_one_line() -> None:
    display = _Display()
    display.reporter.run_began(4)
    display.reporter.plan_ready("shop.A", 1, 10)
    display.reporter.rows_read("shop.A", 10)
    display.reporter.table_state("shop.A", "complete", None)
    display.reporter.table_ended("shop.A", TableEnd(state="complete", rows=10, bytes=2000, seconds=1.25))
    display.reporter.table_ended("shop.B", TableEnd(state="skipped", reason="complete and verified", rows=5))
    display.reporter.table_ended("shop.D", TableEnd(state="failed", reason="shop.D: 2 rows break the schema"))
    display.reporter.warning("shop.C", "[bold]7 rows[/bold] have no date")
    display.reporter.table_state("shop.E", "pending", "its plan is missing")
    assert display.said == [
        "complete shop.A: 10 rows, 2.0 kB in 1.2 s",
        "skipped shop.B: complete and verified",
        "failed shop.D: 2 rows break the schema",
        "warning shop.C: [bold]7 rows[/bold] have no date",
        "pending shop.E: its plan is missing",
    ]
    display.now = 10.0
    assert display.lines()[-1] == "3/4 tables done, 1 failed, 1 at work, 10 rows, 1/s, 10.0 s"


def test_nothing_is_drawn_before_a_table_is_known() -> None:
    assert _Display().lines() == []


@pytest.mark.parametrize("width", [40, 80, 120])
def test_sixty_tables_fit_twenty_four_lines_and_show_what_runs(width: int) -> None:
    display = _Display()
    display.reporter.run_began(60)
    names = [f"warehouse.ACCOUNTING_ARCHIVE.TRANSACTIONS_OF_{number:02}" for number in range(60)]
    for name in names:
        display.reporter.table_state(name, "pending", None)
    display.reporter.table_state(names[0], "validating", None)
    display.reporter.waiting(names[0], "a worker process", 5.0)
    for number in (7, 31, 59):
        display.reporter.table_state(names[number], "extracting", None)
        display.reporter.plan_ready(names[number], 16_000, 10_000_000_000)
        display.reporter.rows_read(names[number], 1_234_567_890)
    display.now = 3723.0
    lines = display.lines(width=width)
    assert len(lines) <= 23
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert [line.split()[0][-5:] for line in lines[:3]] == ["OF_07", "OF_31", "OF_59"]
        assert all("1,234,567,890    331,606/s" in line for line in lines[:3])
        assert all(line.endswith("-7h 20m") for line in lines[:3])
    assert lines[-1].startswith("0/60 tables done, 60 at work (38 not sh")


def test_display_is_drawn_on_a_terminal_and_is_no_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TERM", "xterm"), ("COLUMNS", "80"), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    ours, theirs = pty.openpty()
    with ThreadPoolExecutor(1) as pool, os.fdopen(theirs, "w") as stream:
        seen = pool.submit(_all_of, ours)
        with live_or_log(stream, is_live=True) as reporter:
            reporter.run_began(60)
            for number in range(60):
                reporter.table_state(f"shop.TABLE_{number}", "extracting", None)
            reporter.warning("shop.TABLE_1", "look")
        stream.close()
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", seen.result()).replace("\r", "\n")
    os.close(ours)
    assert "shop.TABLE_21" in plain
    assert "0/60 tables done, 60 at work (38 not shown)" in plain
    assert "shop.TABLE_22" not in plain
    assert max(map(len, plain.split("\n"))) <= 80


def _all_of(terminal: int) -> str:
    """What is written to a pseudo-terminal until its other end is closed."""
    found = b""
    with suppress(OSError):
        while text := os.read(terminal, 10_000):
            found += text
    return found.decode()


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


def test_a_table_that_waits_says_for_what_and_how_long_until_it_goes_on() -> None:
    display = _Display()
    display.reporter.waiting("shop.A", "a login to shop", 45.0)
    assert display.lines()[0].split() == ["shop.A", "pending", "waits", "45.0", "s", "for", "a", "login", "to", "shop"]
    assert all(len(line) <= 40 for line in display.lines(width=40))
    display.reporter.table_state("shop.A", "extracting", None)
    display.reporter.waiting("shop.A", None, 0.0)
    assert "waits" not in display.lines()[0]
    display.reporter.table_ended("shop.A", TableEnd(state="complete"))
    display.reporter.waiting("shop.A", None, 0.0)
    assert display.cells == []
