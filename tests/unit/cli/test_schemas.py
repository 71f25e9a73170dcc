"""`statekeeper schemas`: what it infers runs as it stands, what it says of a drift a run says too, what it exports
describes the rows.
"""

from __future__ import annotations

import io
import json
import re
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from statekeeper.cli import app
from statekeeper.cli.differences import show_differences
from statekeeper.cli.screen import Screen
from statekeeper.config.loader import load_pipeline
from statekeeper.model.preview import TablePlan
from statekeeper.run.preview import compare_tables, preview_tables
from statekeeper.schemas.columns.differences import DiffReport
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.load import load_model
from tests.unit.small_shop import Shop

EVERY_TYPE = {
    "a_tinyint": ("TINYINT", "-128"),
    "a_ubigint": ("UBIGINT", "18446744073709551615"),
    "a_hugeint": ("HUGEINT", "99999999999999999999999999999999999999"),
    "a_bignum": ("BIGNUM", "'1' || repeat('0', 50)"),
    "a_float": ("FLOAT", "0.1"),
    "a_double": ("DOUBLE", "0.1"),
    "a_bool": ("BOOLEAN", "true"),
    "a_decimal": ("DECIMAL(38,10)", "9999999999999999999999999999.9999999999"),
    "a_text": ("VARCHAR", "'żółw'"),
    "a json": ("JSON", "'{\"a\": 1}'"),
    "a_uuid": ("UUID", "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'"),
    "a_blob": ("BLOB", "'\\x00\\xff'"),
    "a_date": ("DATE", "'0001-01-01'"),
    "a_time": ("TIME", "'23:59:59.999999'"),
    "a_timestamp": ("TIMESTAMP", "'9999-12-31 23:59:59.999999'"),
    "a_moment": ("TIMESTAMPTZ", "'2026-01-06 12:00:00+00'"),
    "a_timestamp_ns": ("TIMESTAMP_NS", "'2026-01-06 12:00:00.123456'"),
    "an_enum": ("ENUM('it''s', '${HOME}', '[x, y]')", "'${HOME}'"),
    "class": ("INTEGER", "1"),
    "yes": ("INTEGER", "1"),
    "$${x}": ("INTEGER", "1"),
}
CONFIG = """
pipeline: p
extraction_date: 2026-01-06
sources: {shop: {type: duckdb, path: shop.duckdb}}
output: {base_path: data}
execution: {workers: 1}
tables:
"""


def sql(*statements: str) -> None:
    with duckdb.connect("shop.duckdb") as connection:
        for statement in statements:
            connection.execute(statement)


def run_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = app.run_command(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, _) in EVERY_TYPE.items())
    sql(
        f"CREATE TABLE every_type (id BIGINT NOT NULL, {columns})",
        f"INSERT INTO every_type VALUES (1, {', '.join(value for _, value in EVERY_TYPE.values())})",
        "INSERT INTO every_type (id) VALUES (2)",
    )
    return tmp_path


@pytest.mark.parametrize("form", ["models", "columns"])
def test_what_is_inferred_takes_the_table_in_a_real_run(here, capsys, form):
    Path("p.yml").write_text(CONFIG + "  - {table_name: every_type}\n")
    if form == "models":
        code, out, _ = run_of("schemas", "infer", "p.yml", "--out", "schemas/p.py", capsys=capsys)
        Path("p.yml").write_text(CONFIG + "  - {table_name: every_type, schema: schemas/p.py:EveryType}\n")
        command = ["p.yml"]
    else:
        code, out, _ = run_of("schemas", "infer", "p.yml", "--inline", "--out", "tables.yml", capsys=capsys)
        command = ["p.yml", "--tables", "tables.yml"]
    assert (code, out.splitlines()[0].split(":")[1]) == (0, " 1 table")
    code, out, err = run_of("run", *command, "--no-progress", capsys=capsys)
    assert code == 0, out + err
    rows = pq.read_table("data/shop/every_type/202601/06/p-20260106.parquet").to_pylist()
    assert [row["id"] for row in rows] == [1, 2]
    assert rows[0]["a_decimal"] == Decimal("9999999999999999999999999999.9999999999")
    assert rows[0]["a_hugeint"] == Decimal(10**38 - 1)
    assert rows[1] == {"id": 2, **dict.fromkeys(EVERY_TYPE)}
    if form == "models":
        code, out, _ = run_of("schemas", "diff", "p.yml", capsys=capsys)
        same = "shop.every_type (schemas/p.py:EveryType): same\n1 same\nnext: statekeeper plan p.yml\n"
        assert (code, out) == (0, same)


