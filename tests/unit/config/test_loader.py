import json
import pickle
import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from statekeeper.config.loader import load_pipeline, pipeline_of
from statekeeper.config.resolved import (
    ChunkingStrategy,
    Compression,
    Pipeline,
    Reconcile,
    Verify,
    WindowKind,
)
from statekeeper.errors import ConfigError
from statekeeper.model.record import State
from tests.messages import message, says

HEAD = "pipeline: p\nsources: {shop: {type: duckdb, path: shop.duckdb}}\n"
ONE = HEAD + "tables: [{table_name: A}]\n"
FULL = """\
pipeline: prod
sources:
  crm: {type: duckdb, path: "${CRM:-data/crm.duckdb}"}
  shop:
    type: duckdb
    path: data/${NAME}.duckdb
    max_sessions: ${SESSIONS:-3}
output: {base_path: out, compression: snappy, row_group_bytes: 64MB, lock: lease, lease_ttl: 2m}
execution: {engine: local, workers: 2, active_tables: 3, memory_limit: 2GiB}
extraction_date: yesterday
defaults:
  source_name: shop
  chunking: {strategy: key, column: ID, target_rows: 1_000}
  verify: quick
  retry: {attempts: 9, initial_delay: 1s}
  window: watermark
states:
  extracting: {timeout: 6h}
  on_enter:
    failed:
      - webhook: https://hooks.example.com/${TOKEN}
tables:
  - {schema_name: HR, table_name: EMPLOYEES, schema: "hr.py:Employee", reconcile: none}
  - table_name: ORDERS
    incremental_column: UPDATED_AT
    lookback: 1h
    incremental_timezone: Europe/Madrid
    chunking: {target_rows: 7}
    retry: {max_delay: 10s}
    verify: null
  - table_name: big
    source_name: crm
    custom_query: select '$${x}' from t as of {as_of}
    chunking: {strategy: none}
    columns: {ID: {type: int, ge: 0.10000000000000000000001, nullable: "${NULLS:-no}"}, NO: {type: str}}
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("hr.py").write_text("class Employee: ...\n")


def load(text, *, environ=None, tables=None, suffix="yml"):
    Path("c.yml").write_text(text, encoding="utf-8")
    if tables is not None:
        Path(f"t.{suffix}").write_text(tables, encoding="utf-8")
    tables_path = None if tables is None else Path(f"t.{suffix}")
    return load_pipeline(Path("c.yml"), environ=environ or {}, tables_path=tables_path)


def problems(text, **options):
    with pytest.raises(ConfigError) as caught:
        load(text, **options)
    assert caught.value.exit_code == 2
    return caught.value.message.splitlines()


def table_problems(entries):
    return problems(f"{HEAD}tables:\n{entries}")


def test_a_whole_configuration_is_resolved():
    pipeline = load(FULL, environ={"NAME": "big", "TOKEN": "hunter2"})
    assert (pipeline.name, pipeline.path, pipeline.extraction_date) == ("prod", "c.yml", "yesterday")
    assert pipeline.sources["crm"].path == "data/crm.duckdb"
    assert pipeline.sources["shop"].path == "data/big.duckdb"
    assert pipeline.sources["shop"].max_sessions == 3
    assert pipeline.output.compression is Compression.SNAPPY
    assert pipeline.output.row_group_bytes == 64_000_000
    assert pipeline.execution.memory_limit == 2 * 1024**3
    assert pipeline.states.timeout(State.EXTRACTING) == timedelta(hours=6)
    assert pipeline.states.hooks(State.FAILED)[0].webhook.get_secret_value() == "https://hooks.example.com/hunter2"

    employees, orders, big = pipeline.tables
    assert employees.table.key == "shop.HR.EMPLOYEES"
    assert employees.source is pipeline.sources["shop"]
    assert employees.relation.label == "HR.EMPLOYEES"
    assert employees.model.path == "hr.py:Employee"
    assert employees.reconcile is Reconcile.NONE
    assert employees.is_full_extract
    assert employees.incremental is None
    assert employees.declared_at == "c.yml:23:5: tables[0]"

    assert not orders.is_full_extract
    assert orders.incremental.kind is WindowKind.WATERMARK
    assert orders.incremental.timezone == "Europe/Madrid"
    assert orders.incremental.lookback == timedelta(hours=1)

    assert big.custom_query == "select '${x}' from t as of {as_of}"
    assert big.relation.table_name is None
    assert list(big.model.columns) == ["ID", "NO"]
    assert big.model.columns["ID"].ge == Decimal("0.10000000000000000000001")
    assert big.model.columns["ID"].nullable is False


def test_defaults_lie_under_each_table_key_by_key():
    employees, orders, big = load(FULL, environ={"NAME": "x", "TOKEN": "x"}).tables
    assert employees.chunking.strategy is ChunkingStrategy.KEY
    assert (orders.chunking.column, orders.chunking.target_rows) == ("ID", 7)
    assert big.chunking.strategy is ChunkingStrategy.NONE
    assert big.chunking.target_rows == 1000
    assert (orders.retry.attempts, orders.retry.initial_delay) == (9, timedelta(seconds=1))
    assert orders.retry.max_delay == timedelta(seconds=10)
    assert employees.verify is Verify.QUICK
    assert orders.verify is Verify.FULL, "null is the built-in default"
    assert big.table.source_name == "crm"


def test_a_schema_of_the_entry_hides_the_other_kind_in_the_defaults():
    text = (
        HEAD
        + "defaults: {schema: 'hr.py:Employee'}\ntables: [{table_name: A, columns: {X: {type: int}}}, {table_name: B}]"
    )
    first, second = load(text).tables
    assert (first.model.path, list(first.model.columns)) == (None, ["X"])
    assert second.model.path == "hr.py:Employee"


def test_a_column_may_be_called_key():
    (table,) = load(HEAD + "tables: [{table_name: A, chunking: {strategy: key, key: ID}}]").tables
    assert table.chunking.column == "ID"


def test_secrets_are_in_no_rendering_of_a_pipeline():
    pipeline = load(FULL, environ={"NAME": "x", "TOKEN": "hunter2"})
    assert "hunter2" not in repr(pipeline)
    assert "hunter2" not in str(pipeline.states)
    assert pickle.loads(pickle.dumps(pipeline)) == pipeline


def test_the_fingerprint_is_of_the_text_before_references():
    first = load(FULL, environ={"NAME": "x", "TOKEN": "a"})
    assert first.fingerprint == load(FULL, environ={"NAME": "y", "TOKEN": "b"}).fingerprint
    assert first.fingerprint != load(FULL + "#", environ={"NAME": "x", "TOKEN": "a"}).fingerprint
    tables = '[{"table_name": "A"}]'
    with_tables = load(FULL, environ={"NAME": "x", "TOKEN": "a"}, tables=tables)
    assert first.fingerprint != with_tables.fingerprint
    assert with_tables.fingerprint != load(FULL, environ={"NAME": "x", "TOKEN": "a"}, tables=tables + " ").fingerprint


def test_identity_is_of_the_data_not_of_the_budget():
    assert load(HEAD + "tables: [{table_name: A}]").sources["shop"].identity_settings() == {"path": "shop.duckdb"}


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


def test_numbers_and_truth_values_may_come_through_references():
    text = HEAD + "execution: {workers: '${W}'}\ntables: [{table_name: A, is_full_extract: '${FULL:-yes}'}]"
    pipeline = load(text, environ={"W": "3"})
    assert pipeline.execution.workers == 3
    assert pipeline.tables[0].is_full_extract


def test_the_value_of_a_reference_is_never_shown():
    text = (
        HEAD
        + "execution: {workers: '${W}', engine: '${W}'}\noutput: {lease_ttl: '${W}'}\n"
        + "tables: [{table_name: A, source_name: '${W}'}]"
    )
    found = problems(text, environ={"W": "hunter2"})
    assert len(found) == 4
    assert all("the value of ${W}" in message and "hunter2" not in message for message in found)


def test_a_secret_is_never_shown_however_it_is_written():
    hooks = ["webhook: 8731", "webhook: [8731]", "webhook: ftp://8731", "webhook: 'http://[8731'", "webhok: 8731"]
    text = ONE + "states: {on_enter: {failed: [{%s}]}}"
    for hook in hooks:
        found = problems(text % hook)
        assert found
        assert "8731" not in "".join(found)


def test_a_secret_is_not_in_the_chain_of_causes():
    with pytest.raises(ConfigError) as caught:
        load(ONE + "states: {on_enter: {failed: [{webhook: ftp://hunter2}]}}")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


SEEDS = {
    "source_name": "shop",
    "table_name": "ORDERS",
    "schema_name": "SALES",
    "incremental_column": "UPDATED_AT",
    "extraction_date": "2026-01-31",
    "is_full_extract": False,
    "custom_query": None,
    "flashback_enabled": False,
    "flashback_timestamp": None,
    "run_id": "p-20260131",
}


@pytest.mark.parametrize("suffix", ["json", "yml"])
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_file_of_tables_replaces_those_of_the_configuration(suffix, is_wrapped):
    entries = [SEEDS, {"table_name": "OTHER"}]
    text = json.dumps({"tables": entries} if is_wrapped else entries, indent="\t" if suffix == "json" else 1)
    pipeline = load(HEAD + "tables: [{table_name: ONE}]", tables=text, suffix=suffix)
    orders, other = pipeline.tables
    assert pipeline.tables_path == f"t.{suffix}"
    assert orders.table.key == "shop.SALES.ORDERS"
    assert orders.incremental.column == "UPDATED_AT"
    assert (orders.extraction_date, orders.run_id) == ("2026-01-31", "p-20260131")
    assert other.table.key == "shop.OTHER"
    assert [table.table.key for table in load(HEAD, tables=text, suffix=suffix).tables] == [
        "shop.SALES.ORDERS",
        "shop.OTHER",
    ]


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


@pytest.mark.parametrize("tables", ["3", '"x"', "{}", "[]", "null", '{"tables": {}}', '{"table": []}'])
def test_a_file_that_is_no_list_of_tables_is_refused(tables):
    (message, *_) = problems(HEAD, tables=tables, suffix="json")
    assert message.startswith("t.json:1:")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    Path("latin.yml").write_bytes(b"pipeline: p\nx: \xe9\n")
    for name, words in [
        ("none.yml", "there is no such file"),
        (".", "found a folder"),
        ("latin.yml", "latin.yml:2:4: expected text in UTF-8; found the byte 0xe9"),
        ("a\0b", "cannot be read"),
        ("x" * 5000, "cannot be read"),
        ("hr.py/c.yml", "cannot be read"),
    ]:
        with pytest.raises(ConfigError, match=re.escape(words)):
            load_pipeline(Path(name), environ={})


def test_a_byte_order_mark_is_no_text():
    Path("c.yml").write_bytes(b"\xef\xbb\xbf" + (HEAD + "tables: [{table_name: A}]").encode())
    assert load_pipeline(Path("c.yml"), environ={}).name == "p"


MAPPING = {"sources": {"shop": {"type": "duckdb", "path": Path("shop.duckdb")}}, "tables": [{"table_name": "A"}]}
GARBAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["${A}", "${", "1d", "key"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["table_name", "type", "key", "", "x"]), inner)
    ),
    max_leaves=5,
)


def _paths(data, path=()):
    yield path
    for key, value in data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ():
        yield from _paths(value, (*path, key))


def _replaced(data, path, value):
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = _replaced(data[path[0]], path[1:], value)
    return copy


FULL_DATA = yaml.safe_load(FULL)


def _only_config_errors(load_it):
    try:
        pipeline = load_it()
    except ConfigError:
        return
    assert isinstance(pipeline, Pipeline)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(_paths(FULL_DATA))), GARBAGE), min_size=1, max_size=3))
def test_a_damaged_configuration_raises_nothing_but_config_errors(changes):
    data = FULL_DATA
    for path, value in changes:
        try:
            data = _replaced(data, path, value)
        except (KeyError, IndexError, TypeError):
            continue
    text = yaml.safe_dump(data, allow_unicode=True)
    _only_config_errors(lambda: load(text, environ={"A": "x", "NAME": "n", "TOKEN": "t"}))
    if isinstance(data, dict):
        _only_config_errors(lambda: pipeline_of(data))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text(st.sampled_from("abc:-{}[]&*!|>'\"%@#,?\n\t 01.~<=$"), max_size=60)
    | st.text(max_size=60)
    | st.binary(max_size=60)
)
@example("tables: [{table_name: A}]\n? [x]\n: y")
@example("a: &x [*x]")
def test_any_file_at_all_raises_nothing_but_config_errors(text):
    content = text if isinstance(text, bytes) else text.encode(errors="replace")
    for name in ("any.yml", "any.json"):
        Path(name).write_bytes(content)
        _only_config_errors(lambda name=name: load_pipeline(Path(name), environ={}))
        Path("c.yml").write_text(HEAD)
        _only_config_errors(lambda name=name: load_pipeline(Path("c.yml"), environ={}, tables_path=Path(name)))
