"""Every mistake in a configuration is said with its file, line and key, each once."""

from __future__ import annotations

import re

import pytest

from tests.messages import message, says
from tests.unit.config.config_files import HEAD, ONE, load, problems, table_problems

pytestmark = pytest.mark.usefixtures("config_folder")


def test_six_mistakes_make_six_located_messages():
    found = problems(
        """\
pipeline: prod
sources:
  shop: {type: duckdb, path: "${DATABASE}"}
output: {compresion: zstd}
defaults:
  retry: {initial_delay: 2 seconds}
tables:
  - table_name: ORDERS
    chunking: {strategy: rows}
  - {table_name: orders, source_name: shp}
  - {schema_name: HR}
""",
    )
    assert found == [
        (
            "c.yml:3:30: sources.shop.path: the environment variable DATABASE is not set. "
            "hint: export DATABASE, or give a default: ${DATABASE:-...}"
        ),
        "c.yml:4:10: output.compresion: unknown key. hint: did you mean 'compression'?",
        (
            "c.yml:6:26: defaults.retry.initial_delay: expected a duration such as 500ms, 30s, 1.5h or 1d; "
            "found '2 seconds'"
        ),
        (
            "c.yml:9:26: tables[0].chunking.strategy: expected one of 'auto', 'partition', 'rowid', 'key' or 'none'; "
            "found 'rows'. hint: did you mean 'rowid'?"
        ),
        (
            "c.yml:10:39: tables[1].source_name: expected one of the sources 'shop'; found 'shp'. "
            "hint: did you mean 'shop'?"
        ),
        (
            "c.yml:11:5: tables[2].table_name: this key is missing. "
            "hint: the table, or the name of a custom_query's result"
        ),
    ]


@pytest.mark.parametrize(
    ("entry", "place", "words"),
    [
        (
            "{table_name: NO}",
            "tables[0].table_name",
            message("config.expected", found="NO, which YAML reads as false. hint: quote it: 'NO'"),
        ),
        (
            "{table_name: 007.50}",
            "tables[0].table_name",
            message("config.expected", found="the number 007.50. hint: quote it: '007.50'"),
        ),
        (
            "{table_name: NULL}",
            "tables[0].table_name",
            message("config.expected", found="NULL, which YAML reads as nothing. hint: quote it"),
        ),
        ("{table_name: }", "tables[0].table_name", message("config.expected", expected="text", found="nothing")),
        ("{table_name: ' '}", "tables[0].table_name", message("config.expected", expected="text that is not empty")),
        ("{tablename: A}", "tables[0].tablename", message("config.did_you_mean", key="table_name")),
        ("{table_name: A, table_name: B}", "tables[0].table_name", message("config.duplicate_key")),
        ("{table_name: A, target_rows: 1}", "tables[0].target_rows", message("config.unknown_key")),
        ("[A]", "tables[0]", message("config.expected", expected="a mapping", found="a list")),
        (
            "{table_name: A, is_full_extract: 'true'}",
            "tables[0].is_full_extract",
            message("config.write_it_without_quotes"),
        ),
        (
            "{table_name: A, max_snapshot_restarts: -1}",
            "tables[0].max_snapshot_restarts",
            message("config.number_of_at_least", least=0),
        ),
        (
            "{table_name: A, extraction_date: 2026-02-30}",
            "tables[0].extraction_date",
            message("config.expected", found="'2026-02-30'"),
        ),
        (
            "{table_name: A, incremental_column: B, incremental_timezone: Europe/Madird}",
            "tables[0].incremental_timezone",
            message("config.did_you_mean", key="Europe/Madrid"),
        ),
        (
            "{table_name: A, incremental_column: B, incremental_timezone: America}",
            "tables[0].incremental_timezone",
            message("config.time_zone"),
        ),
        ("{table_name: A, window: day}", "tables[0].window", message("config.needs_an_incremental_column")),
        ("{table_name: A, lookback: 1h}", "tables[0].lookback", message("config.needs_an_incremental_column")),
        (
            "{table_name: A, mark_taken_before: true}",
            "tables[0].mark_taken_before",
            message("config.needs_an_incremental_column"),
        ),
        (
            "{table_name: A, incremental_column: B, mark_taken_before: true, unique: [C]}",
            "tables[0].mark_taken_before",
            message("config.mark_without_lookback"),
        ),
        (
            "{table_name: A, incremental_column: B, mark_taken_before: true, lookback: 1h}",
            "tables[0].mark_taken_before",
            message("config.mark_without_unique"),
        ),
        (
            "{table_name: A, incremental_column: B, mark_taken_before: true, is_full_extract: true}",
            "tables[0].mark_taken_before",
            message("config.mark_in_whole_tables"),
        ),
        (
            "{table_name: A, is_full_extract: false}",
            "tables[0].is_full_extract",
            message("config.needs_an_incremental_column"),
        ),
        (
            "{table_name: A, custom_query: select 1, chunking: {strategy: rowid}}",
            "tables[0].chunking.strategy",
            message("config.cannot_be_cut_by", what="custom_query", strategy="rowid"),
        ),
        (
            "{table_name: A, custom_query: select 1, chunking: {strategy: partition}}",
            "tables[0].chunking.strategy",
            message("config.cannot_be_cut_by", what="custom_query", strategy="partition"),
        ),
        (
            "{table_name: A, chunking: {strategy: key}}",
            "tables[0].chunking.strategy",
            message("config.strategy_needs_a_column"),
        ),
        (
            "{table_name: A, flashback_enabled: true}",
            "tables[0].flashback_enabled",
            message("config.source_has_no_past", type="duckdb"),
        ),
        (
            "{table_name: A, flashback_timestamp: '2026-01-01'}",
            "tables[0].flashback_timestamp",
            message("config.source_has_no_past", type="duckdb"),
        ),
        (
            "{table_name: A, schema: hr.Employee}",
            "tables[0].schema",
            message("config.expected", expected="...schemas/hr.py:Employee", found="'hr.Employee'"),
        ),
        (
            "{table_name: A, schema: 'no.py:Employee'}",
            "tables[0].schema",
            message("config.expected_a_python_file", found="'no.py'"),
        ),
        (
            "{table_name: A, schema: 'hr.py:E', columns: {X: {type: int}}}",
            "tables[0].columns",
            message("config.expected_schema_or_columns"),
        ),
        (
            "{table_name: A, columns: {}}",
            "tables[0].columns",
            message("config.expected", expected="at least one entry", found="an empty mapping"),
        ),
        (
            "{table_name: A, columns: {X: {type: integer}}}",
            "tables[0].columns.X.type",
            message("config.did_you_mean", key="int"),
        ),
        (
            "{table_name: A, columns: {X: {type: int, multiple_of: low}}}",
            "tables[0].columns.X.multiple_of",
            message("config.expected", expected="a number", found="'low'"),
        ),
        (
            "{table_name: A, columns: {X: {type: int, enum: [1.5]}}}",
            "tables[0].columns.X.enum[0]",
            message("config.expected", expected="text or a whole number"),
        ),
        (
            "{table_name: A, retry: {attempts: 1.5}}",
            "tables[0].retry.attempts",
            message("config.expected", expected="a whole number", found="the number 1.5"),
        ),
        (
            "{table_name: A, retry: {initial_delay: 2}}",
            "tables[0].retry.initial_delay",
            message("config.write_seconds", value=2),
        ),
    ],
)
def test_a_mistake_in_an_entry_is_located(entry, place, words):
    (message,) = table_problems(f"  - {entry}\n")
    assert re.match(r"c\.yml:4:\d+: " + re.escape(place) + ": ", message)
    assert says(message, words)


