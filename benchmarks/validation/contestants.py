"""The contestants: each checks whether a part satisfies the constraints of `benchmarks.shared.lineitem`.

A contestant is a function that makes its checker once. The checker takes the path of a Parquet file and returns the
number of rows it has checked, or None if one of them is bad. Each imports its own library, and runs in its own process.
"""

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

Checker = Callable[[Path], int | None]

BATCH_ROWS = 10_000
FIRST_DAY, LAST_DAY = date(1992, 1, 1), date(1999, 12, 31)
FIRST_MOMENT = datetime(1992, 1, 1)  # noqa: DTZ001 - the column has no zone
FLAGS = ["A", "N", "R"]
INSTRUCTIONS = ["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"]
ONE, FIFTY, ZERO = Decimal(1), Decimal(50), Decimal(0)


def statekeeper() -> Checker:
    """The scan that `statekeeper run` makes of each staged part."""
    import pyarrow.parquet as pq

    from benchmarks.shared.lineitem import LineItem
    from statekeeper.model.plan import PlannedColumn
    from statekeeper.schemas.rules.checks import compile_checks
    from statekeeper.validate.scan import scan_part

    def check(path: Path) -> int | None:
        columns = tuple(
            PlannedColumn(name=field.name, database_type="", read_type=str(field.type), arrow_type=str(field.type))
            for field in pq.read_schema(path)
        )
        findings = scan_part(path, compile_checks(LineItem, columns), LineItem, memory_limit="512MB")
        return None if findings.violations else findings.rows

    return check


def pydantic_rows() -> Checker:
    """`Model.model_validate` on each row, as a dict of Python values."""
    import pyarrow.parquet as pq
    from pydantic import ValidationError

    from benchmarks.shared.lineitem import LineItem

    def check(path: Path) -> int | None:
        rows = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS):
                for row in batch.to_pylist():
                    try:
                        LineItem.model_validate(row)
                    except ValidationError:
                        return None
                rows += batch.num_rows
        return rows

    return check


def pandera() -> Checker:
    """Pandera's polars backend."""
    import pandera.polars as pa
    import polars as pl
    from pandera.errors import SchemaError

    day = {"ge": FIRST_DAY, "le": LAST_DAY}
    money = pl.Decimal(15, 2)
    columns = {
        "l_orderkey": (pl.Int64, [pa.Check.ge(1)], False),
        "l_partkey": (pl.Int32, [pa.Check.in_range(1, 200_000)], False),
        "l_suppkey": (pl.Int32, [pa.Check.in_range(1, 10_000)], False),
        "l_linenumber": (pl.Int16, [pa.Check.in_range(1, 7)], False),
        "l_quantity": (money, [pa.Check.gt(ZERO), pa.Check.le(FIFTY)], False),
        "l_extendedprice": (money, [pa.Check.ge(ZERO)], False),
        "l_discount": (money, [pa.Check.in_range(ZERO, ONE)], False),
        "l_tax": (money, [pa.Check.in_range(ZERO, ONE)], True),
        "l_returnflag": (pl.String, [pa.Check.isin(FLAGS)], False),
        "l_linestatus": (pl.String, [pa.Check.str_matches("^[FO]$")], False),
        "l_shipdate": (pl.Date, [pa.Check.in_range(day["ge"], day["le"])], False),
        "l_commitdate": (pl.Date, [pa.Check.in_range(day["ge"], day["le"])], True),
        "l_received_at": (pl.Datetime("us"), [pa.Check.ge(FIRST_MOMENT)], False),
        "l_shipinstruct": (pl.String, [pa.Check.isin(INSTRUCTIONS)], False),
        "l_shipmode": (pl.String, [pa.Check.str_length(3, 10)], False),
        "l_comment": (pl.String, [pa.Check.str_length(1, 200)], False),
    }
    schema = pa.DataFrameSchema(
        {name: pa.Column(kind, checks, nullable=null) for name, (kind, checks, null) in columns.items()}, strict=True
    )

    def check(path: Path) -> int | None:
        frame = pl.read_parquet(path)
        try:
            schema.validate(frame)
        except SchemaError:
            return None
        return frame.height

    return check


