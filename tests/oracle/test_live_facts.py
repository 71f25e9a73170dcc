"""Assumptions about Oracle that only a real database can confirm: each question, and the answer that we rely on.

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
    """A cursor, and a table of the user with an index on AT and committed rows."""

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
        return self.answer(
            "SELECT LISTAGG(TRIM(OPERATION || ' ' || OPTIONS || ' ' || PARTITION_START || ' ' || PARTITION_STOP), "
            "'; ') WITHIN GROUP (ORDER BY ID) FROM PLAN_TABLE WHERE STATEMENT_ID = :name "
            "AND (OBJECT_NAME IS NOT NULL OR OPERATION LIKE 'PART%')",
            name=name,
        )


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


def _of_table(asked: Asked, definition: str, ask: Callable[[Asked], str]) -> str:
    """A question about another table, which is created for it."""
    name = f"{asked.table}P"
    said = asked.answer(f"CREATE TABLE {name} {definition}")
    if said != OK:
        return f"not asked: {said}"
    try:
        return ask(Asked(asked.cursor, name))
    finally:
        asked.answer(f"DROP TABLE {name} PURGE")


def _older_scn_after_rename(asked: Asked) -> str:
    asked.settles()
    scn = asked.scn()
    said = asked.answer(f"ALTER TABLE {asked.table} RENAME PARTITION P1 TO P3")
    if said != OK:
        return f"not asked: {said}"
    return asked.answer(f"SELECT COUNT(*) FROM {asked.table} PARTITION (P1) AS OF SCN {scn}")


def _archived_row(asked: Asked) -> str:
    """How many archived rows a session sees, before and after it makes them visible."""
    for sql in ("INSERT INTO {table} (ID) VALUES (1)", "UPDATE {table} SET ORA_ARCHIVE_STATE = '1'"):
        if (said := asked.answer(sql.format(table=asked.table))) != OK:
            return f"not asked: {said}"
    seen = []
    for who in ("ACTIVE", "ALL"):
        asked.answer(f"ALTER SESSION SET ROW ARCHIVAL VISIBILITY = {who}")
        seen.append(asked.answer(f"SELECT COUNT(*) FROM {asked.table}"))
    asked.answer("ALTER SESSION SET ROW ARCHIVAL VISIBILITY = ACTIVE")
    return " and ".join(seen)


def _hidden_columns(asked: Asked) -> str:
    return asked.answer(
        "SELECT COUNT(*) FROM ALL_TAB_COLS WHERE OWNER = USER AND TABLE_NAME = :name AND HIDDEN_COLUMN = 'YES' "
        "AND (USER_GENERATED = 'YES' OR COLUMN_NAME = 'ORA_ARCHIVE_STATE')",
        name=asked.table,
    )


def _broken_link(asked: Asked) -> str:
    """The codes of a link whose login is refused; its user does not exist, so that no account is locked."""
    link = f"SK{secrets.token_hex(4)}"
    dsn = asked.cursor.connection.dsn
    said = asked.answer(f"CREATE DATABASE LINK {link} CONNECT TO SK_NOBODY IDENTIFIED BY \"{link}\" USING '{dsn}'")
    if said != OK:
        return f"not asked: {said}"
    try:
        asked.cursor.execute(f"SELECT DUMMY FROM DUAL@{link}")
    except oracledb.Error as error:
        return ", ".join(re.findall(r"ORA-\d{5}", str(error)))
    finally:
        asked.answer(f"DROP DATABASE LINK {link}")
    return OK


def _identity(asked: Asked) -> str:
    """Whether the facts that identify a database can be read; their values are not reported."""
    name = asked.answer("SELECT SYS_CONTEXT('USERENV', 'CON_NAME') FROM DUAL")
    number = asked.answer("SELECT DBID + RESETLOGS_CHANGE# FROM V$DATABASE")
    return f"CON_NAME {name if name.startswith('ORA-') else OK}, DBID {OK if number.isdecimal() else number}"


def _back_and_forth(asked: Asked) -> str:
    """The error of TIMESTAMP_TO_SCN in seconds, for the time of a known SCN."""
    scn = asked.scn()
    return asked.answer(
        "SELECT ROUND(86400 * (CAST(SCN_TO_TIMESTAMP(:scn) AS DATE) - "
        "CAST(SCN_TO_TIMESTAMP(TIMESTAMP_TO_SCN(SCN_TO_TIMESTAMP(:scn))) AS DATE))) FROM DUAL",
        scn=scn,
    )


def _without_flashback(asked: Asked) -> str:
    """The code for flashback of a table that every user may read."""
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
_BY_RANGE = "(ID NUMBER(9)) PARTITION BY RANGE (ID)"
_PARTITIONED = f"{_BY_RANGE} (PARTITION P1 VALUES LESS THAN (10), PARTITION P2 VALUES LESS THAN (MAXVALUE))"
_BY_INTERVAL = f"{_BY_RANGE} INTERVAL (10) (PARTITION P1 VALUES LESS THAN (10))"
_UNSEEN = "(ID NUMBER, UNSEEN NUMBER INVISIBLE) ROW ARCHIVAL"
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
    "an older SCN after an interval's new partition": (
        lambda asked: _of_table(
            asked, _BY_INTERVAL, lambda made: _older_scn_after(made, f"INSERT INTO {made.table} VALUES (11)")
        ),
        rf"{OK}{_NOT_ASKED}",
    ),
    "a partition by its name of before": (
        lambda asked: _of_table(asked, _PARTITIONED, _older_scn_after_rename),
        rf"ORA-02149|ORA-01466{_NOT_ASKED}",
    ),
    "columns that are hidden, of two": (lambda asked: _of_table(asked, _UNSEEN, _hidden_columns), rf"2{_NOT_ASKED}"),
    "rows that are seen of an archived one": (
        lambda asked: _of_table(asked, _UNSEEN, _archived_row),
        rf"0 and 1{_NOT_ASKED}",
    ),
    "a link whose login is refused": (_broken_link, rf"ORA-01017, ORA-02063{_NOT_ASKED}"),
    "what tells databases apart": (_identity, rf"CON_NAME ({OK}|ORA-02003), DBID ({OK}|ORA-00942)"),
    "TIMESTAMP_TO_SCN of an SCN's time, in seconds": (_back_and_forth, r"-?[0-3]"),
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
        lambda asked: _of_table(asked, _PARTITIONED, _rowid_range),
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
    "an older SCN after TRUNCATE": (
        lambda asked: _older_scn_after(asked, f"TRUNCATE TABLE {asked.table}"),
        r"ORA-01466|ORA-08103",
    ),
    "new SCNs after TRUNCATE": (
        lambda asked: _after_ddl(asked, f"TRUNCATE TABLE {asked.table}"),
        rf"(ORA-01466, )?{OK} after [0-9]\.\d s",
    ),
}
"""By question: the function that asks it, and the answers that we rely on."""


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
def test_oracle_behaves_as_assumed(asked, live_report, question):
    ask, believed = FACTS[question]
    said = ask(asked)
    is_as_believed = re.fullmatch(believed, said) is not None
    live_report.add(question, said, is_as_believed=is_as_believed)
    assert is_as_believed, f"{said!r} is not {believed}"
