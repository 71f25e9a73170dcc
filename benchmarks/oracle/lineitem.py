"""The model of the benchmark's table: the columns of TPC-H's lineitem, with a constraint on every one."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NaiveDatetime

Key = Annotated[int, Field(ge=1)]
Money = Annotated[Decimal, Field(max_digits=15, decimal_places=2, ge=0)]
Rate = Annotated[Decimal, Field(max_digits=15, decimal_places=2, ge=0, le=1)]
Day = Annotated[date, Field(ge=date(1992, 1, 1), le=date(1999, 12, 31))]


class LineItem(BaseModel):
    """One row, strict."""

    model_config = ConfigDict(strict=True, extra="forbid")

    L_ORDERKEY: Key
    L_PARTKEY: Annotated[int, Field(ge=1, le=200_000)]
    L_SUPPKEY: Annotated[int, Field(ge=1, le=10_000)]
    L_LINENUMBER: Annotated[int, Field(ge=1, le=7)]
    L_QUANTITY: Annotated[Decimal, Field(max_digits=15, decimal_places=2, gt=0, le=50)]
    L_EXTENDEDPRICE: Money
    L_DISCOUNT: Rate
    L_TAX: Rate | None
    L_RETURNFLAG: Literal["A", "N", "R"]
    L_LINESTATUS: Annotated[str, Field(pattern="^[FO]$")]
    L_SHIPDATE: Day
    L_COMMITDATE: Day | None
    L_RECEIVED_AT: Annotated[NaiveDatetime, Field(ge=datetime(1992, 1, 1))]  # noqa: DTZ001 - the column has no zone
    L_SHIPINSTRUCT: Literal["COLLECT COD", "DELIVER IN PERSON", "NONE", "TAKE BACK RETURN"]
    L_SHIPMODE: Annotated[str, Field(min_length=3, max_length=10)]
    L_COMMENT: Annotated[str, Field(min_length=1, max_length=120)]
