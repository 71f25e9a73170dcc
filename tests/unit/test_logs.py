import io
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel, SecretStr

from statekeeper.logs import LogFormat, Redactor, secret_values, set_up_logging
from statekeeper.runtime.progress import LogReporter, TableEnd, without_name

SECRET = 'tiger"\\ü/pass'


@pytest.fixture(autouse=True)
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("statekeeper")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield logger
    logger.handlers[:], logger.level, logger.propagate = before


def _log(log_format: LogFormat) -> io.StringIO:
    stream = io.StringIO()
    set_up_logging(stream, log_format=log_format, redactor=Redactor([SECRET])).run = "demo-20260106"
    return stream


def test_human_line_names_run_and_table() -> None:
    stream = _log(LogFormat.HUMAN)
    LogReporter().chunk_done("shop.shop.orders", 3, 12, 100_000, 4096)
    moment, rest = stream.getvalue().split(" INFO", 1)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(moment)) < timedelta(minutes=1)
    assert rest == "    demo-20260106 shop.shop.orders: chunk 3/12 done, 100,000 rows\n"


def test_json_line_has_run_and_table_as_fields() -> None:
    stream = _log(LogFormat.JSON)
    LogReporter().warning("shop.orders", "two\nlines")
    line = stream.getvalue()
    assert line.count("\n") == 1
    fields = json.loads(line)
    assert fields.pop("time").endswith("+00:00")
    expected = {"level": "warning", "run": "demo-20260106", "table": "shop.orders", "message": "two\nlines"}
    assert fields == expected


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_secret_is_in_no_line_whether_message_argument_or_traceback(
    log_format: LogFormat, logger: logging.Logger
) -> None:
    stream = _log(log_format)
    logger.getChild("x").info("password %s", SECRET)
    logger.info("repr %r and json %s", SECRET, json.dumps(SECRET))
    logger.info("url http://scott:tiger%22%5C%C3%BC%2Fpass@host")
    try:
        int(SECRET)
    except ValueError:
        logger.exception("failed")
    text = stream.getvalue()
    assert "Traceback" in text
    assert "tiger" not in text
    assert text.count("***") >= 5


def test_setting_up_twice_logs_once() -> None:
    _log(LogFormat.HUMAN)
    stream = _log(LogFormat.HUMAN)
    logging.getLogger("statekeeper.x").info("once")
    assert stream.getvalue().count("once") == 1


def test_short_values_are_not_redacted_and_longer_ones_go_first() -> None:
    redact = Redactor(["1", "", "abcd", "abcdef"])
    assert redact("1 abcdef abcd") == "1 *** ***"


def test_rows_read_are_logged_at_most_every_half_minute() -> None:
    stream = _log(LogFormat.HUMAN)
    now = [0.0]
    reporter = LogReporter(clock=lambda: now[0])
    reporter.plan_ready("t", 1, None)
    for _ in range(100):
        now[0] += 1
        reporter.rows_read("t", 10)
    lines = stream.getvalue().splitlines()
    assert [line.split("t: ")[1] for line in lines] == [
        "planned 1 chunk",
        "300 rows read",
        "600 rows read",
        "900 rows read",
    ]


def test_secrets_are_found_wherever_a_configuration_keeps_them() -> None:
    class Section(BaseModel):
        password: SecretStr
        user: str

    @dataclass(frozen=True)
    class Pipeline:
        sources: dict[str, Section]
        hooks: tuple[SecretStr | None, ...]

    pipeline = Pipeline({"a": Section(password=SecretStr("one"), user="scott")}, (SecretStr("two"), None))
    assert sorted(secret_values(pipeline)) == ["one", "two"]


