"""The shop's tables as pydantic models: an extraction is published only if every row satisfies its model.

The models are strict: a value has exactly the declared type, no column is missing and none is added. The
constraints of a field are checked on every row. `X | None` means that a column may be NULL.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NaiveDatetime

Key = Annotated[int, Field(ge=1)]
Money = Annotated[Decimal, Field(max_digits=12, decimal_places=2, ge=0)]


class Row(BaseModel):
    """Common settings."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Order(Row):
    """shop.orders."""

    order_id: Key
    customer_id: Annotated[int, Field(ge=1, le=5000)]
    status: Literal["new", "paid", "shipped", "delivered", "cancelled"]
    channel: Literal["web", "app", "store"]
    ordered_at: NaiveDatetime
    shipped_on: date | None
    quantity: Annotated[int, Field(ge=1, le=9)]
    unit_price: Annotated[Decimal, Field(max_digits=10, decimal_places=2, gt=0, multiple_of=Decimal("0.01"))]
    total: Money
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    coupon: Annotated[str, Field(pattern="^SAVE[0-9]{2}$")] | None
    is_gift: bool
    weight_kg: Annotated[float, Field(ge=0, lt=100)] | None


class OrderEvent(Row):
    """shop.order_events: rows with NULL in `updated_at` belong to no day, and are counted."""

    event_id: Key
    order_id: Key
    kind: Literal["created", "paid", "packed", "sent", "received", "complained"]
    payload: Annotated[str, Field(max_length=200)] | None
    updated_at: NaiveDatetime | None


class Return(Row):
    """shop.returns: an empty table gives an empty file with these columns."""

    return_id: Key
    order_id: Key
    reason: Annotated[str, Field(min_length=1, max_length=500)] | None
    refunded: Money
    returned_at: NaiveDatetime


class Payment(Row):
    """shop.payments: exact decimals of 38 digits, text of any script, bytes."""

    payment_id: Key
    reference: Annotated[str, Field(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    method: Literal["card", "transfer", "cash"]
    amount: Annotated[Decimal, Field(max_digits=38, decimal_places=10)]
    ledger_balance: Annotated[Decimal, Field(max_digits=38, decimal_places=0)] | None
    payer: Annotated[str, Field(min_length=1, max_length=80)]
    memo: Annotated[str, Field(max_length=200)] | None
    booked_at: NaiveDatetime
    settled_at: AwareDatetime | None
    receipt: Annotated[bytes, Field(min_length=1, max_length=64)] | None
    risk: Annotated[float, Field(ge=0, le=1)] | None
