"""Each rule of `schemas.columns.readers` is a fact: the reader does to such a file what the rule says. Spark's facts
are in `tests/spark/test_readers.py`."""

from decimal import Decimal

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from statekeeper.config.resolved import Reader
from statekeeper.errors import FailureKind, PlanError
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.state import State
from statekeeper.schemas.columns.readers import RULES, check_readers
from tests.messages import says
from tests.unit.small_shop import Heard, Shop

WIDE = "decimal256(39, 1)"


def column(name, arrow_type, database_type="X"):
    return PlannedColumn(name=name, database_type=database_type, read_type=arrow_type, arrow_type=arrow_type)


def of(reader):
    return [rule for rule in RULES if rule.reader is reader]


@pytest.mark.parametrize(
    ("columns", "readers"),
    [
        ([column("T", "time64[us]")], ["spark"]),
        ([column("T", "timestamp[ns]")], ["spark"]),
        ([column("N", WIDE)], ["spark", "duckdb", "polars"]),
        ([column("ID", "int64"), column("Id", "int64")], ["spark", "duckdb"]),
        ([column("É", "int64"), column("é", "int64")], ["spark"]),
        ([column("ß", "int64"), column("SS", "int64")], []),
        (
            [column(name, "int64") for name in ("a b", "a,b", "a;b", "a{b", "a(b", "a=b", "a\tb", "a.b", "_a")],
            [],
        ),
        (
            [
                column(kind, kind)
                for kind in (
                    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double"),
                    *("bool", "binary", "string", "date32[day]", "timestamp[s]", "timestamp[ms]", "timestamp[us]"),
                    *("timestamp[us, tz=UTC]", "decimal128(38, 38)", "decimal256(20, 2)"),
                )
            ],
            [],
        ),
    ],
)
def test_what_each_reader_refuses(columns, readers):
    columns = tuple(columns)
    assert [rule.reader for rule in RULES if rule.found(columns)] == readers
    for reader in Reader:
        if reader in readers:
            with pytest.raises(PlanError):
                check_readers(columns, (reader,))
        else:
            assert check_readers(columns, (reader,)) == ()
    assert len(check_readers(columns, None)) == len(readers)
    assert check_readers(columns, ()) == ()


def test_unnamed_readers_are_warned_of_with_column_type_and_what_to_do():
    (note,) = check_readers((column("T", "time64[us]", "TIME"),), None)
    assert note.startswith("column T (TIME): Spark has no type for a time of day")
    assert says(note, "schemas.select_it_as_text")
    assert "output.readers" in note


def test_named_reader_fails_the_plan_with_everything_that_it_does_not_read():
    columns = (column("T", "time64[us]", "TIME"), column("ID", "int64"), column("Id", "int64"))
    with pytest.raises(PlanError) as raised:
        check_readers(columns, (Reader.SPARK, Reader.PYARROW))
    assert says(raised.value.message, "sources.column_and_type", column="T", type="TIME")
    assert "columns ID and Id" in raised.value.message
    assert "alias" in raised.value.hint
    assert "output.readers" in raised.value.hint


@pytest.fixture
def wide(tmp_path):
    value = Decimal("1234567890123456789012345678901234567.9")
    pq.write_table(pa.table({"N": pa.array([value], pa.decimal256(39, 1))}), tmp_path / "wide.parquet")
    return tmp_path / "wide.parquet", value


@pytest.fixture
def alike(tmp_path):
    pq.write_table(pa.Table.from_arrays([pa.array([1])] * 2, names=["ID", "Id"]), tmp_path / "alike.parquet")
    return tmp_path / "alike.parquet"


def test_duckdb_reads_wide_decimals_as_doubles(wide):
    path, value = wide
    found = duckdb.sql(f"SELECT N FROM '{path}'")
    assert [str(kind) for kind in found.dtypes] == ["DOUBLE"]
    assert found.fetchall() != [(value,)]


def test_duckdb_calls_the_second_of_two_names_otherwise(alike):
    assert duckdb.sql(f"SELECT * FROM '{alike}'").columns == ["ID", "Id_1"]


def test_polars_refuses_wide_decimals(wide):
    import polars as pl

    with pytest.raises(Exception, match="precision must be between 1 and 38"):
        pl.read_parquet(wide[0])


def test_pyarrow_and_pandas_read_all_of_it(wide, alike):
    path, value = wide
    assert pq.read_table(path).column("N").to_pylist() == [value]
    assert pd.read_parquet(path)["N"].tolist() == [value]
    assert pd.read_parquet(alike).columns.tolist() == ["ID", "Id"]
    assert not of(Reader.PANDAS) + of(Reader.PYARROW)


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute("CREATE TABLE shifts (id INTEGER, starts TIME)", "INSERT INTO shifts VALUES (1, '08:30:00')")
    return shop


def test_run_warns_of_what_a_known_reader_does_not_read_and_publishes(shop):
    heard = Heard()
    shop.run("shifts", reporter=heard)
    assert shop.state("shifts").state is State.COMPLETE
    assert any("column starts (TIME): Spark has no type" in warning for warning in heard.warnings)


def test_run_fails_before_it_reads_where_a_reader_that_is_named_would_refuse(shop):
    output = {"base_path": str(shop.folder / "data")}
    shop.run("shifts", output=output | {"readers": ["spark"]})
    failure = shop.state("shifts").failure
    assert (failure.kind, failure.failed_in) == (FailureKind.PLAN, State.PENDING)
    assert "shop.shifts: column starts (TIME): Spark" in failure.message
    shop.run("shifts", output=output | {"readers": ["duckdb", "pandas"]})
    assert shop.state("shifts").state is State.COMPLETE
