"""Makes the demo's database, a small company with a shop: `python configs/make_demo.py [PATH]`.

Every value is computed from its row's number, without clock or random numbers: two machines make the
same rows. The file gets its name only when it is complete. An existing complete database is left unchanged.
"""

import os
import sys
import time
from pathlib import Path

import duckdb

DEFAULT_PATH = Path("data/demo/shop.duckdb")
VERSION = 1
"""Grows with every change below; a database of another version is made anew."""

NAMES = (
    "Anna M\u00fcller",
    "Zo\u00eb O'Neill",
    "\u0391\u03bb\u03ad\u03be\u03b1\u03bd\u03b4\u03c1\u03bf\u03c2",  # Greek
    "\u042e\u043b\u0438\u044f \u0401\u043b\u043a\u0438\u043d\u0430",  # Cyrillic
    "\u0645\u062d\u0645\u062f \u0639\u0644\u064a",  # Arabic
    "\u05d3\u05e0\u05d4 \u05db\u05d4\u05df",  # Hebrew
    "\u5c71\u7530\u592a\u90ce",  # Japanese
    "\uae40\ubbfc\uc900",  # Korean
    "\u0928\u0947\u0939\u093e \u0936\u0930\u094d\u092e\u093e",  # Devanagari
    "Nguy\u1ec5n Th\u1ecb \u00c1nh",  # Vietnamese
    "Caf\u00e9 \U0001f950\u2615",  # emoji beyond the basic plane
    "\u0141ukasz \u017b\u00f3\u0142\u0107",
    "\u0e2a\u0e21\u0e0a\u0e32\u0e22 \u0e43\u0e08\u0e14\u0e35",  # Thai
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 family",  # one emoji of several code points
    "\u0130pek \u015eahin",
    'Smith, "Bob"',
)
"""Names in many scripts, written in ASCII so that no editor or terminal changes them."""

SCRIPTS = "[" + ", ".join("'" + name.replace("'", "''") + "'" for name in NAMES) + "]"