@pytest.mark.parametrize(
    ("text", "start", "words"),
    [
        (
            "[]",
            "c.yml:1:1: ",
            message("config.expected", expected="a mapping with pipeline, sources and tables", found="an empty list"),
        ),
        ("hello", "c.yml:1:1: ", message("config.expected", found="'hello'")),
        (HEAD, "c.yml:1:1: tables: ", message("config.key_is_missing")),
        (
            HEAD + "tables: []",
            "c.yml:3:9: tables: ",
            message("config.expected", expected="at least one entry", found="an empty list"),
        ),
        (HEAD + "tables:", "c.yml:3:8: tables: ", message("config.expected", found="nothing")),
        (HEAD + "tabels: [{table_name: A}]", "c.yml:3:1: tabels: ", message("config.did_you_mean", key="tables")),
        (
            "pipeline: p\nsources: {}\ntables: [{table_name: A}]",
            "c.yml:2:10: sources: ",
            message("config.expected", expected="at least one entry"),
        ),
        (
            ONE + "execution: {engine: flink}",
            "c.yml:4:21: execution.engine: ",
            message("config.expected", expected="one of 'local', 'spark'", found="'flink'"),
        ),
        (
            ONE + "execution: {spark: {master: local, remote: 'sc://h'}}",
            "c.yml:4:20: execution.spark: ",
            message("config.expected", expected="either `master` or `remote`"),
        ),
        (
            ONE + "execution: {workers: 0}",
            "c.yml:4:22: execution.workers: ",
            message("config.number_of_at_least", least=1),
        ),
        (
            ONE + "states: {on_enter: {faild: []}}",
            "c.yml:4:21: states.on_enter.faild: ",
            message("config.did_you_mean", key="failed"),
        ),
        (
            ONE + "output: {row_group_bytes: 0}",
            "c.yml:4:27: output.row_group_bytes: ",
            message("config.expected", expected="a number above 0"),
        ),
        (
            ONE + "states: {pending: {timeout: 0s}}",
            "c.yml:4:29: states.pending.timeout: ",
            message("config.expected", expected="a duration above zero"),
        ),
        (ONE + "defaults:", "c.yml:4:10: defaults: ", message("config.leave_the_key_out")),
        (
            "pipeline: p\nsources: {s: {type: orcale, host: x, port: 1521}}\ntables: [{table_name: A}]",
            "c.yml:2:21: sources.s.type: ",
            message("config.expected", expected="one of 'duckdb', 'oracle'", found="'orcale'"),
        ),
    ],
)
def test_a_mistake_elsewhere_is_located(text, start, words):
    (message,) = problems(text)
    assert message.startswith(start)
    assert says(message, words)


