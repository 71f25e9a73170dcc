import io
import json
import re
from datetime import UTC, datetime

import pytest

from statekeeper.cli import render
from statekeeper.cli.screen import Column, Grid, Screen, width_of
from statekeeper.errors import FailureKind
from statekeeper.model.manifest import (
    ChunkProgress,
    NextStep,
    ProcessStatus,
    RunStatus,
    TableStateFailure,
    TableStatus,
)
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.preview import PlanReport, PreviewAction, TablePlan
from statekeeper.model.state import Failure, State
from statekeeper.model.table import ExtractionMode, Scope, TableRef
from statekeeper.run.report import Outcome, RunReport, TableReport

FAILURE = Failure(kind=FailureKind.SOURCE, message="no table B", hint="make it", failed_in=State.PENDING)


def _table(name: str) -> TableRef:
    return TableRef(source_name="shop", table_name=name, path_name=name)


RESUME = "statekeeper resume demo.yml --date 2026-01-06"


def _report(*tables: TableReport) -> RunReport:
    return RunReport(
        run_id="demo-20260106",
        pipeline="demo",
        extraction_date="2026-01-06",
        base_path="data",
        tables=tables,
        duration_seconds=75.0,
        next_steps=(NextStep(command=RESUME),) if any(not table.is_good for table in tables) else (),
    )


REPORT = _report(
    TableReport(
        table=_table("A"),
        outcome=Outcome.COMPLETED,
        records=1_234_567,
        bytes=45_678_901,
        output_path="data/shop/A/202601/06/demo-20260106.parquet",
        duration_seconds=62.4,
    ),
    TableReport(table=_table("B"), outcome=Outcome.FAILED, failure=FAILURE),
    TableReport(table=_table("C"), outcome=Outcome.HELD, reason="process 4711 on db1 works on it"),
    TableReport(table=_table("D"), outcome=Outcome.SKIPPED, records=0, bytes=812, output_path="data/D.parquet"),
)
PLAN = PlanReport(
    run_id="demo-20260106",
    base_path="data",
    extraction_date="2026-01-06",
    tables=(
        TablePlan(
            table=_table("A"),
            verdict=PreviewAction.START,
            scope=Scope(mode=ExtractionMode.FULL),
            columns=(
                PlannedColumn(
                    name="ID", database_type="BIGINT", read_type="int64", arrow_type="int64", is_nullable=False
                ),
                PlannedColumn(name="NAME", database_type="VARCHAR", read_type="string", arrow_type="string"),
            ),
            chunks=12,
            estimated_rows=1_000_000,
            notes=("validators of NAME run row by row",),
        ),
        TablePlan(table=_table("B"), verdict=PreviewAction.REFUSE, failure=FAILURE),
    ),
)


def _text(show: object, report: object, *, is_terminal: bool = False) -> str:
    stream = io.StringIO()
    show(report, Screen(stream, is_terminal=is_terminal))  # type: ignore[operator]
    return stream.getvalue()


def test_run_shows_every_table_its_failure_and_where_the_files_are() -> None:
    lines = _text(render.show_run, REPORT).splitlines()
    assert lines[1].split() == [
        "shop.A", "completed", "1,234,567", "45.7", "MB", "1m", "02s", "data/shop/A/202601/06/demo-20260106.parquet",
    ]  # fmt: skip
    text = "\n".join(lines)
    assert "shop.B: no table B\n  hint: make it" in text
    assert "process 4711 on db1" in text
    assert "1 completed, 1 failed, 1 held, 1 skipped" in text
    assert lines[-2] == "files: data"
    assert lines[-1] == f"next: {RESUME}"


def test_run_without_trouble_ends_with_where_the_files_are() -> None:
    lines = _text(render.show_run, _report(REPORT.tables[0])).splitlines()
    assert lines[-1] == "files: data"
    assert not any("resume" in line for line in lines)


@pytest.mark.parametrize(("show", "report"), [(render.show_run, REPORT), (render.show_plan, PLAN)])
def test_terminal_shows_the_same_words_with_colours(show: object, report: object) -> None:
    stream = io.StringIO()
    show(report, Screen(stream, is_terminal=True, width=200))  # type: ignore[operator]
    drawn = stream.getvalue()
    plain = _text(show, report)
    for word in plain.split():
        assert word in drawn, word


