"""Dictionary: the views through which Oracle describes itself, each made from the server's state when it is read.

A view is a list of columns and a function that gives its rows. DBA_ and V$ views need the catalog role or a grant;
the others show what the user may read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.oracle_server.database import types
from tests.oracle_server.database.tables import BLOCK_BYTES, FILES, Table, View
from tests.oracle_server.database.types import DATE, INTEGER, NUMBER, OracleType

if TYPE_CHECKING:
    from tests.oracle_server.session import Session

Row = dict[str, Any]
TEXT = types.varchar(128)
LONG_TEXT = types.varchar(4000)


@dataclass(frozen=True)
class DictionaryView:
    """One view: its columns, and what fills them; `public` ones need no grant."""

    columns: dict[str, OracleType]
    rows: Callable[[Session], Iterator[Row]]
    public: bool = True


VIEWS: dict[str, DictionaryView] = {}


def _view(names: str, columns: str, *, public: bool = True) -> Callable[[Any], Any]:
    """Register a view under several names; a column is `NAME`, `NAME:n` for a number or `NAME:d` for a date."""
    kinds = {"": TEXT, "n": NUMBER, "i": INTEGER, "d": DATE, "l": LONG_TEXT, "long": OracleType("LONG")}
    parsed = {}
    for column in columns.split():
        name, _, kind = column.partition(":")
        parsed[name] = kinds[kind]

    def keep(rows: Callable[[Session], Iterator[Row]]) -> Callable[[Session], Iterator[Row]]:
        for name in names.split():
            only_own = name.startswith("USER_")
            VIEWS[name] = DictionaryView(
                parsed, _own(rows) if only_own else rows, public and not name.startswith("DBA_")
            )
        return rows

    return keep


def _own(rows: Callable[[Session], Iterator[Row]]) -> Callable[[Session], Iterator[Row]]:
    def filtered(session: Session) -> Iterator[Row]:
        for row in rows(session):
            owner = row.get("OWNER", row.get("TABLE_OWNER", row.get("OBJECT_OWNER", session.user.name)))
            if owner == session.user.name:
                yield row

    return filtered


def _tables(session: Session) -> Iterator[Table]:
    for table in list(session.database.tables.tables.values()):
        if session.user.may_on("SELECT", table.schema, table.name):
            yield table


def _blocks(table: Table) -> int:
    return sum(extent.blocks for segment in table.segments for extent in segment.extents)


def _views(session: Session) -> Iterator[View]:
    for view in list(session.database.tables.views.values()):
        if session.user.may_on("SELECT", view.schema, view.name):
            yield view


@_view("DUAL", "DUMMY")
def _dual(_: Session) -> Iterator[Row]:
    yield {"DUMMY": "X"}


@_view(
    "ALL_TABLES DBA_TABLES USER_TABLES",
    "OWNER TABLE_NAME TABLESPACE_NAME CLUSTER_NAME IOT_NAME STATUS NUM_ROWS:n BLOCKS:n AVG_ROW_LEN:n DEGREE "
    "LAST_ANALYZED:d PARTITIONED IOT_TYPE TEMPORARY SECONDARY NESTED DROPPED READ_ONLY EXTERNAL HAS_IDENTITY",
)
def _all_tables(session: Session) -> Iterator[Row]:
    for table in _tables(session):
        yield {
            "OWNER": table.schema, "TABLE_NAME": table.name, "STATUS": "VALID", "DEGREE": "1", "TEMPORARY": "N",
            "TABLESPACE_NAME": None if table.partitioning or table.organization != "heap" else "USERS",
            "NUM_ROWS": table.statistics_rows,
            "BLOCKS": None if table.statistics_rows is None else _blocks(table),
            "PARTITIONED": "YES" if table.partitioning else "NO",
            "IOT_TYPE": "IOT" if table.organization == "index" else None,
            "SECONDARY": "N", "NESTED": "NO", "DROPPED": "NO", "READ_ONLY": "NO", "HAS_IDENTITY": "NO",
            "EXTERNAL": "YES" if table.organization == "external" else "NO",
        }  # fmt: skip


@_view("ALL_EXTERNAL_TABLES DBA_EXTERNAL_TABLES USER_EXTERNAL_TABLES", "OWNER TABLE_NAME TYPE_NAME")
def _external_tables(session: Session) -> Iterator[Row]:
    for table in _tables(session):
        if table.organization == "external":
            yield {"OWNER": table.schema, "TABLE_NAME": table.name, "TYPE_NAME": "ORACLE_LOADER"}


@_view("ALL_VIEWS DBA_VIEWS USER_VIEWS", "OWNER VIEW_NAME TEXT_LENGTH:n TEXT:long TEXT_VC:l")
def _all_views(session: Session) -> Iterator[Row]:
    for view in _views(session):
        yield {
            "OWNER": view.schema, "VIEW_NAME": view.name, "TEXT_LENGTH": len(view.query), "TEXT": view.query,
            "TEXT_VC": view.query[:4000],
        }  # fmt: skip


@_view(
    "ALL_TAB_COLUMNS DBA_TAB_COLUMNS USER_TAB_COLUMNS ALL_TAB_COLS DBA_TAB_COLS USER_TAB_COLS",
    "OWNER TABLE_NAME COLUMN_NAME DATA_TYPE DATA_TYPE_MOD DATA_TYPE_OWNER DATA_LENGTH:n DATA_PRECISION:n DATA_SCALE:n "
    "NULLABLE COLUMN_ID:n DATA_DEFAULT:long NUM_DISTINCT:n NUM_NULLS:n CHARACTER_SET_NAME CHAR_LENGTH:n CHAR_USED "
    "HIDDEN_COLUMN VIRTUAL_COLUMN INTERNAL_COLUMN_ID:n USER_GENERATED IDENTITY_COLUMN LAST_ANALYZED:d",
)
def _all_tab_columns(session: Session) -> Iterator[Row]:
    for owner in [*_tables(session), *_views(session)]:
        shown = 0
        for number, column in enumerate(owner.columns, 1):
            shown += 0 if column.hidden else 1
            yield {
                "OWNER": owner.schema, "TABLE_NAME": owner.name, "COLUMN_NAME": column.name,
                **column.type.in_dictionary(), "NULLABLE": "Y" if column.nullable else "N",
                "COLUMN_ID": None if column.hidden else shown, "DATA_DEFAULT": column.default,
                "HIDDEN_COLUMN": "YES" if column.hidden else "NO", "VIRTUAL_COLUMN": "NO",
                "INTERNAL_COLUMN_ID": number, "USER_GENERATED": "YES", "IDENTITY_COLUMN": "NO",
            }  # fmt: skip


@_view(
    "ALL_TAB_PARTITIONS DBA_TAB_PARTITIONS USER_TAB_PARTITIONS",
    "TABLE_OWNER TABLE_NAME COMPOSITE PARTITION_NAME SUBPARTITION_COUNT:n HIGH_VALUE:long HIGH_VALUE_LENGTH:n "
    "PARTITION_POSITION:n NUM_ROWS:n BLOCKS:n TABLESPACE_NAME",
)
def _partitions(session: Session) -> Iterator[Row]:
    for table in _tables(session):
        if table.partitioning:
            for number, (name, bound) in enumerate(table.partitioning.bounds, 1):
                segment = table.segments[number - 1]
                yield {
                    "TABLE_OWNER": table.schema, "TABLE_NAME": table.name, "COMPOSITE": "NO", "PARTITION_NAME": name,
                    "SUBPARTITION_COUNT": 0, "HIGH_VALUE": "MAXVALUE" if bound is None else repr(bound),
                    "HIGH_VALUE_LENGTH": 8, "PARTITION_POSITION": number, "TABLESPACE_NAME": "USERS",
                    "NUM_ROWS": None if table.statistics_rows is None else segment.rows,
                }  # fmt: skip


@_view(
    "ALL_TAB_SUBPARTITIONS DBA_TAB_SUBPARTITIONS USER_TAB_SUBPARTITIONS",
    "TABLE_OWNER TABLE_NAME PARTITION_NAME SUBPARTITION_NAME SUBPARTITION_POSITION:n NUM_ROWS:n",
)
@_view("ALL_SYNONYMS DBA_SYNONYMS USER_SYNONYMS", "OWNER SYNONYM_NAME TABLE_OWNER TABLE_NAME DB_LINK")
@_view("ALL_MVIEWS DBA_MVIEWS USER_MVIEWS", "OWNER MVIEW_NAME QUERY:long")
@_view("ALL_NESTED_TABLES DBA_NESTED_TABLES", "OWNER TABLE_NAME PARENT_TABLE_NAME")
@_view("ALL_TYPES DBA_TYPES", "OWNER TYPE_NAME TYPECODE")
@_view("ALL_TAB_COMMENTS DBA_TAB_COMMENTS USER_TAB_COMMENTS", "OWNER TABLE_NAME TABLE_TYPE COMMENTS:l")
@_view("ALL_COL_COMMENTS DBA_COL_COMMENTS USER_COL_COMMENTS", "OWNER TABLE_NAME COLUMN_NAME COMMENTS:l")
@_view("ALL_LOBS DBA_LOBS USER_LOBS", "OWNER TABLE_NAME COLUMN_NAME SEGMENT_NAME RETENTION:n SECUREFILE")
@_view(
    "V$UNDOSTAT", "BEGIN_TIME:d END_TIME:d UNDOTSN:n MAXQUERYLEN:n TUNED_UNDORETENTION:n SSOLDERRCNT:n", public=False
)
def _nothing(_: Session) -> Iterator[Row]:
    yield from ()


@_view(
    "ALL_PART_TABLES DBA_PART_TABLES USER_PART_TABLES",
    "OWNER TABLE_NAME PARTITIONING_TYPE SUBPARTITIONING_TYPE PARTITION_COUNT:n PARTITIONING_KEY_COUNT:n INTERVAL:l",
)
def _partitioned(session: Session) -> Iterator[Row]:
    for table in _tables(session):
        if table.partitioning:
            yield {
                "OWNER": table.schema, "TABLE_NAME": table.name, "PARTITIONING_TYPE": "RANGE",
                "SUBPARTITIONING_TYPE": "NONE", "PARTITION_COUNT": len(table.partitioning.bounds),
                "PARTITIONING_KEY_COUNT": 1,
            }  # fmt: skip


@_view("ALL_PART_KEY_COLUMNS DBA_PART_KEY_COLUMNS", "OWNER NAME OBJECT_TYPE COLUMN_NAME COLUMN_POSITION:n")
def _partition_keys(session: Session) -> Iterator[Row]:
    for table in _tables(session):
        if table.partitioning:
            yield {
                "OWNER": table.schema, "NAME": table.name, "OBJECT_TYPE": "TABLE",
                "COLUMN_NAME": table.partitioning.column, "COLUMN_POSITION": 1,
            }  # fmt: skip


@_view(
    "ALL_OBJECTS DBA_OBJECTS USER_OBJECTS",
    "OWNER OBJECT_NAME SUBOBJECT_NAME OBJECT_ID:n DATA_OBJECT_ID:n OBJECT_TYPE CREATED:d LAST_DDL_TIME:d TIMESTAMP "
    "STATUS TEMPORARY GENERATED SECONDARY NAMESPACE:n",
)
def _objects(session: Session) -> Iterator[Row]:
    clock = session.database.clock
    for table in _tables(session):
        common = {
            "OWNER": table.schema, "OBJECT_NAME": table.name, "CREATED": clock.time_of(table.created_scn),
            "LAST_DDL_TIME": table.ddl_time, "TIMESTAMP": table.ddl_time.strftime("%Y-%m-%d:%H:%M:%S"),
            "STATUS": "VALID", "TEMPORARY": "N", "GENERATED": "N", "SECONDARY": "N", "NAMESPACE": 1,
        }  # fmt: skip
        heap = not table.partitioning and table.organization == "heap"
        data_object = table.segments[0].data_object if heap else None
        yield common | {"OBJECT_ID": table.object_id, "DATA_OBJECT_ID": data_object, "OBJECT_TYPE": "TABLE"}
        if table.partitioning:
            for segment in table.segments:
                yield common | {
                    "SUBOBJECT_NAME": segment.partition, "OBJECT_ID": segment.data_object,
                    "DATA_OBJECT_ID": segment.data_object, "OBJECT_TYPE": "TABLE PARTITION",
                }  # fmt: skip
    for view in _views(session):
        yield {
            "OWNER": view.schema, "OBJECT_NAME": view.name, "OBJECT_ID": view.object_id, "OBJECT_TYPE": "VIEW",
            "CREATED": view.ddl_time, "LAST_DDL_TIME": view.ddl_time, "STATUS": "VALID", "TEMPORARY": "N",
            "TIMESTAMP": view.ddl_time.strftime("%Y-%m-%d:%H:%M:%S"), "GENERATED": "N", "SECONDARY": "N",
            "NAMESPACE": 1,
        }  # fmt: skip


@_view(
    "DBA_EXTENTS",
    "OWNER SEGMENT_NAME PARTITION_NAME SEGMENT_TYPE TABLESPACE_NAME EXTENT_ID:n FILE_ID:n BLOCK_ID:n BYTES:n BLOCKS:n "
    "RELATIVE_FNO:n",
    public=False,
)
def _extents(session: Session) -> Iterator[Row]:
    for table in list(session.database.tables.tables.values()):
        if table.organization != "heap":
            continue
        for segment in table.segments:
            for extent in segment.extents:
                yield {
                    "OWNER": table.schema, "SEGMENT_NAME": table.name, "PARTITION_NAME": segment.partition,
                    "SEGMENT_TYPE": "TABLE PARTITION" if segment.partition else "TABLE", "TABLESPACE_NAME": "USERS",
                    "EXTENT_ID": extent.number, "FILE_ID": extent.file, "BLOCK_ID": extent.block,
                    "BYTES": extent.blocks * BLOCK_BYTES, "BLOCKS": extent.blocks, "RELATIVE_FNO": extent.file,
                }  # fmt: skip


@_view(
    "DBA_SEGMENTS USER_SEGMENTS",
    "OWNER SEGMENT_NAME PARTITION_NAME SEGMENT_TYPE TABLESPACE_NAME BYTES:n BLOCKS:n EXTENTS:n",
)
def _segments(session: Session) -> Iterator[Row]:
    for table in list(session.database.tables.tables.values()):
        for segment in table.segments:
            blocks = sum(extent.blocks for extent in segment.extents)
            yield {
                "OWNER": table.schema, "SEGMENT_NAME": table.name, "PARTITION_NAME": segment.partition,
                "SEGMENT_TYPE": "TABLE PARTITION" if segment.partition else "TABLE", "TABLESPACE_NAME": "USERS",
                "BYTES": blocks * BLOCK_BYTES, "BLOCKS": blocks, "EXTENTS": len(segment.extents),
            }  # fmt: skip


@_view("DBA_DATA_FILES", "FILE_NAME:l FILE_ID:n TABLESPACE_NAME BYTES:n BLOCKS:n STATUS RELATIVE_FNO:n", public=False)
def _files(_: Session) -> Iterator[Row]:
    for file in FILES:
        yield {
            "FILE_NAME": f"/data/users{file}.dbf", "FILE_ID": file, "TABLESPACE_NAME": "USERS", "RELATIVE_FNO": file,
            "STATUS": "AVAILABLE", "BLOCKS": 4_194_302, "BYTES": 4_194_302 * BLOCK_BYTES,
        }  # fmt: skip


def _keyed(session: Session) -> Iterator[tuple[Table, str]]:
    for table in _tables(session):
        if table.primary_key:
            yield table, f"{table.name}_PK"


@_view(
    "ALL_CONSTRAINTS DBA_CONSTRAINTS USER_CONSTRAINTS",
    "OWNER CONSTRAINT_NAME CONSTRAINT_TYPE TABLE_NAME STATUS DEFERRABLE VALIDATED INDEX_OWNER INDEX_NAME",
)
def _constraints(session: Session) -> Iterator[Row]:
    for table, name in _keyed(session):
        yield {
            "OWNER": table.schema, "CONSTRAINT_NAME": name, "CONSTRAINT_TYPE": "P", "TABLE_NAME": table.name,
            "STATUS": "ENABLED", "DEFERRABLE": "NOT DEFERRABLE", "VALIDATED": "VALIDATED",
            "INDEX_OWNER": table.schema, "INDEX_NAME": name,
        }  # fmt: skip


@_view("ALL_CONS_COLUMNS DBA_CONS_COLUMNS USER_CONS_COLUMNS", "OWNER CONSTRAINT_NAME TABLE_NAME COLUMN_NAME POSITION:n")
def _constraint_columns(session: Session) -> Iterator[Row]:
    for table, name in _keyed(session):
        for number, column in enumerate(table.primary_key, 1):
            yield {
                "OWNER": table.schema, "CONSTRAINT_NAME": name, "TABLE_NAME": table.name, "COLUMN_NAME": column,
                "POSITION": number,
            }  # fmt: skip


@_view(
    "ALL_INDEXES DBA_INDEXES USER_INDEXES",
    "OWNER INDEX_NAME INDEX_TYPE TABLE_OWNER TABLE_NAME UNIQUENESS STATUS PARTITIONED VISIBILITY "
    "DISTINCT_KEYS:n NUM_ROWS:n",
)
def _indexes(session: Session) -> Iterator[Row]:
    for table, name in _keyed(session):
        yield {
            "OWNER": table.schema, "INDEX_NAME": name, "TABLE_OWNER": table.schema, "TABLE_NAME": table.name,
            "INDEX_TYPE": "IOT - TOP" if table.organization == "index" else "NORMAL", "UNIQUENESS": "UNIQUE",
            "STATUS": "VALID", "PARTITIONED": "NO", "VISIBILITY": "VISIBLE",
        }  # fmt: skip


@_view(
    "ALL_IND_COLUMNS DBA_IND_COLUMNS USER_IND_COLUMNS",
    "INDEX_OWNER INDEX_NAME TABLE_OWNER TABLE_NAME COLUMN_NAME COLUMN_POSITION:n DESCEND",
)
def _index_columns(session: Session) -> Iterator[Row]:
    for table, name in _keyed(session):
        for number, column in enumerate(table.primary_key, 1):
            yield {
                "INDEX_OWNER": table.schema, "INDEX_NAME": name, "TABLE_OWNER": table.schema, "TABLE_NAME": table.name,
                "COLUMN_NAME": column, "COLUMN_POSITION": number, "DESCEND": "ASC",
            }  # fmt: skip


@_view(
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
        "DBID": database.dbid, "NAME": database.name, "DB_UNIQUE_NAME": database.name, "CREATED": started,
        "RESETLOGS_CHANGE#": database.incarnation, "RESETLOGS_TIME": started, "CURRENT_SCN": database.clock.tick(),
        "CHECKPOINT_CHANGE#": database.clock.scn, "LOG_MODE": "ARCHIVELOG", "OPEN_MODE": "READ WRITE",
        "DATABASE_ROLE": "PRIMARY", "FLASHBACK_ON": "NO", "PLATFORM_NAME": "Linux x86 64-bit", "CDB": "YES",
        "CON_ID": 0,
        "LAST_OPEN_INCARNATION#": 2,
    }  # fmt: skip


@_view(
    "V$DATABASE_INCARNATION", "INCARNATION#:n RESETLOGS_CHANGE#:n RESETLOGS_TIME:d STATUS RESETLOGS_ID:n", public=False
)
def _incarnation(session: Session) -> Iterator[Row]:
    database = session.database
    yield {
        "INCARNATION#": 2, "RESETLOGS_CHANGE#": database.incarnation, "STATUS": "CURRENT",
        "RESETLOGS_TIME": database.clock.time_of(database.first_scn), "RESETLOGS_ID": database.incarnation,
    }  # fmt: skip


@_view(
    "V$INSTANCE", "INSTANCE_NUMBER:n INSTANCE_NAME HOST_NAME VERSION VERSION_FULL STARTUP_TIME:d STATUS", public=False
)
def _instance(session: Session) -> Iterator[Row]:
    release = session.database.release
    yield {
        "INSTANCE_NUMBER": 1, "INSTANCE_NAME": session.database.name, "HOST_NAME": "testserver", "STATUS": "OPEN",
        "VERSION": f"{release.major}.0.0.0.0", "VERSION_FULL": release.version_text,
    }  # fmt: skip


@_view(
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


@_view("V$MYSTAT", "SID:n STATISTIC#:n VALUE:n", public=False)
def _mystat(session: Session) -> Iterator[Row]:
    yield {"SID": session.number, "STATISTIC#": 0, "VALUE": 1}


@_view("V$PARAMETER", "NUM:n NAME TYPE:n VALUE:l DISPLAY_VALUE:l ISDEFAULT", public=False)
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


@_view("V$VERSION", "BANNER:l BANNER_FULL:l BANNER_LEGACY:l CON_ID:n")
def _version(session: Session) -> Iterator[Row]:
    release = session.database.release
    banner = f"Oracle Database {release.major}{'ai' if release.major == 23 else 'c'} test server, not Oracle's"
    yield {
        "BANNER": banner, "BANNER_FULL": f"{banner}\nVersion {release.version_text}", "BANNER_LEGACY": banner,
        "CON_ID": 0,
    }  # fmt: skip


@_view("PRODUCT_COMPONENT_VERSION", "PRODUCT VERSION VERSION_FULL STATUS")
def _product(session: Session) -> Iterator[Row]:
    release = session.database.release
    yield {
        "PRODUCT": f"Oracle Database {release.major} ", "VERSION": f"{release.major}.0.0.0.0",
        "VERSION_FULL": release.version_text, "STATUS": "Production",
    }  # fmt: skip


@_view("SESSION_PRIVS USER_SYS_PRIVS", "PRIVILEGE USERNAME ADMIN_OPTION")
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


@_view("SESSION_ROLES USER_ROLE_PRIVS", "ROLE GRANTED_ROLE")
def _session_roles(session: Session) -> Iterator[Row]:
    for privilege in sorted(session.user.privileges):
        if " " not in privilege:
            yield {"ROLE": privilege, "GRANTED_ROLE": privilege}


@_view("ALL_TAB_PRIVS USER_TAB_PRIVS DBA_TAB_PRIVS", "GRANTOR GRANTEE TABLE_SCHEMA TABLE_NAME PRIVILEGE GRANTABLE TYPE")
def _object_privileges(session: Session) -> Iterator[Row]:
    for privilege in sorted(session.user.privileges):
        action, _, name = privilege.partition(" ON ")
        if name:
            schema, _, table = name.partition(".")
            yield {
                "GRANTOR": schema, "GRANTEE": session.user.name, "TABLE_SCHEMA": schema, "TABLE_NAME": table,
                "PRIVILEGE": action, "GRANTABLE": "NO", "TYPE": "TABLE",
            }  # fmt: skip


@_view("ALL_USERS DBA_USERS", "USERNAME USER_ID:n ACCOUNT_STATUS")
def _users(session: Session) -> Iterator[Row]:
    for user in session.database.users.by_name.values():
        status = "LOCKED" if user.locked else "EXPIRED" if user.expired else "OPEN"
        yield {"USERNAME": user.name, "USER_ID": user.number, "ACCOUNT_STATUS": status}


@_view("USER_USERS", "USERNAME USER_ID:n ACCOUNT_STATUS LOCK_DATE:d EXPIRY_DATE:d")
def _own_user(session: Session) -> Iterator[Row]:
    yield {"USERNAME": session.user.name, "USER_ID": session.user.number, "ACCOUNT_STATUS": "OPEN"}


@_view("USER_RESOURCE_LIMITS", "RESOURCE_NAME LIMIT")
def _limits(session: Session) -> Iterator[Row]:
    limit = session.user.session_limit
    yield {"RESOURCE_NAME": "SESSIONS_PER_USER", "LIMIT": "UNLIMITED" if limit is None else str(limit)}


@_view("NLS_DATABASE_PARAMETERS NLS_INSTANCE_PARAMETERS V$NLS_PARAMETERS", "PARAMETER VALUE")
def _nls(session: Session) -> Iterator[Row]:
    database = session.database
    for name, value in (
        ("NLS_CHARACTERSET", database.character_set), ("NLS_NCHAR_CHARACTERSET", "AL16UTF16"), ("NLS_COMP", "BINARY"),
        ("NLS_SORT", "BINARY"), ("NLS_LENGTH_SEMANTICS", "BYTE"), ("NLS_DATE_FORMAT", "DD-MON-RR"),
        ("NLS_NUMERIC_CHARACTERS", ".,"), ("NLS_RDBMS_VERSION", session.database.release.version_text),
    ):  # fmt: skip
        yield {"PARAMETER": name, "VALUE": value}


@_view("NLS_SESSION_PARAMETERS", "PARAMETER VALUE")
def _nls_session(session: Session) -> Iterator[Row]:
    for name, value in session.settings.items():
        if name.startswith("NLS_"):
            yield {"PARAMETER": name, "VALUE": value}


@_view("ALL_POLICIES DBA_POLICIES USER_POLICIES", "OBJECT_OWNER OBJECT_NAME POLICY_NAME SEL INS UPD DEL ENABLE")
def _policies(session: Session) -> Iterator[Row]:
    for table in _tables(session):
        for policy in table.policies:
            yield {
                "OBJECT_OWNER": table.schema, "OBJECT_NAME": table.name, "POLICY_NAME": policy, "SEL": "YES",
                "INS": "NO",
                "UPD": "NO", "DEL": "NO", "ENABLE": "YES",
            }  # fmt: skip


@_view("REDACTION_POLICIES", "OBJECT_OWNER OBJECT_NAME POLICY_NAME ENABLE", public=False)
def _redactions(session: Session) -> Iterator[Row]:
    for table in _tables(session):
        if table.redacted:
            yield {
                "OBJECT_OWNER": table.schema, "OBJECT_NAME": table.name, "POLICY_NAME": f"{table.name}_REDACT",
                "ENABLE": "YES",
            }  # fmt: skip


@_view("REDACTION_COLUMNS", "OBJECT_OWNER OBJECT_NAME COLUMN_NAME FUNCTION_TYPE", public=False)
def _redacted_columns(session: Session) -> Iterator[Row]:
    for table in _tables(session):
        for column in table.redacted:
            yield {
                "OBJECT_OWNER": table.schema, "OBJECT_NAME": table.name, "COLUMN_NAME": column,
                "FUNCTION_TYPE": "FULL REDACTION",
            }  # fmt: skip


@_view("ALL_DB_LINKS DBA_DB_LINKS USER_DB_LINKS", "OWNER DB_LINK USERNAME HOST CREATED:d")
def _links(session: Session) -> Iterator[Row]:
    for link in session.database.links:
        yield {"OWNER": "PUBLIC", "DB_LINK": link, "HOST": "elsewhere"}


def find(name: str) -> tuple[str, DictionaryView] | None:
    """A dictionary view by any of the names under which it can be read."""
    plain = name.replace("V_$", "V$").replace("GV$", "V$")
    return (plain, VIEWS[plain]) if plain in VIEWS else None