def test_models_and_inline_columns_mean_the_same(here, capsys):
    Path("p.yml").write_text(CONFIG + "  - {table_name: every_type}\n")
    for words in (["--out", "p.py"], ["--inline", "--out", "t.yml"]):
        assert run_of("schemas", "infer", "p.yml", *words, capsys=capsys)[::2] == (0, "")
    Path("p.yml").write_text(CONFIG + "  - {table_name: every_type, schema: p.py:EveryType}\n")
    (by_class,) = load_pipeline(Path("p.yml"), environ={}).tables
    (by_rules,) = load_pipeline(Path("p.yml"), environ={"HOME": "wrong"}, tables_path=Path("t.yml")).tables
    shapes = [
        {
            part.key: (part.kind, part.is_nullable, part.members, dict(part.constraints))
            for part in read_model(load_model(config.model, base=here)).fields
        }
        for config in (by_class, by_rules)
    ]
    assert shapes[0] == shapes[1]
    assert list(shapes[0]) == ["id", *EVERY_TYPE]


def test_without_a_config_the_database_is_named_and_the_text_is_printed(here, capsys):
    code, out, err = run_of("schemas", "infer", "--duckdb", "shop.duckdb", "--table", "every_type", capsys=capsys)
    assert (code, err) == (0, "")
    assert "class EveryType(Row):\n" in out
    assert '    an_enum: Literal["it\'s", "${HOME}", "[x, y]"] | None\n' in out
    assert not list(here.glob("*.py"))
    code, out, _ = run_of("schemas", "infer", "--duckdb", "shop.duckdb", "--json", capsys=capsys)
    document = json.loads(out)
    assert (document["form"], document["tables"], document["out"]) == (
        "models",
        [{"table": "main.every_type", "model": "EveryType"}],
        None,
    )
    compile(document["text"], "p.py", "exec")


def test_a_file_is_replaced_only_by_force_and_not_by_a_failure(here, capsys):
    Path("p.py").write_text("mine")
    words = ("schemas", "infer", "--duckdb", "shop.duckdb", "--out", "p.py")
    code, _, err = run_of(*words, capsys=capsys)
    assert (code, err.splitlines()) == (
        2,
        ["error: p.py already exists and is not overwritten", "hint: choose another --out, or add --force"],
    )
    assert run_of(*words, "--force", "--table", "missing", capsys=capsys)[0] == 1
    assert Path("p.py").read_text() == "mine"
    assert run_of(*words, "--force", capsys=capsys)[0] == 0
    assert "class EveryType(Row):" in Path("p.py").read_text()
    assert sorted(path.name for path in here.iterdir()) == ["p.py", "shop.duckdb"]


@pytest.mark.parametrize("words", [["--duckdb", "shop.duckdb"], ["--schema", "main"], ["--user", "me"]])
def test_a_config_and_a_database_beside_it_is_one_too_many(here, capsys, words):
    Path("p.yml").write_text(CONFIG + "  - {table_name: every_type}\n")
    code, _, err = run_of("schemas", "infer", "p.yml", *words, capsys=capsys)
    assert (code, err) == (2, "error: CONFIG already names the sources; found options of a database, too\n")


@pytest.mark.parametrize("form", [[], ["--inline"]])
def test_a_table_that_cannot_be_extracted_is_left_out_with_the_reason(here, capsys, form):
    sql("CREATE TABLE spans (id INTEGER, span INTERVAL)", "CREATE TABLE good (id INTEGER)")
    Path("p.yml").write_text(CONFIG + "".join(f"  - {{table_name: {name}}}\n" for name in ("spans", "good", "gone")))
    code, out, err = run_of("schemas", "infer", "p.yml", *form, capsys=capsys)
    assert code == 1
    assert err.startswith("shop.spans cannot be extracted as it is:\n  column span (INTERVAL) has no exact Arrow type")
    assert "shop.gone cannot be extracted as it is:\n  " in err
    assert re.search(r"^ *#  .*column span \(INTERVAL\) has no", out, re.MULTILINE)
    assert ("class Good(Row)" in out) is not bool(form)
    assert ("\n    table_name: good\n" in out) is bool(form)


def test_a_query_gets_a_schema_and_is_not_written_down(here, capsys, monkeypatch):
    monkeypatch.setenv("KEY", "hunter2")
    query = "select id, 'key=${KEY}' as note from every_type"
    Path("p.yml").write_text(CONFIG + f'  - {{table_name: noted, custom_query: "{query}"}}\n')
    for form in ([], ["--inline"]):
        code, out, _ = run_of("schemas", "infer", "p.yml", *form, capsys=capsys)
        assert (code, "hunter2" in out) == (0, False)
    assert "    # custom_query: as it is in the configuration\n    columns:\n      id: {type: int" in out


def test_a_source_that_is_not_there_is_exit_4(here, capsys):
    Path("p.yml").write_text(CONFIG.replace("shop.duckdb", "none.duckdb") + "  - {table_name: every_type}\n")
    for command in ("infer", "diff"):
        assert run_of("schemas", command, "p.yml", capsys=capsys)[0] == 4


