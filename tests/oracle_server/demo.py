"""Demo: a few tables to try a client on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.oracle_server.control import Controller


def fill(server: Controller) -> None:
    """A user DEMO with the password demo, HR.EMPLOYEES and a partitioned SALES.ORDERS."""
    server.create_user("DEMO", "demo", "all")
    server.create_table(
        "HR",
        "EMPLOYEES",
        [
            ("EMPLOYEE_ID", "NUMBER(6)", "NOT NULL"), ("LAST_NAME", "VARCHAR2(25)"), ("HIRE_DATE", "DATE"),
            ("SALARY", "NUMBER(8,2)"), ("CV", "CLOB"),
        ],
        primary_key=["EMPLOYEE_ID"],
    )  # fmt: skip
    server.load(
        "HR", "EMPLOYEES",
        "SELECT 100 + i, 'Name ' || i, TIMESTAMP '2020-01-01' + to_days(i::INTEGER), 1000 + i * 1.25, "
        "repeat('cv ', i::INTEGER % 50) "
        "FROM range(500) t(i)",
    )  # fmt: skip
    server.create_table(
        "SALES",
        "ORDERS",
        [
            ("ORDER_ID", "NUMBER(12)", "NOT NULL"),
            ("REGION", "NUMBER(3)"),
            ("AMOUNT", "NUMBER"),
            ("UPDATED_AT", "TIMESTAMP(6)"),
        ],
        partitions=("REGION", [("P1", 10), ("P2", 20), ("PMAX", None)]),
        primary_key=["ORDER_ID"],
    )
    server.load(
        "SALES", "ORDERS",
        "SELECT i, i % 30, ora_num((i * 1.1)::VARCHAR), TIMESTAMP '2024-01-01' + to_seconds(i) FROM range(20000) t(i)",
    )  # fmt: skip