def test_failure_is_logged_as_an_error_and_a_confirmed_plan_once() -> None:
    stream = _log(LogFormat.HUMAN)
    reporter = LogReporter()
    reporter.plan_ready("t", 12, 1000)
    reporter.plan_ready("t", 12, 1000)
    reporter.table_state("t", "failed", "no space")
    reporter.table_ended("t", TableEnd(state="failed", reason="no space"))
    lines = [re.split(r"[+-]\d\d:\d\d ", line)[1] for line in stream.getvalue().splitlines()]
    assert lines == [
        "INFO    demo-20260106 t: planned 12 chunks, 1,000 rows",
        "ERROR   demo-20260106 t: failed: no space",
    ]


def test_json_lines_carry_what_happened_as_fields() -> None:
    stream = _log(LogFormat.JSON)
    reporter = LogReporter()
    reporter.table_state("t", "extracting", None)
    reporter.plan_ready("t", 12, None)
    reporter.chunk_done("t", 3, 12, 500, 4096)
    reporter.table_ended("t", TableEnd(state="complete", rows=6000, bytes=70_000, seconds=1.5))
    reporter.table_ended("u", TableEnd(state="failed", reason="no", seconds=0.5, error_kind="source", error_code="X-1"))
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in told:
        del line["time"], line["level"], line["run"], line["message"]
    assert told == [
        {"table": "t", "state": "extracting"},
        {"table": "t", "chunks": 12},
        {"table": "t", "chunk": 3, "chunks": 12, "rows": 500, "bytes": 4096},
        {"table": "t", "state": "complete", "rows": 6000, "bytes": 70_000, "seconds": 1.5},
        {"table": "u", "state": "failed", "seconds": 0.5, "error_kind": "source", "error_code": "X-1"},
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("erp.HR.JOBS: 2 rows break the schema", "2 rows break the schema"),
        ("erp.HR.JOBS, chunk 3: a value does not fit", "chunk 3: a value does not fit"),
        ("HR.JOBS cannot be read: ORA-00942", "cannot be read: ORA-00942"),
        ("JOBS cannot be read: ORA-00942", "cannot be read: ORA-00942"),
        ("JOBS_2 cannot be read", "JOBS_2 cannot be read"),
        ("erp.HR.JOBS refers to erp.HR.DEPTS", "refers to erp.HR.DEPTS"),
        ("attempt 1 failed (erp.HR.JOBS: no session); again", "attempt 1 failed (no session); again"),
        ("attempt 1 failed (HR.JOBS cannot be read: gone); again", "attempt 1 failed (cannot be read: gone); again"),
        ("it is complete; afterwards: erp.HR.JOBS: no space", "it is complete; afterwards: no space"),
        ("its tables: JOBS, DEPTS", "its tables: JOBS, DEPTS"),
        ("erp.HR.JOBS_2: no", "erp.HR.JOBS_2: no"),
        ("no space", "no space"),
        ("", ""),
    ],
)
def test_line_says_a_tables_name_once(text: str, told: str) -> None:
    stream = _log(LogFormat.HUMAN)
    assert without_name("erp.HR.JOBS", text) == told
    LogReporter().warning("erp.HR.JOBS", text)
    LogReporter().table_ended("erp.HR.JOBS", TableEnd(state="failed", reason=text))
    LogReporter().table_state("erp.HR.JOBS", "pending", text)
    for line in stream.getvalue().splitlines():
        assert line.split("demo-20260106 ")[1].startswith("erp.HR.JOBS: ")
        assert line.count("JOBS") == 1 + told.count("JOBS")


def test_the_user_that_a_grant_names_can_be_copied_although_the_password_is_the_same_word() -> None:
    redacted = Redactor(["reader", "hunter2"])
    assert redacted("reader may not: GRANT SELECT ON HR.T TO reader; or reader") == (
        "*** may not: GRANT SELECT ON HR.T TO reader; or ***"
    )
    assert redacted("GRANT FLASHBACK ON hunter2.T TO app_reader") == "GRANT FLASHBACK ON ***.T TO app_reader"
    assert redacted("ALTER USER reader ACCOUNT UNLOCK") == "ALTER USER reader ACCOUNT UNLOCK"
    assert redacted("GRANT CREATE SESSION\nTO reader") == "GRANT CREATE SESSION\nTO ***"