def test_plain_text_has_no_escape_codes() -> None:
    assert "\x1b" not in _text(render.show_run, REPORT)
    assert "\x1b" not in _text(render.show_plan, PLAN)


def test_plan_shows_verdicts_types_notes_and_failures() -> None:
    text = _text(render.show_plan, PLAN)
    assert "shop.A: start, full, 12 chunks, about 1,000,000 rows" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["ID", "BIGINT", "int64", "no"] in lines
    assert ["NAME", "VARCHAR", "string", "yes"] in lines
    assert "note: validators of NAME run row by row" in text
    assert "shop.B: no table B" in text
    assert "hint: make it" in text
    assert "1 start, 1 refuse" in text


def test_json_twins_carry_the_exit_code() -> None:
    assert json.loads(REPORT.model_dump_json())["exit_code"] == 1
    assert json.loads(PLAN.model_dump_json())["exit_code"] == 1


LONG = "warehouse.ACCOUNTING_ARCHIVE.TRANSACTIONS_OF_LAST_YEAR"


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", ["A", LONG, LONG * 2])
def test_result_table_is_no_wider_than_the_terminal_and_has_no_blank_lines(width: int, name: str) -> None:
    path = f"data/{name}/202601/06/demo-20260106.parquet"
    tables = [
        report.model_copy(
            update={"table": _table(f"{name}_{index}"), "output_path": path, "bytes": 10**12, "failure": None}
        )
        for index, report in enumerate(REPORT.tables)
    ]
    stream = io.StringIO()
    render.show_run(_report(*tables), Screen(stream, is_terminal=True, width=width))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    table = lines[: 1 + len(tables)]
    assert max(map(len, table)) <= width
    assert all(line == line.rstrip() and line for line in table)
    for line, report in zip(table[1:], tables, strict=True):
        assert str(report.outcome) in line
        assert report.table.key[-6:] in line.split()[0]
        assert ("1,234,567" in line) is (report.records == 1_234_567)


def test_where_is_shown_where_it_fits_and_always_in_a_pipe() -> None:
    def shown(**screen: object) -> bool:
        stream = io.StringIO()
        render.show_run(REPORT, Screen(stream, **screen))  # type: ignore[arg-type]
        return "data/shop/A/202601/06/demo-20260106.parquet" in stream.getvalue()

    assert shown(is_terminal=True, width=120)
    assert not shown(is_terminal=True, width=80)
    assert shown(is_terminal=False, width=20)


def test_wide_characters_are_counted_as_the_terminal_draws_them() -> None:
    name = "売上明細テーブル" * 6
    tables = [REPORT.tables[0].model_copy(update={"table": _table(one)}) for one in (name, "e\u0301te\u0301", "A")]
    stream = io.StringIO()
    render.show_run(_report(*tables), Screen(stream, is_terminal=True, width=80))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()[1:4]
    before = [width_of(line[: line.index("completed")]) for line in lines]
    assert len(set(before)) == 1
    assert max(map(width_of, lines)) <= 80
    assert lines[0].startswith("…")


def test_types_of_a_plan_fit_the_terminal() -> None:
    column = PlannedColumn(
        name="A_COLUMN_WITH_A_NAME_OF_SOME_LENGTH",
        database_type="TIMESTAMP(6) WITH LOCAL TIME ZONE",
        read_type="timestamp[us, tz=UTC]",
        arrow_type="timestamp[us, tz=UTC]",
    )
    plan = PLAN.model_copy(update={"tables": (PLAN.tables[0].model_copy(update={"columns": (column,)}),)})
    stream = io.StringIO()
    render.show_plan(plan, Screen(stream, is_terminal=True, width=80))
    (line,) = [line for line in stream.getvalue().splitlines() if "timestamp" in line]
    assert len(line) <= 80
    assert line.startswith("  …")
    assert line.endswith("TIMESTAMP(6) WITH LOCAL TIME ZONE  timestamp[us, tz=UTC]  yes")


def test_empty_grid_shows_nothing() -> None:
    stream = io.StringIO()
    Screen(stream, is_terminal=False).grid(Grid((Column("n"),), ()))
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, ""), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (1_500_000, "1.5 MB"),
     (2_000_000_000_000_000, "2,000.0 TB")],
)  # fmt: skip
def test_sizes(number: int | None, text: str) -> None:
    assert render.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.04, "0.0 s"), (59.96, "1m 00s"), (61, "1m 01s"), (3599.7, "1h 00m"), (7261, "2h 01m")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert render.duration(seconds) == text


