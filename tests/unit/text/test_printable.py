"""What would act on a terminal or make a log line of its own is escaped, wherever text goes there."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from statekeeper.api import DataExtractor
from statekeeper.cli import app
from statekeeper.cli.invocation import explain
from statekeeper.cli.screen import Column, Grid, Screen
from statekeeper.errors import UsageError
from statekeeper.logs import LogFormat, Redactor, set_up_logging
from statekeeper.text.printable import in_lines, one_line
from tests.messages import raises_message

EVIL = "t\n2026-01-06 INFO forged\x1b[2J\x9b1m\u202e\x7f\ud800"
ESCAPED = r"t\n2026-01-06 INFO forged\u001b[2J\u009b1m\u202e\u007f\ud800"


def test_escapes_are_those_of_json() -> None:
    assert one_line(EVIL) == ESCAPED
    assert json.loads(f'"{one_line(EVIL)}"') == EVIL
    assert in_lines("a\tb\n\x1b") == "a\tb\n\\u001b"
    assert one_line("Übersicht 表 é") == "Übersicht 表 é"


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_log_record_is_one_line(log_format: LogFormat) -> None:
    stream = io.StringIO()
    set_up_logging(stream, log_format=log_format, redactor=Redactor())
    try:
        logging.getLogger("statekeeper.x").warning("%s is gone", EVIL, extra={"table": EVIL})
    finally:
        logging.getLogger("statekeeper").handlers.clear()
        logging.getLogger("statekeeper").propagate = True
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    if log_format is LogFormat.JSON:
        assert json.loads(line)["table"] == EVIL


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_row_of_a_grid_is_one_line(is_terminal: bool) -> None:
    stream = io.StringIO()
    Screen(stream, is_terminal=is_terminal, width=200).grid(Grid((Column("table"),), ((EVIL,),)))
    _, row = stream.getvalue().splitlines()
    assert row == ESCAPED


def test_lines_of_the_screen_keep_their_ends_alone() -> None:
    stream = io.StringIO()
    Screen(stream, is_terminal=False).line("a\n\x1b[2Jb")
    assert stream.getvalue() == "a\n\\u001b[2Jb\n"


def test_errors_are_printable_and_no_longer_than_can_be_read() -> None:
    stream = io.StringIO()
    error = UsageError(f"no table \x1b[2J{'x' * 2_000_000}", hint="y" * 2_000_000)
    assert explain(error, stream=stream, redactor=Redactor(), environ={}) == 2
    told = stream.getvalue()
    assert told.startswith(r"error: no table \u001b[2J")
    assert "... (2,000,0" in told
    assert len(told) < 10_000


def test_what_click_says_of_arguments_is_printable(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_command(["run", "c.yml", "--\x1b[2J"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_an_argument_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_command(["run", "c.yml", "--run-id", "n\udcff"]) == 2
    assert capsys.readouterr().err == "error: expected arguments in UTF-8; found the byte 0xff after 'n'\n"


def test_bytes_in_the_real_command_line_end_it_with_a_line(tmp_path: Path) -> None:
    program = "import sys; from statekeeper.cli.entry import main; main()"
    command = [sys.executable, "-c", program, "run", "c.yml", "--run-id", b"\xff\xfe"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, "error: expected arguments in UTF-8; found the byte 0xff\n")


def test_a_run_id_that_is_no_text_is_refused_in_python(tmp_path: Path) -> None:
    sources = {"shop": {"type": "duckdb", "path": "x"}}
    extractor = DataExtractor(sources=sources, output_base_path=tmp_path)
    with raises_message(UsageError, "store.run_id_is_not_utf8"):
        extractor.extract_table(source_name="shop", table_name="t", run_id="\ud800")
