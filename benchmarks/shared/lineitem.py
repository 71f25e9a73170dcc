"""The models of the benchmarks' table: the columns of TPC-H's lineitem, with a constraint on every one.

A field's column may be in capitals, as Oracle's are.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NaiveDatetime

Key = Annotated[int, Field(ge=1)]
Money = Annotated[Decimal, Field(max_digits=15, decimal_places=2, ge=0)]
Rate = Annotated[Decimal, Field(max_digits=15, decimal_places=2, ge=0, le=1)]
Day = Annotated[date, Field(ge=date(1992, 1, 1), le=date(1999, 12, 31))]


class LineItem(BaseModel):
    """One row, strict. Other than TPC-H's, two columns may be NULL, and the last of the times has a time of day."""

    model_config = ConfigDict(strict=True, extra="forbid")

    l_orderkey: Key
    l_partkey: Annotated[int, Field(ge=1, le=200_000)]
    l_suppkey: Annotated[int, Field(ge=1, le=10_000)]
    l_linenumber: Annotated[int, Field(ge=1, le=7)]
    l_quantity: Annotated[Decimal, Field(max_digits=15, decimal_places=2, gt=0, le=50)]
    l_extendedprice: Money
    l_discount: Rate
    l_tax: Rate | None
    l_returnflag: Literal["A", "N", "R"]
    l_linestatus: Annotated[str, Field(pattern="^[FO]$")]
    l_shipdate: Day
    l_commitdate: Day | None
    l_received_at: Annotated[NaiveDatetime, Field(ge=datetime(1992, 1, 1))]  # noqa: DTZ001 - the column has no zone
    l_shipinstruct: Literal["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"]
    l_shipmode: Annotated[str, Field(min_length=3, max_length=10)]
    l_comment: Annotated[str, Field(min_length=1, max_length=200)]


class LineItemWithDoubles(LineItem):
    """The same where the rates are doubles."""

    l_discount: Annotated[float, Field(ge=0, le=0.1)]
    l_tax: Annotated[float, Field(ge=0, lt=1)] | None
