"""Dictionary views of the server itself: database, sessions, versions, privileges, settings and policies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.oracle_server.database.dictionary import Row, readable_tables, view

if TYPE_CHECKING:
    from tests.oracle_server.session import Session


@view(
    "V$DATABASE",
    "DBID:n NAME DB_UNIQUE_NAME CREATED:d RESETLOGS_CHANGE#:n RESETLOGS_TIME:d CURRENT_SCN:n "
    "CHECKPOINT_CHANGE#:n LOG_MODE "
    "OPEN_MODE DATABASE_ROLE FLASHBACK_ON PLATFORM_NAME CDB CON_ID:n LAST_OPEN_INCARNATION#:n",
    public=False,
)
def _database(session: Session) -> Iterator[Row]:
    database = session.database
    started = database.clock.time_of(database.first_scn)
    yield {
        "DBID": database.dbid, "NAME": database.name, "DB_UNIQUE_NAME": database.unique_name, "CREATED": started,
        "RESETLOGS_CHANGE#": database.incarnation, "RESETLOGS_TIME": started, "CURRENT_SCN": database.clock.tick(),
        "CHECKPOINT_CHANGE#": database.clock.scn, "LOG_MODE": "ARCHIVELOG", "OPEN_MODE": "READ WRITE",
        "DATABASE_ROLE": database.role, "FLASHBACK_ON": "NO", "PLATFORM_NAME": "Linux x86 64-bit", "CDB": "YES",
        "CON_ID": 0,
        "LAST_OPEN_INCARNATION#": 2,
    }  # fmt: skip


@view(
    "V$DATABASE_INCARNATION", "INCARNATION#:n RESETLOGS_CHANGE#:n RESETLOGS_TIME:d STATUS RESETLOGS_ID:n", public=False
)
def _incarnation(session: Session) -> Iterator[Row]:
    database = session.database
    yield {
        "INCARNATION#": 2, "RESETLOGS_CHANGE#": database.incarnation, "STATUS": "CURRENT",
        "RESETLOGS_TIME": database.clock.time_of(database.first_scn), "RESETLOGS_ID": database.incarnation,
    }  # fmt: skip


@view(
    "V$INSTANCE", "INSTANCE_NUMBER:n INSTANCE_NAME HOST_NAME VERSION VERSION_FULL STARTUP_TIME:d STATUS", public=False
)
def _instance(session: Session) -> Iterator[Row]:
    release = session.database.release
    yield {
        "INSTANCE_NUMBER": 1, "INSTANCE_NAME": session.database.name, "HOST_NAME": "testserver", "STATUS": "OPEN",
        "VERSION": f"{release.major}.0.0.0.0", "VERSION_FULL": release.version_text,
    }  # fmt: skip


@view(
    "V$SESSION",
    "SID:n SERIAL#:n AUDSID:n USERNAME SCHEMANAME STATUS MODULE ACTION CLIENT_INFO CLIENT_IDENTIFIER PROGRAM "
    "MACHINE OSUSER "
    "PROCESS TYPE LOGON_TIME:d",
    public=False,
)
def _sessions(session: Session) -> Iterator[Row]:
    for other in list(session.database.sessions.values()):
        yield {
            "SID": other.number, "SERIAL#": other.serial, "AUDSID": other.number + 4_000_000, "TYPE": "USER",
            "USERNAME": other.user.name, "SCHEMANAME": other.current_schema, "MODULE": other.module,
            "ACTION": other.action,
            "STATUS": "ACTIVE" if other is session else "INACTIVE", "CLIENT_INFO": other.client_info,
            "CLIENT_IDENTIFIER": other.client_identifier, "PROGRAM": other.program, "MACHINE": other.machine,
            "OSUSER": other.os_user, "PROCESS": other.process, "LOGON_TIME": other.logged_on,
        }  # fmt: skip


@view("V$TRANSACTION", "XIDUSN:n XIDSLOT:n XIDSQN:n STATUS START_DATE:d CON_ID:n", public=False)
def _transactions(session: Session) -> Iterator[Row]:
    if session.database.role != "PRIMARY":
        return  # those of the primary are not seen
    for other in list(session.database.sessions.values()):
        if other.is_dirty:
            yield {
                "XIDUSN": 1, "XIDSLOT": other.number, "XIDSQN": other.serial, "STATUS": "ACTIVE", "CON_ID": 0,
                "START_DATE": other.began.replace(microsecond=0),
            }  # fmt: skip


@view("V$MYSTAT", "SID:n STATISTIC#:n VALUE:n", public=False)
def _mystat(session: Session) -> Iterator[Row]:
    yield {"SID": session.number, "STATISTIC#": 0, "VALUE": 1}


@view("V$PARAMETER", "NUM:n NAME TYPE:n VALUE:l DISPLAY_VALUE:l ISDEFAULT", public=False)
def _parameters(session: Session) -> Iterator[Row]:
    values = {
        "undo_retention": "900",
        "sessions": "472",
        "processes": "300",
        "compatible": "19.0.0",
        "db_block_size": "8192",
    }
    for number, (name, value) in enumerate(values.items(), 1):
        yield {"NUM": number, "NAME": name, "TYPE": 3, "VALUE": value, "DISPLAY_VALUE": value, "ISDEFAULT": "TRUE"}


@view("V$VERSION", "BANNER:l BANNER_FULL:l BANNER_LEGACY:l CON_ID:n")
def _version(session: Session) -> Iterator[Row]:
    release = session.database.release
    banner = f"Oracle Database {release.major}{'ai' if release.major == 23 else 'c'} test server, not Oracle's"
    yield {
        "BANNER": banner, "BANNER_FULL": f"{banner}\nVersion {release.version_text}", "BANNER_LEGACY": banner,
        "CON_ID": 0,
    }  # fmt: skip


@view("PRODUCT_COMPONENT_VERSION", "PRODUCT VERSION VERSION_FULL STATUS")
def _product(session: Session) -> Iterator[Row]:
    release = session.database.release
    yield {
        "PRODUCT": f"Oracle Database {release.major} ", "VERSION": f"{release.major}.0.0.0.0",
        "VERSION_FULL": release.version_text, "STATUS": "Production",
    }  # fmt: skip


@view("SESSION_PRIVS USER_SYS_PRIVS", "PRIVILEGE USERNAME ADMIN_OPTION")
def _session_privileges(session: Session) -> Iterator[Row]:
    held = session.user.privileges | {"CREATE SESSION"}
    if session.user.may("DBA"):
        held |= {
            "SELECT ANY TABLE",
            "FLASHBACK ANY TABLE",
            "SELECT ANY DICTIONARY",
            "EXEMPT REDACTION POLICY",
            "EXEMPT ACCESS POLICY",
        }
    for privilege in sorted(held):
        if " ON " not in privilege and " " in privilege:
            yield {"PRIVILEGE": privilege, "USERNAME": session.user.name, "ADMIN_OPTION": "NO"}


@view("SESSION_ROLES USER_ROLE_PRIVS", "ROLE GRANTED_ROLE")
def _session_roles(session: Session) -> Iterator[Row]:
    for privilege in sorted(session.user.privileges):
        if " " not in privilege:
            yield {"ROLE": privilege, "GRANTED_ROLE": privilege}


@view("ALL_TAB_PRIVS USER_TAB_PRIVS DBA_TAB_PRIVS", "GRANTOR GRANTEE TABLE_SCHEMA TABLE_NAME PRIVILEGE GRANTABLE TYPE")
def _object_privileges(session: Session) -> Iterator[Row]:
    for privilege in sorted(session.user.privileges):
        action, _, name = privilege.partition(" ON ")
        if name:
            schema, _, table = name.partition(".")
            yield {
                "GRANTOR": schema, "GRANTEE": session.user.name, "TABLE_SCHEMA": schema, "TABLE_NAME": table,
                "PRIVILEGE": action, "GRANTABLE": "NO", "TYPE": "TABLE",
            }  # fmt: skip


@view("ALL_USERS DBA_USERS", "USERNAME USER_ID:n ACCOUNT_STATUS")
def _users(session: Session) -> Iterator[Row]:
    for user in session.database.users.by_name.values():
        status = "LOCKED" if user.locked else "EXPIRED" if user.expired else "OPEN"
        yield {"USERNAME": user.name, "USER_ID": user.number, "ACCOUNT_STATUS": status}


@view("USER_USERS", "USERNAME USER_ID:n ACCOUNT_STATUS LOCK_DATE:d EXPIRY_DATE:d")
def _own_user(session: Session) -> Iterator[Row]:
    yield {"USERNAME": session.user.name, "USER_ID": session.user.number, "ACCOUNT_STATUS": "OPEN"}


@view("USER_RESOURCE_LIMITS", "RESOURCE_NAME LIMIT")
def _limits(session: Session) -> Iterator[Row]:
    limit = session.user.session_limit
    yield {"RESOURCE_NAME": "SESSIONS_PER_USER", "LIMIT": "UNLIMITED" if limit is None else str(limit)}


@view("NLS_DATABASE_PARAMETERS NLS_INSTANCE_PARAMETERS V$NLS_PARAMETERS", "PARAMETER VALUE")
def _nls(session: Session) -> Iterator[Row]:
    database = session.database
    for name, value in (
        ("NLS_CHARACTERSET", database.character_set), ("NLS_NCHAR_CHARACTERSET", "AL16UTF16"), ("NLS_COMP", "BINARY"),
        ("NLS_SORT", "BINARY"), ("NLS_LENGTH_SEMANTICS", "BYTE"), ("NLS_DATE_FORMAT", "DD-MON-RR"),
        ("NLS_NUMERIC_CHARACTERS", ".,"), ("NLS_RDBMS_VERSION", session.database.release.version_text),
    ):  # fmt: skip
        yield {"PARAMETER": name, "VALUE": value}


@view("NLS_SESSION_PARAMETERS", "PARAMETER VALUE")
def _nls_session(session: Session) -> Iterator[Row]:
    for name, value in session.settings.items():
        if name.startswith("NLS_"):
            yield {"PARAMETER": name, "VALUE": value}


@view("ALL_POLICIES DBA_POLICIES USER_POLICIES", "OBJECT_OWNER OBJECT_NAME POLICY_NAME SEL INS UPD DEL ENABLE")
def _policies(session: Session) -> Iterator[Row]:
    for table in readable_tables(session):
        for policy in table.policies:
            yield {
                "OBJECT_OWNER": table.schema, "OBJECT_NAME": table.name, "POLICY_NAME": policy, "SEL": "YES",
                "INS": "NO",
                "UPD": "NO", "DEL": "NO", "ENABLE": "YES",
            }  # fmt: skip


@view("REDACTION_POLICIES", "OBJECT_OWNER OBJECT_NAME POLICY_NAME ENABLE", public=False)
def _redactions(session: Session) -> Iterator[Row]:
    for table in readable_tables(session):
        if table.redacted:
            yield {
                "OBJECT_OWNER": table.schema, "OBJECT_NAME": table.name, "POLICY_NAME": f"{table.name}_REDACT",
                "ENABLE": "YES",
            }  # fmt: skip


@view("REDACTION_COLUMNS", "OBJECT_OWNER OBJECT_NAME COLUMN_NAME FUNCTION_TYPE", public=False)
def _redacted_columns(session: Session) -> Iterator[Row]:
    for table in readable_tables(session):
        for column in table.redacted:
            yield {
                "OBJECT_OWNER": table.schema, "OBJECT_NAME": table.name, "COLUMN_NAME": column,
                "FUNCTION_TYPE": "FULL REDACTION",
            }  # fmt: skip


@view("ALL_DB_LINKS DBA_DB_LINKS USER_DB_LINKS", "OWNER DB_LINK USERNAME HOST CREATED:d")
def _links(session: Session) -> Iterator[Row]:
    for link in session.database.links:
        yield {"OWNER": "PUBLIC", "DB_LINK": link, "HOST": "elsewhere"}
