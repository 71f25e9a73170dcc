"""The database of configs/prod.yml, on a server that speaks Oracle's protocol, with a few rows in each table."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.oracle_server import OracleServer
    from tests.oracle_server.control import Controller

ROOT = Path(__file__).parent.parent.parent
SCHEMAS = ("HR", "SALES", "FINANCE", "FLEET", "LEGAL", "CRM")
DAY = datetime(2026, 1, 6)  # noqa: DTZ001 - a DATE has no zone
MOMENT = datetime(2026, 1, 6, 12, 30, 0, 123456)  # noqa: DTZ001 - nor has a TIMESTAMP
FAR_EAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=14)))

ROWS: dict[tuple[str, str], list[tuple[Any, ...]]] = {
    ("HR", "EMPLOYEES"): [
        (100, "Steven", "King", "SKING", DAY, "AD_PRES", Decimal("24000.00"), None, None),
        (101, None, "Zo\u00eb", "ZOE", DAY, "AD_VP", Decimal("0.01"), Decimal("0.99"), 100),
        (102, "", "x" * 25, "A", datetime(1, 1, 1), "J", None, None, 101),  # noqa: DTZ001
        (103, " ", "\u4e2d" * 8, "B", datetime(9999, 12, 31, 23, 59, 59), "J", Decimal("999999.99"), Decimal(0), None),  # noqa: DTZ001
    ],
    ("SALES", "ORDERS"): [
        (number, number % 7 + 1, "NEW", "EUR", Decimal(number) / 4, DAY, None if number == 9 else DAY)
        for number in range(1, 10)
    ],
    ("SALES", "ORDER_LINES"): [
        (number, line, f"SKU-{line}", Decimal("1.125"), Decimal("9.99"), DAY + timedelta(days=90 * (number - 2)))
        for number in range(1, 10)
        for line in (1, 2)
    ],
    ("FINANCE", "LEDGER_ENTRIES"): [
        (
            10**38 - 1,
            "1000",
            Decimal("9999999999999999999999999999.9999999999"),
            Decimal(999_999_999_000),
            None,
            MOMENT,
        ),
        (1, "2000", Decimal("-0.0000000001"), None, Decimal("0.333333333333333"), MOMENT),
    ],
    ("FLEET", "SENSOR_READINGS"): [
        (1, b"\x00" * 16, -0.0, 0.5, MOMENT, MOMENT.replace(tzinfo=timezone(timedelta(hours=5, minutes=45))), None),
        (2, b"\xff" * 16, float("inf"), float("-inf"), MOMENT, MOMENT.replace(tzinfo=UTC), None),
        (3, b"\x01" * 16, float("nan"), -0.0, MOMENT, FAR_EAST, FAR_EAST),
        (4, b"\x02" * 16, 5e-324, None, MOMENT, MOMENT.replace(tzinfo=UTC), MOMENT.replace(tzinfo=UTC)),
    ],
    ("LEGAL", "CONTRACTS"): [
        (1, "AB-1", "\u5c71\u7530\u592a\u90ce", "x" * 100_000, b"\x00\x01" * 40_000, b"sig", None),
        (2, "AB-2", "Caf\u00e9 \U0001f950", None, None, None, MOMENT.replace(tzinfo=UTC)),
    ],
    ("CRM", "CUSTOMERS"): [
        (1, "Rich", "ES", Decimal("1000000.01"), DAY),
        (2, "Poor", "ES", Decimal("1000000.00"), None),
    ],
}


def statements() -> list[str]:
    """The statements of configs/prod.sql."""
    lines = (ROOT / "configs/prod.sql").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    return [one.strip() for one in text.split(";") if one.strip()]


def fill(server: OracleServer | Controller) -> None:
    """Make the tables and their rows."""
    for name in SCHEMAS:
        server.create_user(name, "unused", "owner")
    for statement in statements():
        server.sql(statement)
    for (schema, table), rows in ROWS.items():
        server.insert(schema, table, rows)


def settle(folder: Path) -> None:
    """Copy the configuration and its models to the folder in which a run starts."""
    (folder / ".statekeeper").mkdir(exist_ok=True)
    for name in ("configs/prod.yml", "schemas/erp.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