DRIFTED = {
    "new": "ALTER TABLE orders ADD COLUMN extra VARCHAR",
    "lost": "ALTER TABLE orders DROP COLUMN note",
    "retyped": "ALTER TABLE orders ALTER id TYPE DOUBLE",
    "nullability": "ALTER TABLE orders ALTER id DROP NOT NULL",
}
ORDERS = {"table_name": "orders", "columns": {"id": {"type": "int"}, "note": {"type": "str", "nullable": True}}}
SIDES = {
    "new": ("extra", "VARCHAR", None),
    "lost": ("note", None, "str | None"),
    "retyped": ("id", "DOUBLE not null", "int"),
    "nullability": ("id", "BIGINT", "int"),
}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.execute("CREATE TABLE orders (id BIGINT NOT NULL, note VARCHAR)")
    return shop


def compared(shop: Shop, entry: dict) -> DiffReport:
    runner = shop.runner(entry)
    return compare_tables(runner, runner.pipeline.tables)


def planned(shop: Shop, entry: dict) -> TablePlan:
    runner = shop.runner(entry)
    return preview_tables(runner, runner.pipeline.tables).tables[0]


@pytest.mark.parametrize("kind", DRIFTED)
def test_what_diff_says_of_a_drift_is_what_a_run_says(shop, kind):
    assert (compared(shop, ORDERS).exit_code, compared(shop, ORDERS).tables[0].verdict) == (0, "same")
    shop.execute(DRIFTED[kind])
    report = compared(shop, ORDERS)
    Draft202012Validator(_own_schema("schemas-diff")).validate(json.loads(report.model_dump_json()))
    (difference,) = report.tables[0].differences
    assert (report.exit_code, difference.kind) == (1, kind)
    assert (difference.name, difference.table, difference.model) == SIDES[kind]
    plan = planned(shop, ORDERS)
    assert (plan.verdict == "refuse") is report.tables[0].is_refused is difference.is_refused
    told = plan.failure.message if plan.failure else ""
    assert (difference.message in told) is difference.is_refused
    printed = io.StringIO()
    show_differences(report, Screen(printed, is_terminal=False), infer=str)
    sides = f"table: {SIDES[kind][1] or '-'}, model: {SIDES[kind][2] or '-'}"
    assert f"  {kind} {difference.name}  {sides}\n" in printed.getvalue()
    assert f"    do: {difference.remedy}\n" in printed.getvalue()


@pytest.mark.parametrize(("policy", "is_refused"), [("fail", True), ("ignore-new", False), ("evolve", False)])
def test_whether_a_run_would_go_on_is_for_the_policy_to_say(shop, policy, is_refused):
    shop.execute(DRIFTED["new"])
    entry = {**ORDERS, "on_drift": policy}
    report = compared(shop, entry)
    assert (report.exit_code, report.tables[0].is_refused) == (1, is_refused)
    assert (planned(shop, entry).verdict == "refuse") is is_refused
    assert report.only_refused().exit_code == int(is_refused)


def test_diff_prints_what_differs_and_its_exit_code_says_so(here, capsys):
    Path("p.yml").write_text(CONFIG + "  - {table_name: every_type, columns: {id: {type: int, nullable: true}}}\n")
    code, out, _ = run_of("schemas", "diff", "p.yml", "--json", capsys=capsys)
    report = json.loads(out)
    assert (code, report["exit_code"], report["tables"][0]["is_refused"]) == (1, 1, True)
    assert len(report["tables"][0]["differences"]) == 1 + len(EVERY_TYPE)
    code, out, _ = run_of("schemas", "diff", "p.yml", "--refused-only", capsys=capsys)
    assert (code, out.splitlines()[0]) == (1, "shop.every_type (columns): different: a run would refuse it")
    assert "nullability id" not in out


def test_diff_names_a_lost_table_and_one_without_a_model_and_says_nothing_of_null_in_queries(here, capsys):
    sql("CREATE TABLE orders (id BIGINT NOT NULL)")
    Path("p.yml").write_text(
        CONFIG
        + "  - {table_name: gone, columns: {id: {type: int}}}\n"
        + "  - {table_name: orders}\n"
        + "  - {table_name: q, custom_query: select id from orders, columns: {id: {type: int}}}\n"
    )
    code, out, _ = run_of("schemas", "diff", "p.yml", capsys=capsys)
    lines = out.splitlines()
    assert code == 1
    assert lines[0].startswith("shop.gone (columns): cannot be compared: ")
    assert (
        "shop.orders: no schema is declared; `statekeeper schemas infer p.yml --table shop.orders` drafts one" in lines
    )
    assert lines[-3:] == [
        "shop.q (columns): same",
        "1 failed, 1 no model, 1 same",
        "next, after a model or a table is changed: statekeeper schemas diff p.yml",
    ]
    assert run_of("schemas", "diff", "p.yml", "--table", "q", capsys=capsys)[0] == 0
    assert run_of("schemas", "diff", "p.yml", "--table", "nonesuch", capsys=capsys)[0] == 2


