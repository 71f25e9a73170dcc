"""Demo: the database of configs/prod.yml to try statekeeper on, and what to type."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.oracle import prod

if TYPE_CHECKING:
    from tests.oracle_server.control import Controller

USER, PASSWORD = "demo", "demo_secret"
MORE = {
    ("HR", "EMPLOYEES"): (
        "SELECT 200 + i, 'Ann', 'Name ' || i, 'ANN.' || i, TIMESTAMP '2020-01-01' + to_days(i::INTEGER), 'CLERK', "
        "1000 + i * 1.25, NULL, 100 FROM range(496) t(i)"
    ),
    ("SALES", "ORDERS"): (
        "SELECT 10 + i, i % 7 + 1, ['NEW', 'PAID', 'SHIPPED', 'CANCELLED'][i % 4 + 1], 'EUR', i / 4, "
        "TIMESTAMP '2025-01-01' + to_minutes(i), TIMESTAMP '2025-01-02' + to_minutes(i) FROM range(19991) t(i)"
    ),
    ("SALES", "ORDER_LINES"): (
        "SELECT 10 + i // 2, i % 2 + 1, 'SKU-' || i % 100, 1.125, 9.99, TIMESTAMP '2025-06-01' + to_minutes(i * 10) "
        "FROM range(39982) t(i)"
    ),
}
"""Rows beside those of `prod.ROWS`, as DuckDB queries."""


def fill(server: Controller) -> None:
    """The tables of configs/prod.sql with some ten thousand rows, and a user who may read them at a snapshot."""
    server.create_user(USER.upper(), PASSWORD, "all")
    prod.fill(server)
    for (schema, table), query in MORE.items():
        server.load(schema, table, query)


def commands(host: str, port: int, service: str) -> list[str]:
    """What to type, line by line, to extract every table of configs/prod.yml from this server."""
    program = os.path.relpath(Path(sys.executable).with_name("statekeeper"))
    values = {"HOST": host, "PORT": port, "SERVICE": service, "USER": USER, "PASSWORD": PASSWORD}
    return [
        "export " + " ".join(f"ORACLE_{name}={value}" for name, value in values.items()),
        f"{program} check --connect configs/prod.yml",
        f"{program} run configs/prod.yml",
        f"{program} status configs/prod.yml",
    ]
