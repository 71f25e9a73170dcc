"""What is told of an error where values of rows may not be told."""

import duckdb
import oracledb
import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.config.loader import pipeline_of
from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.engines.worker import WorkRequest, execute
from statekeeper.errors import DataError, SourceError
from statekeeper.sources.duckdb import errors as duckdb_errors
from statekeeper.sources.oracle import errors as oracle_errors
from statekeeper.system_errors import as_system_error
from statekeeper.text.privacy import RowValues, text_of, trace_of
from tests.messages import says

MARKER = "zq7marker"


def crash(spec, context):
    try:
        int(spec)
    except ValueError as error:
        raise KeyError(spec) from error


def refuse(spec, context):
    raise DataError(f"the value {spec} is wrong", discreet="a value is wrong").within("shop.t")


def done(work, values):
    sessions = Sessions("100MB")
    context = ProcessContext(sessions, memory_limit="100MB", is_stopping=lambda: False, report=lambda _: None)
    raised = execute(WorkRequest(work, MARKER, None, (), values), context, sessions).raised
    assert raised is not None
    return raised.message


def test_error_nobody_has_foreseen_leaves_a_worker_with_its_trace_and_without_its_text():
    told = done(crash, RowValues.HIDDEN)
    assert MARKER not in told
    assert says(told, "engines.unexpected_error", error="KeyError")
    assert all(f"in {name}" in told for name in ("crash", "execute"))
    assert MARKER in done(crash, RowValues.SHOWN)


def test_place_of_an_error_is_told_with_and_without_values():
    assert done(refuse, RowValues.HIDDEN) == "shop.t: a value is wrong"
    assert done(refuse, RowValues.SHOWN) == f"shop.t: the value {MARKER} is wrong"


def test_trace_without_texts_ends_with_the_error_and_begins_with_its_cause():
    try:
        crash(MARKER, None)
    except KeyError as error:
        trace = trace_of(error, RowValues.HIDDEN)
    assert trace.index("ValueError (show_values") < trace.index("KeyError (show_values")
    assert MARKER not in trace


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"ORA-01722: unable to convert string value containing '{MARKER}' to a number", "t: ORA-01722"),
        (f"ORA-20001: no such customer: {MARKER}", "t: ORA-20001"),
        (f"something of {MARKER}", "t: an error of the driver"),
        ("ORA-00942: table or view does not exist", "t: ORA-00942: table or view does not exist"),
        ("ORA-03113: end-of-file on communication channel", "t: ORA-03113: end-of-file on communication channel"),
    ],
)
def test_text_of_oracle_that_may_quote_a_value_is_told_by_its_code(text, told):
    with pytest.raises((SourceError, DataError)) as raised, oracle_errors.translated("t"):
        raise oracledb.DatabaseError(text)
    assert text_of(raised.value, RowValues.HIDDEN) == told
    assert text_of(raised.value, RowValues.SHOWN) == f"t: {text}"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (f"select '{MARKER}'::int", "t: Conversion Error"),
        (f"select error('{MARKER}')", "t: Invalid Input Error"),
        ("select * from nowhere", "t: Catalog Error: Table with name nowhere does not exist"),
    ],
)
def test_text_of_duckdb_that_may_quote_a_value_is_told_by_its_class(query, told):
    with pytest.raises((SourceError, DataError)) as raised, duckdb_errors.translated("t"):
        duckdb.sql(query).fetchall()
    assert text_of(raised.value, RowValues.HIDDEN).startswith(told)
    assert MARKER not in text_of(raised.value, RowValues.HIDDEN)


def test_nearest_switch_decides_of_the_pipeline_its_defaults_and_the_table():
    def shown(table, **sections):
        source = {"type": "duckdb", "path": "x.duckdb"}
        pipeline = pipeline_of({"sources": {"s": source}, "tables": [{"table_name": "t", **table}], **sections})
        assert (pipeline.private_tables == frozenset()) is pipeline.tables[0].show_values
        return pipeline.tables[0].show_values, pipeline.tables[0].samples

    assert shown({}) == (True, 5)
    assert shown({}, show_values=False) == (False, 0)
    assert shown({}, defaults={"show_values": False, "sample_rows": 3}) == (False, 0)
    assert shown({"show_values": True, "sample_rows": 3}, show_values=False) == (True, 3)
    assert shown({"show_values": False}) == (False, 0)
    assert shown({}, defaults={"show_values": True}, show_values=False) == (True, 5)


def test_single_table_of_a_configured_extractor_hides_values_as_its_pipeline_does(tmp_path):
    (tmp_path / "p.yml").write_text(
        "pipeline: p\nshow_values: false\nsources: {s: {type: duckdb, path: x.duckdb}}\ntables: [{table_name: t}]\n"
    )
    extractor = StatefulDataExtractor.from_config(tmp_path / "p.yml")
    runner = extractor._runner_of([{"source_name": "s", "table_name": "other"}], "2026-01-06", None)
    assert runner.pipeline.private_tables == {"s.other"}


def test_what_the_system_refuses_is_told_without_a_text_that_may_quote_a_value():
    for error, told in (
        (OSError(f"Conversion Error: {MARKER}"), "the system refused (OSError)"),
        (OSError(28, "No space left on device"), "the system refused: No space left on device (ENOSPC)"),
    ):
        known = as_system_error(error)
        assert known is not None
        assert text_of(known, RowValues.HIDDEN) == told
