"""The ERP's tables as pydantic models, for configs/prod.yml; schemas/shop.py explains strict models.

A field has exactly the type that the database declares: NUMBER(p) with up to 18 digits is an int, every other NUMBER a
Decimal, DATE a datetime (it has a time of day), TIMESTAMP WITH TIME ZONE an aware datetime in UTC. In Oracle, "" is
NULL.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NaiveDatetime

Key = Annotated[int, Field(ge=1)]
Money = Annotated[Decimal, Field(max_digits=12, decimal_places=2, ge=0)]


class Row(BaseModel):
    """Common settings: the column of a field has the same name in upper case."""

    model_config = ConfigDict(strict=True, extra="forbid", alias_generator=str.upper)


class Employee(Row):
    """HR.EMPLOYEES."""

    employee_id: Annotated[int, Field(ge=1, le=999_999)]
    first_name: Annotated[str, Field(min_length=1, max_length=20)] | None
    last_name: Annotated[str, Field(min_length=1, max_length=25)]
    email: Annotated[str, Field(pattern="^[A-Z0-9._]+$", max_length=25)]
    hire_date: NaiveDatetime
    job_id: Annotated[str, Field(max_length=10)]
    salary: Annotated[Decimal, Field(max_digits=8, decimal_places=2, gt=0)] | None
    commission_pct: Annotated[Decimal, Field(max_digits=2, decimal_places=2, ge=0)] | None
    manager_id: Annotated[int, Field(ge=1)] | None


class Order(Row):
    """SALES.ORDERS: rows with NULL in UPDATED_AT belong to no day, and are counted."""

    order_id: Key
    customer_id: Key
    status: Literal["NEW", "PAID", "SHIPPED", "CANCELLED"]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    total: Money
    ordered_at: NaiveDatetime
    updated_at: NaiveDatetime | None


class OrderLine(Row):
    """SALES.ORDER_LINES."""

    order_id: Key
    line_no: Annotated[int, Field(ge=1, le=999)]
    sku: Annotated[str, Field(min_length=1, max_length=30)]
    quantity: Annotated[Decimal, Field(max_digits=9, decimal_places=3, gt=0)]
    unit_price: Money
    ordered_on: NaiveDatetime


class LedgerEntry(Row):
    """FINANCE.LEDGER_ENTRIES."""

    entry_id: Annotated[Decimal, Field(max_digits=38, decimal_places=0, ge=1)]
    account: Annotated[str, Field(pattern="^[0-9]{4,10}$")]
    # NUMBER without digits in the database: declare what the ledger really has. A larger value fails the table.
    amount: Annotated[Decimal, Field(max_digits=38, decimal_places=10)]
    # NUMBER(9,-3): whole thousands.
    budget: Annotated[Decimal, Field(max_digits=12, decimal_places=0, multiple_of=1000)] | None
    # FLOAT(126): decimal in Oracle.
    rate: Annotated[Decimal, Field(max_digits=30, decimal_places=15)] | None
    booked_at: NaiveDatetime


class SensorReading(Row):
    """FLEET.SENSOR_READINGS."""

    reading_id: Key
    device: Annotated[bytes, Field(min_length=16, max_length=16)]
    value: float | None
    error: float | None
    measured_at: NaiveDatetime
    received_at: AwareDatetime
    shown_at: AwareDatetime | None


class Contract(Row):
    """LEGAL.CONTRACTS."""

    contract_id: Key
    # CHAR(12) keeps its padding, unless the source has trim_char.
    reference: Annotated[str, Field(min_length=12, max_length=12)]
    party: Annotated[str, Field(min_length=1, max_length=60)]
    body: str | None
    scan: bytes | None
    signature: Annotated[bytes, Field(max_length=64)] | None
    signed_at: AwareDatetime | None
