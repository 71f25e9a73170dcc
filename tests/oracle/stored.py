"""The rows in the DuckDB database of the server, as the values that a file must contain."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from tests.oracle_server import OracleServer


def stored_rows(server: OracleServer, schema: str, table: str, *, zoned: frozenset[str] = frozenset()) -> Counter[str]:
    """The rows of a table as texts, which distinguish -0.0, NaN and instants.

    Args:
        server: whose table it is.
        schema: the table's owner, as the dictionary spells it.
        table: its name, the same.
        zoned: the columns with a local time zone, which are stored in UTC.
    """
    names = [name for (name,) in server.sql(_COLUMNS.format(schema=schema, table=table))]
    return Counter(
        repr([_plain(value, is_zoned=name in zoned) for name, value in zip(names, row, strict=True)])
        for row in server.rows(schema, table)
    )


def published_rows(table: pa.Table) -> Counter[str]:
    """The rows of a file, in the same form."""
    return Counter(repr([_plain(value) for value in row.values()]) for row in table.to_pylist())


_COLUMNS = (
    "SELECT COLUMN_NAME FROM ALL_TAB_COLUMNS WHERE OWNER = '{schema}' AND TABLE_NAME = '{table}' ORDER BY COLUMN_ID"
)


def _plain(value: Any, *, is_zoned: bool = False) -> Any:
    match value:
        case {"utc": datetime() as instant}:
            return instant.replace(tzinfo=UTC)
        case datetime():
            instant = _microseconds(value)
            return instant.replace(tzinfo=UTC) if is_zoned or instant.tzinfo else instant
        case bool() | None:
            return value
        case int() | Decimal():
            return _number(Decimal(value))
        case _:
            return value


def _microseconds(value: datetime) -> datetime:
    """Where there is pandas, Arrow makes its Timestamp of a time in nanoseconds; here what is whole is a datetime."""
    is_whole = getattr(value, "nanosecond", 0) == 0
    return value.to_pydatetime() if is_whole and hasattr(value, "to_pydatetime") else value


def _number(value: Decimal) -> str:
    sign, digits, exponent = value.as_tuple()
    whole = int("".join(map(str, digits)))
    while whole and whole % 10 == 0:
        whole, exponent = whole // 10, int(exponent) + 1
    return f"{'-' if sign and whole else ''}{whole}E{exponent if whole else 0}"