MODELS = """
from datetime import date
from decimal import Decimal
from typing import Annotated, Callable

from pydantic import BaseModel, ConfigDict, Field


class Employee(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=str.upper)

    employee_id: Annotated[int, Field(ge=1)]
    last_name: Annotated[str, Field(alias="Last Name", max_length=25)]
    hired_on: date | None
    salary: Annotated[Decimal, Field(max_digits=8, decimal_places=2)]


class Odd(BaseModel):
    call: Callable[[], int]
"""
EMPLOYEES = "  - {schema_name: HR, table_name: EMPLOYEES, schema: hr.py:Employee}\n"
JOBS = "  - {schema_name: HR, table_name: JOBS, columns: {ID: {type: int, ge: 1}}}\n"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("hr.py").write_text(MODELS)
    Path("p.yml").write_text(CONFIG + EMPLOYEES + JOBS + "  - {table_name: free}\n")
    return tmp_path


def test_exported_schemas_describe_rows_by_the_columns_names(models, capsys):
    code, out, _ = run_of("schemas", "export", "p.yml", capsys=capsys)
    schemas = json.loads(out)
    assert (code, list(schemas)) == (0, ["shop.HR.EMPLOYEES", "shop.HR.JOBS"])
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    employee = schemas["shop.HR.EMPLOYEES"]
    assert list(employee["properties"]) == ["EMPLOYEE_ID", "Last Name", "HIRED_ON", "SALARY"]
    validator = Draft202012Validator(employee)
    row = {"EMPLOYEE_ID": 1, "Last Name": "Kaur", "HIRED_ON": None, "SALARY": "10.50"}
    assert validator.is_valid(row)
    for change in ({"EMPLOYEE_ID": 0}, {"Last Name": "x" * 26}, {"SALARY": None}, {"extra": 1}):
        assert not validator.is_valid({**row, **change})
    assert not Draft202012Validator(schemas["shop.HR.JOBS"]).is_valid({"ID": 0})


def test_a_changed_model_an_edited_file_and_a_stray_one_are_found(models, capsys):
    words = ("schemas", "export", "p.yml", "--out", "js")
    code, out, _ = run_of(*words, capsys=capsys)
    assert (code, out.splitlines()) == (
        0,
        [
            "js/shop.HR.EMPLOYEES.json",
            "js/shop.HR.JOBS.json",
            "next, to see whether they are up to date: statekeeper schemas export p.yml --out js --check",
        ],
    )
    assert run_of(*words, "--check", capsys=capsys)[:2] == (0, "")
    Path("js/shop.HR.JOBS.json").write_text("{}")
    Path("js/shop.old.json").write_text("{}")
    code, out, _ = run_of(*words, "--check", "--json", capsys=capsys)
    assert (code, json.loads(out)) == (1, {"stale": ["js/shop.HR.JOBS.json", "js/shop.old.json"]})
    assert run_of(*words, "--check", "--table", "EMPLOYEES", capsys=capsys)[0] == 0
    Path("hr.py").write_text(MODELS.replace("max_length=25", "max_length=26"))
    code, out, _ = run_of(*words, "--check", "--table", "EMPLOYEES", capsys=capsys)
    assert (code, out.splitlines()) == (
        1,
        [
            "js/shop.HR.EMPLOYEES.json is not up to date",
            "next, to write them anew: statekeeper schemas export p.yml --table EMPLOYEES --out js",
        ],
    )
    assert Path("js/shop.HR.JOBS.json").read_text() == "{}"


def test_export_says_what_it_cannot_do(models, capsys):
    code, _, err = run_of("schemas", "export", "p.yml", "--check", capsys=capsys)
    assert (code, "--check compares the files of a folder: add --out DIR" in err) == (2, True)
    code, _, err = run_of("schemas", "export", "p.yml", "--table", "free", capsys=capsys)
    assert (code, err.splitlines()[0]) == (2, "error: no schema is declared for any of these tables")
    Path("p.yml").write_text(CONFIG + EMPLOYEES.replace("Employee}", "Odd}"))
    code, _, err = run_of("schemas", "export", "p.yml", capsys=capsys)
    assert code == 2
    assert err.startswith("error: shop.HR.EMPLOYEES: model Odd has no JSON Schema: ")


def _own_schema(name: str) -> dict:
    return json.loads((Path(__file__).parents[3] / "schemas" / "json" / f"{name}.json").read_text())
