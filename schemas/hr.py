"""The personnel tables as pydantic models; schemas/shop.py explains strict models."""

from datetime import date, time
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Row(BaseModel):
    """Common settings."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Department(Row):
    """hr.departments."""

    department_id: Annotated[int, Field(ge=10, le=990, multiple_of=10)]
    name: Annotated[str, Field(min_length=1, max_length=40)]
    city: Annotated[str, Field(min_length=1, max_length=40)]


class Employee(Row):
    """hr.employees."""

    employee_id: Annotated[int, Field(ge=100)]
    full_name: Annotated[str, Field(min_length=1, max_length=80)]
    email: Annotated[str, Field(pattern=r"^[a-z0-9.]+@example\.com$")]
    hired_on: Annotated[date, Field(ge=date(2000, 1, 1))]
    salary: Annotated[Decimal, Field(max_digits=10, decimal_places=2, ge=0, multiple_of=Decimal(50))]
    commission: Annotated[Decimal, Field(max_digits=4, decimal_places=3, ge=0, lt=1)] | None
    manager_id: Annotated[int, Field(ge=100)] | None
    department_id: Annotated[int, Field(ge=10, le=990, multiple_of=10)]
    shift_start: time | None
    is_active: bool
