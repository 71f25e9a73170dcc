"""What is believed of Oracle and only a real one can tell: each question, and the answer that the product counts on.

Part of `make test-oracle`. An answer is a code, a number or a word; all of them are in the report at the end, whether
they are as believed or not.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import oracledb
import pytest

pytestmark = pytest.mark.oracle_live

_MOST_SECONDS = 15.0
OK = "accepted"


@dataclass(frozen=True)
class Asked:
    """A cursor, and a table of the user's own with an index on AT, whose rows are committed."""

    cursor: oracledb.Cursor
    table: str

    def answer(self, sql: str, **binds: object) -> str:
        """The first value of the first row, or the code of the error."""
        try:
            self.cursor.execute(sql, binds)
            row = self.cursor.fetchone() if self.cursor.description else None
        except oracledb.Error as error:
            return error.args[0].full_code or type(error).__name__
        return OK if row is None else str(row[0])

    def scn(self) -> int:
        for sql in ("DBMS_FLASHBACK.GET_SYSTEM_CHANGE_NUMBER", "TIMESTAMP_TO_SCN(SYSTIMESTAMP)"):
            if (said := self.answer(f"SELECT {sql} FROM DUAL")).isdecimal():
                return int(said)
        pytest.skip("no SCN is granted")

    def at(self, scn: int) -> str:
        said = self.answer(f"SELECT COUNT(*) FROM {self.table} AS OF SCN {scn}")
        return OK if said.isdecimal() else said

    def settles(self) -> str:
        """What new SCNs get, and for how long, until one is taken."""
        codes: list[str] = []
        started = time.monotonic()
        while (said := self.at(self.scn())) != OK and time.monotonic() - started < _MOST_SECONDS:
            codes.append(said)
            time.sleep(0.25)
        return f"{', '.join(dict.fromkeys([*codes, said]))} after {time.monotonic() - started:.1f} s"

    def plan(self, sql: str) -> str:
        """The operations of EXPLAIN PLAN that reach rows, with PSTART and PSTOP."""
        name = f"SK{secrets.token_hex(4)}"
        if (said := self.answer(f"EXPLAIN PLAN SET STATEMENT_ID = '{name}' FOR {sql}")) != OK:
            return said
        self.cursor.execute(
            "SELECT OPERATION || ' ' || OPTIONS || ' ' || PARTITION_START || ' ' || PARTITION_STOP FROM PLAN_TABLE "
            "WHERE STATEMENT_ID = :name AND OBJECT_NAME IS NOT NULL OR STATEMENT_ID = :name AND OPERATION LIKE 'PART%' "
            "ORDER BY ID",
            name=name,
        )
        return "; ".join(" ".join(text.split()) for (text,) in self.cursor)


def _after_ddl(asked: Asked, ddl: str) -> str:
    if (said := asked.answer(ddl)) != OK:
        return said
    return asked.settles()


def _older_scn_after(asked: Asked, sql: str) -> str:
    asked.settles()
    scn = asked.scn()
    said = asked.answer(sql)
    return asked.at(scn) if said == OK else f"not asked: {said}"


def _clock(asked: Asked) -> str:
    role = asked.answer("SELECT SYS_CONTEXT('USERENV', 'DATABASE_ROLE') FROM DUAL")
    behind = asked.answer(
        f"SELECT ROUND((CAST(SYSTIMESTAMP AS DATE) - CAST(SCN_TO_TIMESTAMP({asked.scn()}) AS DATE)) * 86400) FROM DUAL"
    )
    return f"{role}, {behind} s behind"


