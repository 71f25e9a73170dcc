"""A draft can be used as it is: every column's declared type is met exactly, and both files read back as meant."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statekeeper.config.loader import load_pipeline
from statekeeper.config.sections.oracle import OracleSource
from statekeeper.errors import PlanError, UsageError
from statekeeper.model.column import SourceColumn
from statekeeper.model.table import Relation
from statekeeper.scaffold.draft import Destination, DraftReport, write_draft
from statekeeper.scaffold.entries import scalar
from statekeeper.scaffold.tables import TableDraft
from statekeeper.schemas.model.load import load_model
from statekeeper.sources.oracle.types import TypeChoices, type_rule
from tests.messages import raises_message
from tests.unit.schemas.staged_columns import plan_columns

ORACLE = OracleSource(type="oracle", host="h", service="s", user="u", password="p")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _column(name: str, database_type: str, *, is_nullable: bool = True) -> SourceColumn:
    rule = type_rule(database_type, TypeChoices.of(ORACLE))
    return SourceColumn(
        name=name,
        database_type=database_type,
        read_type=rule.read.arrow if rule.read else None,
        is_nullable=is_nullable,
        alternatives=tuple(one.arrow for one in rule.alternatives),
        refusal=rule.refusal,
    )


def _table(*columns: SourceColumn, name: str = "T", schema: str | None = "HR") -> TableDraft:
    return TableDraft(Relation(schema_name=schema, table_name=name), columns)


def _draft(*tables: TableDraft) -> DraftReport:
    return write_draft(
        tables,
        source_name="db",
        source={"type": "duckdb", "path": "a ${b}.duckdb"},
        database="db",
        destination=Destination(Path("configs/new.yml"), Path("schemas/new.py")),
    )


ORACLE_TYPES = {
    "NUMBER(4)": ("int64", "int"),
    "NUMBER(18)": ("int64", "int"),
    "NUMBER(19)": ("decimal128(19, 0)", "Annotated[Decimal, Field(max_digits=19, decimal_places=0)]"),
    "NUMBER(38)": ("decimal128(38, 0)", "Annotated[Decimal, Field(max_digits=38, decimal_places=0)]"),
    "NUMBER(9,2)": ("decimal128(9, 2)", "Annotated[Decimal, Field(max_digits=9, decimal_places=2)]"),
    "NUMBER(3,5)": ("decimal128(5, 5)", "Annotated[Decimal, Field(max_digits=5, decimal_places=5)]"),
    "NUMBER(5,-2)": ("decimal128(7, 0)", "Annotated[Decimal, Field(max_digits=7, decimal_places=0)]"),
    "NUMBER": ("decimal128(38, 10)", "Annotated[Decimal, Field(max_digits=38, decimal_places=10)]"),
    "FLOAT(126)": ("decimal128(38, 10)", "Annotated[Decimal, Field(max_digits=38, decimal_places=10)]"),
    "BINARY_DOUBLE": ("double", "float"),
    "BINARY_FLOAT": ("float", "float"),
    "VARCHAR2(80)": ("string", "Annotated[str, Field(max_length=80)]"),
    "NVARCHAR2(20)": ("string", "Annotated[str, Field(max_length=20)]"),
    "CHAR(3)": ("string", "Annotated[str, Field(max_length=3)]"),
    "CLOB": ("string", "str"),
    "LONG": ("string", "str"),
    "RAW(16)": ("binary", "Annotated[bytes, Field(max_length=16)]"),
    "BLOB": ("binary", "bytes"),
    "BOOLEAN": ("bool", "bool"),
    "DATE": ("timestamp[us]", "NaiveDatetime"),
    "TIMESTAMP(6)": ("timestamp[us]", "NaiveDatetime"),
    "TIMESTAMP(9)": ("timestamp[us]", "NaiveDatetime"),
    "TIMESTAMP(6) WITH TIME ZONE": ("timestamp[us, tz=UTC]", "AwareDatetime"),
    "TIMESTAMP(3) WITH LOCAL TIME ZONE": ("timestamp[us, tz=UTC]", "AwareDatetime"),
    "JSON": ("string", "str"),
    "INTERVAL YEAR(2) TO MONTH": ("string", "str"),
}


@pytest.mark.parametrize(("database_type", "expected"), ORACLE_TYPES.items())
@pytest.mark.parametrize("is_nullable", [False, True])
def test_every_type_of_oracle_gets_the_field_that_holds_it(
    here: Path, database_type: str, expected: tuple[str, str], is_nullable: bool
) -> None:
    column = _column("A_COLUMN", database_type, is_nullable=is_nullable)
    _draft(_table(column))
    config = load_pipeline(Path("configs/new.yml"), environ={}).tables[0]
    (planned,) = plan_columns((column,), load_model(config.model, base=here))
    assert planned.arrow_type == expected[0]
    none = " | None" if is_nullable else ""
    assert f"    a_column: {expected[1]}{none}\n" in Path("schemas/new.py").read_text()


def test_capitals_are_said_once_and_other_spellings_by_an_alias(here: Path) -> None:
    names = ["EMPLOYEE_ID", "HIRED_ON", "date", "Mixed Case", "class"]
    columns = tuple(_column(name, "DATE", is_nullable=index % 2 == 0) for index, name in enumerate(names))
    _draft(_table(*columns))
    text = Path("schemas/new.py").read_text()
    assert "alias_generator=str.upper" in text
    assert "    employee_id: NaiveDatetime | None\n    hired_on: NaiveDatetime\n" in text
    assert '    date: Annotated[NaiveDatetime | None, Field(alias="date")]\n' in text
    assert '    mixed_case: Annotated[NaiveDatetime, Field(alias="Mixed Case")]\n' in text
    model = load_model(load_pipeline(Path("configs/new.yml"), environ={}).tables[0].model, base=here)
    assert [planned.name for planned in plan_columns(columns, model)] == names


def test_a_table_with_a_column_that_cannot_be_had_is_commented_out_with_the_reason(here: Path) -> None:
    report = _draft(_table(_column("A", "BFILE"), name="BAD"), _table(_column("A", "NUMBER(4)"), name="GOOD"))
    assert [(left.table, len(left.reasons)) for left in report.left_out] == [("HR.BAD", 1)]
    text = Path("configs/new.yml").read_text()
    assert re.search(r"^  #   .*A.* a file outside the database", text, re.MULTILINE)
    assert "  # - schema_name: HR\n  #   table_name: BAD\n" in text
    assert [table.table.table_name for table in load_pipeline(Path("configs/new.yml"), environ={}).tables] == ["GOOD"]


def test_where_nothing_can_be_extracted_nothing_is_written(here: Path) -> None:
    with pytest.raises(PlanError, match=r"HR\.T: .*BFILE|HR\.T: "):
        _draft(_table(_column("A", "BFILE")))
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("taken", ["configs/new.yml", "schemas/new.py"])
def test_a_file_that_is_there_is_left_as_it_is_and_no_other_is_written(here: Path, taken: str) -> None:
    Path(taken).parent.mkdir()
    Path(taken).write_text("mine")
    with raises_message(UsageError, "cli.file_exists"):
        _draft(_table(_column("A", "NUMBER(4)")))
    assert [path.read_text() for path in here.rglob("*.*")] == ["mine"]


def test_tables_of_one_name_get_folders_and_classes_of_their_own(here: Path) -> None:
    column = _column("A", "NUMBER(4)")
    _draft(_table(column), _table(column, schema="SALES"), _table(column, name="t", schema="SALES"))
    tables = load_pipeline(Path("configs/new.yml"), environ={}).tables
    assert [table.table.path_name for table in tables] == ["T", "SALES_T", "SALES_t"] or [
        table.table.path_name.casefold() for table in tables
    ] == ["t", "sales_t", "t_3"]
    assert len({table.model.path for table in tables}) == 3
    assert all(load_model(table.model, base=here) for table in tables)


def test_a_name_in_oracles_quotes_gets_a_folder_without_them(here: Path) -> None:
    _draft(_table(_column("A", "NUMBER(4)"), name='"Mixed"'))
    (table,) = load_pipeline(Path("configs/new.yml"), environ={}).tables
    assert (table.table.table_name, table.table.path_name) == ('"Mixed"', "Mixed")


def test_the_column_of_the_last_change_is_proposed(here: Path) -> None:
    _draft(_table(_column("ID", "NUMBER(4)"), _column("UPDATED_AT", "DATE")))
    written = Path("configs/new.yml").read_text()
    assert "    # incremental_column: UPDATED_AT " in written
    assert "    # incremental_timezone: UTC " in written


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=15).filter(
    lambda name: name.strip() and not name.startswith('"')
)
COLUMNS = st.lists(st.tuples(NAMES, st.sampled_from(sorted(ORACLE_TYPES)), st.booleans()), min_size=1, max_size=5)


@given(table=NAMES, schema=NAMES, columns=COLUMNS)
def test_whatever_a_table_and_its_columns_are_called_the_draft_means_them(
    tmp_path_factory: pytest.TempPathFactory, table: str, schema: str, columns: list[tuple[str, str, bool]]
) -> None:
    base = tmp_path_factory.mktemp("draft")
    described = tuple(
        _column(name, kind, is_nullable=is_nullable)
        for name, (kind, is_nullable) in {name: (kind, null) for name, kind, null in columns}.items()
    )
    write_draft(
        [_table(*described, name=table, schema=schema)],
        source_name="db",
        source={"type": "duckdb", "path": "x"},
        database=table,
        destination=Destination(base / "new.yml", base / "new.py"),
    )
    ast.parse((base / "new.py").read_text())
    (config,) = load_pipeline(base / "new.yml", environ={}).tables
    assert (config.table.schema_name, config.table.table_name) == (schema, table)
    planned = plan_columns(described, load_model(config.model, base=base))
    assert [column.name for column in planned] == [column.name for column in described]


@given(NAMES)
def test_any_text_survives_yaml(text: str) -> None:
    import yaml

    assert yaml.safe_load(f"key: {scalar(text)}") == {"key": text.replace("${", "$${")}