def dataframely() -> Checker:
    """dataframely, on polars."""
    import dataframely as dy
    import polars as pl

    class LineItem(dy.Schema):
        l_orderkey = dy.Int64(min=1)
        l_partkey = dy.Int32(min=1, max=200_000)
        l_suppkey = dy.Int32(min=1, max=10_000)
        l_linenumber = dy.Int16(min=1, max=7)
        l_quantity = dy.Decimal(15, 2, min_exclusive=ZERO, max=FIFTY)
        l_extendedprice = dy.Decimal(15, 2, min=ZERO)
        l_discount = dy.Decimal(15, 2, min=ZERO, max=ONE)
        l_tax = dy.Decimal(15, 2, min=ZERO, max=ONE, nullable=True)
        l_returnflag = dy.String(check=lambda column: column.is_in(FLAGS))
        l_linestatus = dy.String(regex="^[FO]$")
        l_shipdate = dy.Date(min=FIRST_DAY, max=LAST_DAY)
        l_commitdate = dy.Date(min=FIRST_DAY, max=LAST_DAY, nullable=True)
        l_received_at = dy.Datetime(min=FIRST_MOMENT, time_unit="us")
        l_shipinstruct = dy.String(check=lambda column: column.is_in(INSTRUCTIONS))
        l_shipmode = dy.String(min_length=3, max_length=10)
        l_comment = dy.String(min_length=1, max_length=200)

    def check(path: Path) -> int | None:
        frame = pl.read_parquet(path)
        return frame.height if LineItem.is_valid(frame) else None

    return check


def patito() -> Checker:
    """patito: pydantic's models, checked by polars. It does not look at ge and le of dates, so these are said anew."""
    from typing import Annotated, Literal

    import patito as pt
    import polars as pl

    decimal = pl.Decimal(15, 2)

    class LineItem(pt.Model):
        l_orderkey: int = pt.Field(ge=1)
        l_partkey: int = pt.Field(ge=1, le=200_000)
        l_suppkey: int = pt.Field(ge=1, le=10_000)
        l_linenumber: int = pt.Field(ge=1, le=7)
        l_quantity: Annotated[Decimal, pt.Field(gt=ZERO, le=FIFTY, dtype=decimal)]
        l_extendedprice: Annotated[Decimal, pt.Field(ge=ZERO, dtype=decimal)]
        l_discount: Annotated[Decimal, pt.Field(ge=ZERO, le=ONE, dtype=decimal)]
        l_tax: Annotated[Decimal | None, pt.Field(ge=ZERO, le=ONE, dtype=decimal)]
        l_returnflag: Literal["A", "N", "R"]
        l_linestatus: str = pt.Field(pattern="^[FO]$")
        l_shipdate: date = pt.Field(constraints=pt.field.is_between(FIRST_DAY, LAST_DAY))
        l_commitdate: date | None = pt.Field(constraints=pt.field.is_between(FIRST_DAY, LAST_DAY))
        l_received_at: datetime = pt.Field(constraints=pt.field >= FIRST_MOMENT)
        l_shipinstruct: Literal["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"]
        l_shipmode: str = pt.Field(min_length=3, max_length=10)
        l_comment: str = pt.Field(min_length=1, max_length=200)

    def check(path: Path) -> int | None:
        frame = pl.read_parquet(path)
        try:
            LineItem.validate(frame)
        except pt.exceptions.DataFrameValidationError:
            return None
        return frame.height

    return check


CONTESTANTS: dict[str, Callable[[], Checker]] = {
    each.__name__: each for each in (statekeeper, pydantic_rows, pandera, patito, dataframely)
}