TABLES: dict[str, tuple[int, str]] = {
    # The big one: it is cut into many chunks.
    "shop.orders": (
        1_200_000,
        """
        CREATE TABLE shop.orders (
            order_id BIGINT NOT NULL, customer_id INTEGER NOT NULL, status VARCHAR NOT NULL,
            channel ENUM ('web', 'app', 'store') NOT NULL, ordered_at TIMESTAMP NOT NULL, shipped_on DATE,
            quantity SMALLINT NOT NULL, unit_price DECIMAL(10,2) NOT NULL, total DECIMAL(12,2) NOT NULL,
            currency VARCHAR NOT NULL, coupon VARCHAR, is_gift BOOLEAN NOT NULL, weight_kg DOUBLE
        );
        INSERT INTO shop.orders
        SELECT
            i + 1,
            i * 7919 % 5000 + 1,
            ['new', 'paid', 'shipped', 'delivered', 'cancelled'][i % 5 + 1],
            ['web', 'app', 'store'][i * 31 % 3 + 1],
            TIMESTAMP '2025-01-01' + to_microseconds(i * 26_321_017),
            CASE WHEN i % 5 IN (2, 3) THEN DATE '2025-01-02' + (i * 26.321017 / 86400)::INTEGER END,
            i % 9 + 1,
            CAST((i * 37 % 99_900 + 100) / 100 AS DECIMAL(10,2)),
            CAST((i * 37 % 99_900 + 100) * (i % 9 + 1) / 100 AS DECIMAL(12,2)),
            ['EUR', 'USD', 'JPY', 'GBP'][i % 4 + 1],
            CASE WHEN i % 11 = 0 THEN 'SAVE' || lpad((i % 100)::VARCHAR, 2, '0') END,
            i % 17 = 0,
            CASE WHEN i % 13 <> 0 THEN (i % 4000) / 128 END
        FROM range(1_200_000) AS numbers(i)
        """,
    ),
    # Several days of changes, by `updated_at`; some rows never got one.
    "shop.order_events": (
        70_000,
        """
        CREATE TABLE shop.order_events (
            event_id BIGINT NOT NULL, order_id BIGINT NOT NULL, kind VARCHAR NOT NULL, payload JSON,
            updated_at TIMESTAMP
        );
        INSERT INTO shop.order_events
        SELECT
            i + 1,
            i * 104_729 % 1_200_000 + 1,
            ['created', 'paid', 'packed', 'sent', 'received', 'complained'][i % 6 + 1],
            CASE WHEN i % 3 <> 0 THEN '{"step": ' || i % 6 || ', "note": "n\u00b0 ' || i || '"}' END,
            CASE WHEN i % 701 <> 0 THEN TIMESTAMP '2026-01-01' + to_microseconds(i * 8_640_000) END
        FROM range(70_000) AS numbers(i)
        """,
    ),
    # Nothing was ever sent back.
    "shop.returns": (
        0,
        """
        CREATE TABLE shop.returns (
            return_id BIGINT NOT NULL, order_id BIGINT NOT NULL, reason VARCHAR, refunded DECIMAL(12,2) NOT NULL,
            returned_at TIMESTAMP NOT NULL
        )
        """,
    ),
    # Everything that is easily lost: 38 digits, signs, both kinds of timestamp, text of many scripts, bytes, NULLs.
    "shop.payments": (
        25_000,
        f"""
        CREATE TABLE shop.payments (
            payment_id BIGINT NOT NULL, reference UUID NOT NULL, method VARCHAR NOT NULL,
            amount DECIMAL(38,10) NOT NULL,
            ledger_balance DECIMAL(38,0), payer VARCHAR NOT NULL, memo VARCHAR, booked_at TIMESTAMP NOT NULL,
            settled_at TIMESTAMPTZ, receipt BLOB, risk DOUBLE
        );
        INSERT INTO shop.payments
        SELECT
            i + 1,
            CAST(lpad(to_hex(i * 2_654_435_761), 32, '0') AS UUID),
            ['card', 'transfer', 'cash'][i % 3 + 1],
            CASE i
                WHEN 0 THEN 9999999999999999999999999999.9999999999
                WHEN 1 THEN -9999999999999999999999999999.9999999999
                WHEN 2 THEN 0.0000000001
                ELSE CAST(
                    CASE WHEN i % 7 = 0 THEN '-' ELSE '' END || i * 7919 % 1_000_003 || '.'
                    || lpad((i * 104_729)::VARCHAR, 10, '0') AS DECIMAL(38,10)
                )
            END,
            CASE WHEN i % 10 <> 9 THEN CAST(
                CASE WHEN i % 2 = 0 THEN '-' ELSE '' END || '9' || lpad((i * 15_485_863)::VARCHAR, 37, '8')
                AS DECIMAL(38,0)
            ) END,
            {SCRIPTS}[i % 16 + 1],
            CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'line 1' || chr(10) || 'l\u00ednea 2 #' || i END,
            TIMESTAMP '2025-12-01 08:30:00' + to_microseconds(i * 123_456_789),
            CASE WHEN i % 4 <> 0
                THEN TIMESTAMPTZ '2025-12-02 00:00:00+00' + to_microseconds(i * 123_456_789 + i % 1_000_000) END,
            CASE WHEN i % 6 <> 0 THEN unhex(lpad(to_hex(i * 40_503), 16, '0')) END,
            CASE WHEN i % 8 <> 0 THEN (i % 1000) / 1000 END
        FROM range(25_000) AS numbers(i)
        """,
    ),
    "hr.departments": (
        12,
        """
        CREATE TABLE hr.departments (department_id SMALLINT NOT NULL, name VARCHAR NOT NULL, city VARCHAR NOT NULL);
        INSERT INTO hr.departments
        SELECT
            (i + 1) * 10,
            ['Sales', 'Finance', 'Legal', 'Logistics', 'IT', 'Design', 'Support', 'Purchasing', 'Quality', 'Press',
             'Personnel', 'Board'][i + 1],
            ['Z\u00fcrich', '\u0141\u00f3d\u017a', '\u6771\u4eac'][i % 3 + 1]
        FROM range(12) AS numbers(i)
        """,
    ),
    "hr.employees": (
        800,
        f"""
        CREATE TABLE hr.employees (
            employee_id INTEGER NOT NULL, full_name VARCHAR NOT NULL, email VARCHAR NOT NULL, hired_on DATE NOT NULL,
            salary DECIMAL(10,2) NOT NULL, commission DECIMAL(4,3), manager_id INTEGER, department_id SMALLINT NOT NULL,
            shift_start TIME, is_active BOOLEAN NOT NULL
        );
        INSERT INTO hr.employees
        SELECT
            i + 100,
            {SCRIPTS}[i % 16 + 1],
            'employee.' || i + 100 || '@example.com',
            DATE '2008-02-29' + (i * 7919 % 6500)::INTEGER,
            2_000 + i * 37 % 160 * 50,
            CASE WHEN i % 4 = 0 THEN (i % 40) / 100 END,
            CASE WHEN i > 0 THEN i // 10 + 100 END,
            (i % 12 + 1) * 10,
            CASE WHEN i % 9 <> 0 THEN TIME '06:00:00' + to_minutes(i % 12 * 30) END,
            i % 25 <> 24
        FROM range(800) AS numbers(i)
        """,
    ),
    # Not a table of the pipeline: `big_customers` is a query over it.
    "crm.customers": (
        5_000,
        f"""
        CREATE TABLE crm.customers (
            id INTEGER NOT NULL, name VARCHAR NOT NULL, country VARCHAR NOT NULL,
            revenue DECIMAL(14,2) NOT NULL, since DATE
        );
        INSERT INTO crm.customers
        SELECT
            i + 1,
            {SCRIPTS}[i % 16 + 1] || ' ' || i + 1,
            ['DE', 'ES', 'JP', 'PL', 'BR'][i % 5 + 1],
            CAST(i * 7919 % 5000 * 400.25 AS DECIMAL(14,2)),
            CASE WHEN i % 3 <> 0 THEN DATE '2015-01-01' + (i % 3650)::INTEGER END
        FROM range(5_000) AS numbers(i)
        """,
    ),
}
"""Each table with its number of rows, and what makes it."""


