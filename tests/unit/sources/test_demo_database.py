"""The demo's database, its models and its configuration, held against each other with pydantic alone."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import yaml
from pydantic import BaseModel

from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.model.plan import Chunk, PlannedColumn, ReadSpec
from statekeeper.model.schema import ColumnRule, SchemaRef
from statekeeper.model.table import ExtractionMode, Relation, Scope
from statekeeper.schemas.model.load import load_model
from statekeeper.sources.registry import open_session

ROOT = Path(__file__).parents[3]
SAMPLED_ROWS = 30_000
CONFIG = yaml.safe_load((ROOT / "configs" / "demo.yml").read_text())
TABLES = {table["table_name"]: table for table in CONFIG["tables"]}


def make(path: Path) -> str:
    command = [sys.executable, str(ROOT / "configs" / "make_demo.py"), str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "demo" / "shop.duckdb"
    assert "made" in make(path)
    return path


def model_of(table: dict) -> type[BaseModel]:
    if "schema" in table:
        return load_model(SchemaRef(path=table["schema"]), base=ROOT)
    rules = {name: ColumnRule.model_validate(rule, strict=False) for name, rule in table["columns"].items()}
    return load_model(SchemaRef(columns=rules), base=ROOT)


def sampled(database: Path, relation: Relation) -> Iterator[dict[str, object]]:
    session = open_session(DuckDBSource(type="duckdb", path=str(database)))
    try:
        columns = tuple(
            PlannedColumn(
                name=one.name, database_type=one.database_type, read_type=one.read_type, arrow_type=one.read_type
            )
            for one in session.describe(relation)
        )
        what = ReadSpec(
            relation=relation, snapshot=session.take_snapshot(), scope=Scope(mode=ExtractionMode.FULL), columns=columns
        )
        read = 0
        for batch in session.read(what, Chunk(chunk_id=0), batch_rows=5000):
            yield from batch.to_pylist()
            read += batch.num_rows
            if read >= SAMPLED_ROWS:
                return
    finally:
        session.close()


@pytest.mark.parametrize("name", TABLES)
def test_rows_satisfy_the_declared_model(database, name):
    table = TABLES[name]
    relation = Relation(
        schema_name=table.get("schema_name"),
        table_name=None if "custom_query" in table else name,
        query=table.get("custom_query"),
    )
    model = model_of(table)
    rows = 0
    for row in sampled(database, relation):
        model.model_validate(row)
        rows += 1
    assert (rows == 0) == (name == "returns")


def test_a_whole_database_is_left_alone_and_a_broken_one_is_made_anew(tmp_path):
    path = tmp_path / "shop.duckdb"
    make(path)
    before = path.stat()
    assert "already" in make(path)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    with duckdb.connect(str(path)) as connection:
        connection.execute("DELETE FROM hr.departments WHERE department_id = 10")
    assert "made" in make(path)
    path.write_bytes(path.read_bytes()[:100_000])
    assert "made" in make(path)
    assert [file.name for file in tmp_path.iterdir()] == ["shop.duckdb"]


def test_two_makings_have_the_same_rows(database, tmp_path):
    other = tmp_path / "again.duckdb"
    make(other)
    spec = importlib.util.spec_from_file_location("make_demo", ROOT / "configs" / "make_demo.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{database}' AS a (READ_ONLY)")
        connection.execute(f"ATTACH '{other}' AS b (READ_ONLY)")
        for name in script.TABLES:
            both = f"(FROM a.{name} EXCEPT ALL FROM b.{name}) UNION ALL (FROM b.{name} EXCEPT ALL FROM a.{name})"
            assert connection.execute(f"SELECT count(*) FROM ({both})").fetchall() == [(0,)]


def test_the_demo_holds_what_it_is_meant_to_show(database):
    with duckdb.connect(str(database), read_only=True) as connection:

        def one(query: str) -> object:
            return connection.execute(query).fetchall()[0][0]

        assert one("SELECT count(*) FROM shop.shop.orders") >= 1_000_000
        assert one("SELECT count(*) FROM shop.shop.returns") == 0
        assert one("SELECT count(DISTINCT updated_at::DATE) FROM shop.shop.order_events") == 7
        assert one("SELECT count(*) FROM shop.shop.order_events WHERE updated_at IS NULL") == 100
        assert one("SELECT max(length(replace(abs(amount)::VARCHAR, '.', ''))) FROM shop.shop.payments") == 38
        assert one("SELECT count(*) FROM shop.shop.payments WHERE amount < 0") > 0
        assert one("SELECT count(*) FROM shop.shop.payments WHERE strlen(payer) > length(payer)") > 0