def _rowid_again(asked: Asked) -> str:
    """Whether ROWID_CREATE makes a row's ROWID of its parts, as those of extents are made."""
    kind = asked.answer(
        "SELECT t.BIGFILE FROM USER_TABLESPACES t JOIN USER_TABLES u ON u.TABLESPACE_NAME = t.TABLESPACE_NAME "
        "WHERE u.TABLE_NAME = :name",
        name=asked.table,
    )
    size, file = ("BIGFILE", "1024") if kind == "YES" else ("SMALLFILE", "DBMS_ROWID.ROWID_RELATIVE_FNO(ROWID)")
    made = (
        f"DBMS_ROWID.ROWID_CREATE(1, DBMS_ROWID.ROWID_OBJECT(ROWID), {file}, "
        f"DBMS_ROWID.ROWID_BLOCK_NUMBER(ROWID, '{size}'), DBMS_ROWID.ROWID_ROW_NUMBER(ROWID))"
    )
    different = asked.answer(f"SELECT COUNT(*) FROM {asked.table} WHERE ROWID <> {made}")
    return f"{size}, {different} ROWIDs are different"


def _rowid_range(asked: Asked) -> str:
    where = "ROWID >= CHARTOROWID('AAAAAAAAAAAAAAAAAA') AND ROWID < CHARTOROWID('AAAAAAAAAAAAAAAAAB')"
    return asked.plan(f"SELECT * FROM {asked.table} WHERE {where}")


def _rowid_range_of_partitions(asked: Asked) -> str:
    name = f"{asked.table}P"
    said = asked.answer(
        f"CREATE TABLE {name} (ID NUMBER) PARTITION BY RANGE (ID) "
        "(PARTITION P1 VALUES LESS THAN (10), PARTITION P2 VALUES LESS THAN (MAXVALUE))"
    )
    if said != OK:
        return f"not asked: {said}"
    try:
        return _rowid_range(Asked(asked.cursor, name))
    finally:
        asked.answer(f"DROP TABLE {name} PURGE")


def _without_flashback(asked: Asked) -> str:
    """Of a table that everybody may read, and not look back into."""
    for name in ("SYSTEM.HELP", "MDSYS.SDO_COORD_REF_SYS", "SYS.DUAL"):
        if asked.answer(f"SELECT COUNT(*) FROM {name}").isdecimal():
            said = asked.answer(f"SELECT COUNT(*) FROM {name} AS OF SCN {asked.scn()}")
            return "not asked: it is granted" if said.isdecimal() else said
    return "not asked: there is no such table"


def _external_table(asked: Asked) -> str:
    directory = asked.answer("SELECT MIN(DIRECTORY_NAME) FROM ALL_DIRECTORIES")
    name = f"{asked.table}X"
    said = asked.answer(
        f'CREATE TABLE {name} (ID NUMBER) ORGANIZATION EXTERNAL (DEFAULT DIRECTORY "{directory}" '
        "LOCATION ('statekeeper-no-such-file'))"
    )
    if said != OK:
        return f"not asked: {said}"
    try:
        return asked.answer(f"SELECT COUNT(*) FROM {name} AS OF SCN {asked.scn()}")
    finally:
        asked.answer(f"DROP TABLE {name}")


def _parallel(asked: Asked) -> str:
    said = asked.answer("ALTER SESSION FORCE PARALLEL QUERY PARALLEL 2")
    asked.answer("ALTER SESSION DISABLE PARALLEL QUERY")
    return said