def is_whole(path: Path) -> bool:
    """Whether a demo database of this version is at `path`, with every row."""
    if not path.exists():
        return False
    try:
        with duckdb.connect(str(path), read_only=True) as database:
            if database.execute("SELECT version FROM main.demo_version").fetchall() != [(VERSION,)]:
                return False
            catalog = database.execute("SELECT current_database()").fetchall()[0][0]
            counts = [database.execute(f"SELECT count(*) FROM {catalog}.{name}").fetchall()[0][0] for name in TABLES]
    except duckdb.Error:
        return False
    return counts == [rows for rows, _ in TABLES.values()]


def make(path: Path) -> None:
    """Make the database beside `path`, and give it its name when it is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".building-{os.getpid()}.duckdb")
    try:
        with duckdb.connect(str(building)) as database:
            database.execute("USE main; SET TimeZone = 'UTC'; SET threads = 1")  # one thread keeps the order of rows
            for schema in sorted({name.partition(".")[0] for name in TABLES}):
                database.execute(f"CREATE SCHEMA {schema}")
            for _, statements in TABLES.values():
                database.execute(statements)
            database.execute("CREATE TABLE demo_version AS SELECT ? AS version", [VERSION])
        path.with_name(path.name + ".wal").unlink(missing_ok=True)  # it would belong to the file that is replaced
        building.replace(path)
    finally:
        for leftover in (building, building.with_name(building.name + ".wal")):
            leftover.unlink(missing_ok=True)


def main() -> None:
    """Make the database at the path that the command line names, unless it is there."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_PATH
    if is_whole(path):
        sys.stdout.write(f"{path} is there already\n")
        return
    began = time.monotonic()
    make(path)
    rows = sum(count for count, _ in TABLES.values())
    sys.stdout.write(f"made {path}: {len(TABLES)} tables, {rows:,} rows, in {time.monotonic() - began:.1f} s\n")


if __name__ == "__main__":
    main()