def _status_of(states: dict[str, int]) -> RunStatus:
    failure = TableStateFailure(kind="source", code="ORA-00942", message="no such table", hint="make it")
    names = [(f"T{number:02}", state) for state, count in states.items() for number in range(count)]
    tables = tuple(
        TableStatus(
            source_name="shop",
            schema_name=None,
            table_name=f"{state}_{name}",
            state=state,
            records=None,
            bytes=None,
            chunks=ChunkProgress(done=0, total=0),
            attempts=0,
            started_at=None,
            ended_at=None,
            duration_seconds=None,
            output_path=None,
            failure=failure if state == "failed" else None,
        )
        for name, state in names
    )
    return RunStatus(
        run_id="demo-20260106",
        pipeline="demo",
        extraction_date="2026-01-06",
        state="running",
        tables=tables,
        counts=states,
        processes=(
            ProcessStatus(host="db1", pid=4711, since=datetime(2026, 1, 6, 12, tzinfo=UTC), liveness="alive"),
            ProcessStatus(host="db1", pid=4712, since=None, liveness="dead"),
            ProcessStatus(host="db2", pid=4713, since=None, liveness="unknown"),
        ),
        next_steps=(NextStep(command=RESUME), NextStep(command="statekeeper reset", when="to begin anew")),
    )


SIXTY = {"complete": 35, "pending": 20, "extracting": 2, "validating": 1, "failed": 2}


def test_status_of_sixty_tables_fits_a_terminal_of_24_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    lines = _text(render.show_status, _status_of(SIXTY), is_terminal=True).splitlines()
    assert len(lines) <= 24
    shown = [line.split("_T")[0].rpartition(".")[2] for line in lines[1:6]]
    assert shown == ["failed", "failed", "extracting", "extracting", "validating"]
    text = "\n".join(lines)
    assert "is running: 35 complete, 20 pending, 2 extracting, 2 failed, 1 validating" in text
    assert "shop.complete" not in text
    assert "no such table" in text


def test_status_shows_every_table_where_they_fit_and_in_a_pipe_failures_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    assert "shop.complete_T00" in _text(render.show_status, _status_of({"complete": 10}), is_terminal=True)
    lines = _text(render.show_status, _status_of(SIXTY)).splitlines()
    assert len([line for line in lines if line.startswith("shop.") and "no such table" not in line]) == 60
    first = [*["failed"] * 2, *["extracting"] * 2, "validating", *["pending"] * 2]
    assert [line.split()[1] for line in lines[1:8]] == first
    assert json.loads(_status_of(SIXTY).model_dump_json())["tables"][59]["state"] == "failed"


def test_status_says_who_is_at_work_and_what_to_type_next() -> None:
    assert _text(render.show_status, _status_of({"pending": 1})).splitlines()[-5:] == [
        "running: process 4711 on db1 since 2026-01-06 12:00:00 UTC",
        "not running: process 4712 on db1 ended without finishing (it was killed, or the machine restarted)",
        "perhaps running: process 4713 on db2, which is another machine and cannot be checked from here",
        f"next: {RESUME}",
        "next, to begin anew: statekeeper reset",
    ]


def test_a_failure_of_many_tables_is_told_once_with_their_names() -> None:
    same = FAILURE.model_copy(update={"message": "the model file hr.py cannot be imported"})
    tables = [TableReport(table=_table(f"T{n}"), outcome=Outcome.FAILED, failure=same) for n in range(2000)]
    text = _text(render.show_run, _report(*tables))
    assert text.count("hr.py cannot be imported") == 1
    assert "  the same for shop.T1, shop.T2, shop.T3, shop.T4, shop.T5 and 1,994 further tables\n" in text
    named = [
        TableReport(
            table=_table(name),
            outcome=Outcome.FAILED,
            failure=FAILURE.model_copy(update={"message": f"shop.{name} does not exist"}),
        )
        for name in ("A", "B")
    ]
    text = _text(render.show_run, _report(*named))
    assert "shop.A does not exist" in text
    assert "  the same for shop.B\n" in text