@pytest.mark.parametrize(
    ("keys", "place", "words"),
    [
        ("write: merge", "tables[0].unique", message("config.merge_needs_one_key", count=0)),
        ("unique: [B, C]", "tables[0].unique", message("config.merge_needs_one_key", count=2)),
        ("unique: [[B, C]], on_violation: warn", "tables[0].on_violation", message("config.merge_with_equal_keys")),
    ],
)
def test_a_merge_needs_a_key_that_is_kept(keys, place, words):
    head = "pipeline: p\nsources: {a: {type: duckdb, path: x}}\noutput: {format: delta, write: merge}\n"
    (said,) = problems(f"{head}tables: [{{table_name: A, {keys}}}]")
    assert re.match(r"c\.yml:4:\d+: " + re.escape(place) + ": ", said)
    assert says(said, words)


def test_a_missing_source_name_is_asked_for_where_there_are_several():
    text = "pipeline: p\nsources: {a: {type: duckdb, path: x}, b: {type: duckdb, path: y}}\ntables: [{table_name: A}]"
    assert problems(text) == [
        "c.yml:3:10: tables[0].source_name: this key is missing, and there are 2 sources. hint: one of 'a', 'b'"
    ]


def test_entries_with_one_folder_are_told_apart_by_path_name():
    entries = "  - {schema_name: HR, table_name: JOBS}\n  - {schema_name: OE, table_name: jobs}\n"
    (message,) = table_problems(entries)
    assert message.startswith("c.yml:5:35: tables[1].table_name: tables[0] writes to the same folder.")
    assert message.endswith("path_name, such as OE_jobs")
    assert (
        len(load(HEAD + "tables:\n" + entries.replace("table_name: jobs", "table_name: jobs, path_name: oe")).tables)
        == 2
    )
    assert table_problems("  - {table_name: A/B}\n  - {table_name: C, path_name: a/b}\n")[0].startswith(
        "c.yml:5:32: tables[1].path_name: "
    )


def test_a_mistake_that_defaults_bring_about_is_shown_there():
    text = (
        HEAD
        + "defaults: {flashback_enabled: true, is_full_extract: false}\n"
        + "tables: [{table_name: A, is_full_extract: true}]"
    )
    assert problems(text) == [
        (
            "c.yml:3:31: defaults.flashback_enabled: a duckdb source cannot read at an earlier time (for tables[0]). "
            "hint: leave this key out"
        ),
    ]


def test_a_mistake_in_an_entry_and_one_in_its_defaults_are_both_shown():
    text = HEAD.replace("}}", "}, b: {type: duckdb, path: y}}") + "defaults: {source_name: null}\ntables: [{}]"
    assert [message.split(" ")[1] for message in problems(text)] == [
        "defaults.source_name:",
        "tables[0].table_name:",
    ]


def test_a_key_that_cannot_be_read_is_not_missed_a_second_time():
    assert len(table_problems("  - {table_name: A, incremental_column: 7, window: day, is_full_extract: false}\n")) == 1
    assert len(table_problems("  - {table_name: A, custom_query: 7, chunking: {strategy: rowid}}\n")) == 1
    assert len(problems(HEAD.replace("shop.duckdb", "7") + "tables: [{table_name: A, source_name: shop}]")) == 1


def test_mistakes_in_both_files_are_located_in_theirs():
    text = HEAD + "defaults: {verify: fully}\n"
    tables = """[
  {"table_name": 1},
  {"table_name": "A", "sourcename": "shop"},
  {"table_name": "${T}", "table_name": "A"}
]"""
    assert [message.partition(". hint")[0] for message in problems(text, tables=tables, suffix="json")] == [
        "c.yml:3:20: defaults.verify: expected one of 'full' or 'quick'; found 'fully'",
        "t.json:2:18: tables[0].table_name: expected text; found the number 1",
        "t.json:3:23: tables[1].sourcename: unknown key",
        "t.json:4:18: tables[2].table_name: the environment variable T is not set",
        "t.json:4:26: tables[2].table_name: duplicate key; the first is on line 4",
    ]
