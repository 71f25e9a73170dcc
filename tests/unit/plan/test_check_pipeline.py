"""What a check knows before anything runs: the models, and the columns that other keys name."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from statekeeper.cli import app
from statekeeper.config.reading.references import Unset
from statekeeper.errors import ConfigError
from statekeeper.plan.check_pipeline import load_checked
from statekeeper.run.preview import look_at_tables, preview_tables
from statekeeper.run.report import Outcome
from tests.messages import Message, message, says, text_of
from tests.unit.small_shop import Shop

HEAD = "pipeline: p\nsources: {shop: {type: duckdb, path: shop.duckdb, snapshot_scope: run}}\n"
ORACLE = """\
pipeline: p
sources: {ora: {type: oracle, host: "${OH}", port: "${OP}", service: s, user: u, password: "${OPW}"}}
"""
MODELS = "from pydantic import BaseModel\n\n\nclass Order(BaseModel):\n    ID: int\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.py").write_text(MODELS)
    (tmp_path / "broken.py").write_text("import nowhere_at_all\n")
    return tmp_path


def problems(*tables: str, head: str = HEAD, unset: Unset = Unset.REFUSE) -> list[str]:
    Path("c.yml").write_text(head + "tables:\n" + "".join(f"  - {{{table}}}\n" for table in tables))
    try:
        load_checked(Path("c.yml"), environ={}, unset=unset)
    except ConfigError as error:
        return error.message.splitlines()
    return []


@pytest.mark.usefixtures("here")
class TestModels:
    def test_a_missing_class_is_found(self) -> None:
        (found,) = problems("table_name: A, schema: 'm.py:Orders'")
        assert found.startswith("c.yml:4:29: tables[0].schema: schema 'm.py:Orders': ")
        assert found.endswith("m.py has no class Orders. hint: did you mean Order?")

    def test_a_file_that_does_not_import_is_found(self) -> None:
        (found,) = problems("table_name: A, schema: 'broken.py:Order'")
        assert "broken.py failed: ModuleNotFoundError: No module named 'nowhere_at_all'" in found

    @pytest.mark.parametrize(
        ("rule", "words"),
        [
            (
                "{type: str, pattern: '('}",
                message("schemas.pattern_is_not_an_expression", error="error: unclosed group..."),
            ),
            ("{type: int, max_length: 3}", message("schemas.does_not_go_with_type", key="max_length", type="int")),
            ("{type: int, ge: 1.5}", message("schemas.bound_of_an_int", key="ge", value="1.5")),
        ],
    )
    def test_an_inline_rule_that_gives_no_model_is_found(self, rule: str, words: Message) -> None:
        (found,) = problems(f"table_name: A, columns: {{ID: {{type: int}}, NAME: {rule}}}")
        assert found.startswith("c.yml:4:30: tables[0].columns.NAME: ")
        assert says(found, words)

    def test_a_model_that_cannot_describe_a_table_is_found(self, here: Path) -> None:
        (here / "root.py").write_text(
            "from pydantic import RootModel\n\n\nclass Ids(RootModel[list[int]]):\n    pass\n"
        )
        (found,) = problems("table_name: A, schema: 'root.py:Ids'")
        assert says(found, "plan.cannot_describe_a_table", why="it is a RootModel")

    def test_a_broken_file_of_many_tables_is_imported_and_reported_once(self, here: Path) -> None:
        (here / "broken.py").write_text("import os\nos.mkdir('once')\nimport nowhere\n")
        (found,) = problems(*(f"table_name: T{n}, schema: 'broken.py:T{n}'" for n in range(2000)))
        assert says(found, "config.more_of_the_same", count="1,999", last="c.yml:2003:...")
        assert (here / "once").is_dir()

    def test_a_missing_file_of_many_tables_is_reported_once(self) -> None:
        (found,) = problems(*(f"table_name: T{n}, schema: 'none.py:T{n}'" for n in range(2000)))
        assert says(found, "config.expected_a_python_file", found="'none.py'")
        assert says(found, "config.more_of_the_same", count="1,999")


@pytest.mark.usefixtures("here")
class TestNamedColumns:
    @pytest.mark.parametrize(
        ("keys", "key"),
        [
            ("incremental_column: NOPE", "incremental_column"),
            ("unique: [NOPE]", "unique"),
            ("unique: [[ID, NOPE]]", "unique"),
            ("references: [{columns: NOPE, table: B}]", "references"),
            ("references: [{columns: ID, table: B, to: NOPE}]", "references"),
            ("chunking: {strategy: key, column: NOPE}", "chunking"),
        ],
    )
    @pytest.mark.parametrize("model", ["schema: 'm.py:Order'", "columns: {ID: {type: int}}"])
    def test_columns_that_the_model_lacks_are_found(self, model: str, keys: str, key: str) -> None:
        found = problems(f"table_name: A, {model}, {keys}", f"table_name: B, {model}")
        named = [line for line in found if f"tables[0].{key}: " in line]
        assert any(message("sources.no_column", name="NOPE").pattern.search(line) for line in named)
        assert all(line.startswith("c.yml:4:") for line in found)

    def test_named_columns_may_be_in_either_case(self) -> None:
        assert problems("table_name: A, schema: 'm.py:Order', unique: [id]") == []

    def test_a_model_may_leave_out_columns_if_the_policy_allows_it(self) -> None:
        assert problems("table_name: A, schema: 'm.py:Order', on_drift: ignore-new, incremental_column: AT") == []


@pytest.mark.usefixtures("here")
class TestWhatIsNotSet:
    def test_an_unset_variable_is_reported_with_the_other_errors(self) -> None:
        found = problems("table_name: A, schema: 'm.py:Nope'", head=ORACLE)
        assert [line.split(": ")[1] for line in found] == [
            *("sources.ora.host", "sources.ora.port", "sources.ora.password", "tables[0].schema")
        ]

    def test_offline_an_unset_variable_of_a_source_is_ignored(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert problems("table_name: A, schema: 'm.py:Order'", head=ORACLE, unset=Unset.LEAVE) == []
        assert app.run_command(["check", "--offline", "c.yml"]) == 0
        out = capsys.readouterr().out.splitlines()
        assert out[0].startswith("not checked: c.yml:2:37: sources.ora.host: the environment variable OH is not set")
        assert out[3] == text_of("cli.config_is_valid", config="c.yml", pipeline="p", tables="1 table")
        assert app.run_command(["check", "--offline", "--json", "c.yml"]) == 0
        assert len(json.loads(capsys.readouterr().out)["unset"]) == 3

    def test_offline_an_unset_variable_outside_sources_is_an_error(self) -> None:
        (found,) = problems("table_name: '${T}'", head=ORACLE, unset=Unset.LEAVE)
        assert says(found, "config.variable_is_not_set", name="T")

    def test_an_unset_variable_does_not_hide_other_mistakes(self) -> None:
        (found,) = problems("table_name: A, schema: 'm.py:Nope'", head=ORACLE, unset=Unset.LEAVE)
        assert says(found, "schemas.no_class", name="Nope")


@pytest.mark.parametrize("name", ["../../evil", "a/b", "a\\b", ".hidden", "a\nb", "a\x1b[0mb", "x" * 200])
@pytest.mark.usefixtures("here")
def test_a_name_that_cannot_be_a_file_name_is_refused(name: str) -> None:
    head = HEAD.replace("pipeline: p", f"pipeline: {json.dumps(name)}")
    (found,) = problems("table_name: A", head=head)
    assert found.startswith("c.yml:1:11: pipeline: expected a name")


@pytest.mark.usefixtures("here")
def test_an_invalid_time_is_refused() -> None:
    (found,) = problems(
        "table_name: A, flashback_timestamp: never", head=ORACLE.replace('"${OP}"', "1").replace("$", "$$")
    )
    assert "tables[0].flashback_timestamp: expected an ISO 8601 timestamp" in found


class TestFirstPlan:
    """What a full extraction does not need yet, and the next day's would stumble over."""

    @pytest.fixture
    def shop(self, tmp_path: Path) -> Shop:
        shop = Shop(tmp_path)
        shop.execute("create table orders as select 1::integer as id, 'x' as note, timestamp '2026-01-05' as at")
        return shop

    @pytest.mark.parametrize(
        ("keys", "words"),
        [
            (
                {"incremental_column": "NOPE"},
                message("sources.no_column", what="shop.orders: incremental_column", name="NOPE"),
            ),
            ({"incremental_column": "note"}, message("plan.neither_times_nor_numbers", column="note", type="VARCHAR")),
            ({"chunking": {"strategy": "key", "column": "NOPE"}}, message("sources.no_column", name="NOPE")),
        ],
    )
    def test_the_first_plan_finds_a_wrong_column_name(
        self, shop: Shop, keys: dict[str, object], words: Message
    ) -> None:
        table = {"table_name": "orders", **keys}
        report = shop.run(table)["orders"]
        assert report.outcome is Outcome.FAILED
        assert says(report.failure and report.failure.message, words)
        runner = shop.runner(table, day=date(2026, 1, 7))
        for look in (look_at_tables, preview_tables):
            (plan,) = look(runner, runner.pipeline.tables).tables
            assert says(plan.reason, words)

    def test_the_first_plan_accepts_an_existing_column(self, shop: Shop) -> None:
        table = {"table_name": "orders", "incremental_column": "AT", "incremental_timezone": "UTC"}
        assert shop.run(table)["orders"].outcome is Outcome.COMPLETED


def test_commands_without_a_source_work_without_its_login(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Shop(here).execute("create table orders as select 1::integer as id")
    head = "pipeline: p\nsources: {shop: {type: duckdb, path: '${SHOP}', max_sessions: '${N}'}}\n"
    (here / "c.yml").write_text(head + "execution: {workers: 1}\ntables: [{table_name: orders}]\n")
    monkeypatch.setenv("SHOP", "shop.duckdb")
    monkeypatch.setenv("N", "1")
    assert app.run_command(["run", "c.yml"]) == 0
    monkeypatch.delenv("SHOP")
    monkeypatch.delenv("N")
    capsys.readouterr()
    assert app.run_command(["verify", "c.yml"]) == 0
    assert app.run_command(["reset", "c.yml", "--table", "orders"]) == 0
    assert "shop.orders is reset" in capsys.readouterr().out
    assert app.run_command(["resume", "c.yml"]) == 2