_GATHER = "BEGIN DBMS_STATS.GATHER_TABLE_STATS(USER, '{table}'); END;"
_HASHED = "SELECT COUNT(*) FROM (SELECT ROWNUM AS n FROM {table}) WHERE ORA_HASH(n, 9) = 0"
_NOT_ASKED = r"|not asked: .*"
FACTS: dict[str, tuple[Callable[[Asked], str], str]] = {
    "new SCNs after CREATE and INSERT": (Asked.settles, rf"(ORA-01466, )?{OK} after [0-9]\.\d s"),
    "new SCNs after ALTER": (
        lambda asked: _after_ddl(asked, f"ALTER TABLE {asked.table} ADD (MORE NUMBER)"),
        rf"(ORA-01466, )?{OK} after [0-9]\.\d s",
    ),
    "new SCNs after GRANT": (
        lambda asked: _after_ddl(asked, f"GRANT SELECT ON {asked.table} TO SYSTEM"),
        rf"(ORA-01466, )?{OK} after [0-9]\.\d s|ORA-01749",
    ),
    "an older SCN after GRANT": (
        lambda asked: _older_scn_after(asked, f"GRANT SELECT ON {asked.table} TO SYSTEM"),
        rf"ORA-01466|{OK}{_NOT_ASKED}",
    ),
    "an older SCN after statistics": (
        lambda asked: _older_scn_after(asked, _GATHER.format(table=asked.table)),
        rf"ORA-01466|{OK}{_NOT_ASKED}",
    ),
    "SCN_TO_TIMESTAMP of the present SCN": (_clock, r"PRIMARY, -?[0-5] s behind|\w.* STANDBY, \d+ s behind"),
    "JSON_SERIALIZE ERROR ON ERROR of what is no JSON": (
        lambda asked: asked.answer("SELECT JSON_SERIALIZE('{\"a\":' RETURNING CLOB ERROR ON ERROR) FROM DUAL"),
        r"ORA-40\d{3}|ORA-00904",
    ),
    "JSON_SERIALIZE of what is no JSON": (
        lambda asked: asked.answer("SELECT JSON_SERIALIZE('{\"a\":' RETURNING CLOB) FROM DUAL"),
        r"None|ORA-00904",
    ),
    "SYS_EXTRACT_UTC beyond 9999": (
        lambda asked: asked.answer("SELECT SYS_EXTRACT_UTC(TIMESTAMP '9999-12-31 23:30:00 -05:00') FROM DUAL"),
        r"ORA-01841",
    ),
    "access path of a range of ROWIDs": (_rowid_range, r"TABLE ACCESS BY ROWID RANGE"),
    "access path of a range of ROWIDs across partitions": (
        _rowid_range_of_partitions,
        rf".*TABLE ACCESS BY ROWID RANGE.*{_NOT_ASKED}",
    ),
    "access path of a window": (
        lambda asked: asked.plan(f"SELECT COUNT(*) FROM {asked.table} WHERE AT >= SYSDATE - 9 AND AT < SYSDATE - 5"),
        r"INDEX RANGE SCAN",
    ),
    "ROWIDs made of their parts": (_rowid_again, r"(BIG|SMALL)FILE, 0 ROWIDs are different"),
    "AS OF without FLASHBACK": (_without_flashback, rf"ORA-01031|ORA-41900{_NOT_ASKED}"),
    "AS OF an external table": (_external_table, rf"ORA-08188{_NOT_ASKED}"),
    "a subpartition that is not there": (
        lambda asked: asked.answer(f"SELECT COUNT(*) FROM {asked.table} SUBPARTITION (NO_SUCH)"),
        r"ORA-14251|ORA-14501|ORA-14253|ORA-02149",
    ),
    "parallel counts": (_parallel, OK),
    "one of ten of 1,000 rows by ORA_HASH of ROWNUM": (
        lambda asked: asked.answer(_HASHED.format(table=asked.table)),
        r"[5-9]\d|1[0-4]\d",
    ),
}
"""By question: how it is asked, and the answers that the product counts on."""


@pytest.fixture(scope="module")
def asked(database) -> Iterator[Asked]:
    name = f"SK_LIVE_{secrets.token_hex(4).upper()}"
    with database.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} (ID NUMBER(9), AT DATE NOT NULL)")
        try:
            cursor.execute(f"CREATE INDEX {name}I ON {name} (AT)")
            cursor.execute(
                f"INSERT INTO {name} (ID, AT) SELECT LEVEL, SYSDATE - LEVEL FROM DUAL CONNECT BY LEVEL <= 1000"
            )
            database.commit()
            yield Asked(cursor, name)
        finally:
            cursor.execute(f"DROP TABLE {name} PURGE")


@pytest.mark.parametrize("question", FACTS)
def test_oracle_is_as_believed(asked, live_report, question):
    ask, believed = FACTS[question]
    said = ask(asked)
    is_as_believed = re.fullmatch(believed, said) is not None
    live_report.add(question, said, is_as_believed=is_as_believed)
    assert is_as_believed, f"{said!r} is not {believed}"
