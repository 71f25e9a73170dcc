"""Dictionary views of what users have made: tables, columns, partitions, extents, keys and views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.oracle_server.database.dictionary import Row, readable_tables, view
from tests.oracle_server.database.tables import BLOCK_BYTES, FILES, Segment, Table, View

if TYPE_CHECKING:
    from tests.oracle_server.session import Session


def _blocks(table: Table) -> int:
    return sum(extent.blocks for segment in table.segments for extent in segment.extents)


def _segment_type(segment: Segment) -> str:
    if segment.subpartition:
        return "TABLE SUBPARTITION"
    return "TABLE PARTITION" if segment.partition else "TABLE"


def _views(session: Session) -> Iterator[View]:
    for stored in list(session.database.tables.views.values()):
        if session.user.may_on("SELECT", stored.schema, stored.name):
            yield stored


@view(
    "ALL_DEPENDENCIES DBA_DEPENDENCIES USER_DEPENDENCIES",
    "OWNER NAME TYPE REFERENCED_OWNER REFERENCED_NAME REFERENCED_TYPE",
)
def _dependencies(session: Session) -> Iterator[Row]:
    for stored in _views(session):
        for owner, name, kind in stored.calls:
            yield {
                "OWNER": stored.schema, "NAME": stored.name, "TYPE": "VIEW", "REFERENCED_OWNER": owner,
                "REFERENCED_NAME": name, "REFERENCED_TYPE": kind,
            }  # fmt: skip


@view("DUAL", "DUMMY")
def _dual(_: Session) -> Iterator[Row]:
    yield {"DUMMY": "X"}


@view(
    "ALL_TABLES DBA_TABLES USER_TABLES",
    "OWNER TABLE_NAME TABLESPACE_NAME CLUSTER_NAME IOT_NAME STATUS NUM_ROWS:n BLOCKS:n AVG_ROW_LEN:n DEGREE "
    "LAST_ANALYZED:d PARTITIONED IOT_TYPE TEMPORARY SECONDARY NESTED DROPPED READ_ONLY EXTERNAL HAS_IDENTITY",
)
def _all_tables(session: Session) -> Iterator[Row]:
    for table in readable_tables(session):
        yield {
            "OWNER": table.schema, "TABLE_NAME": table.name, "STATUS": "VALID", "DEGREE": "1",
            "TEMPORARY": "Y" if table.organization == "temporary" else "N",
            "TABLESPACE_NAME": None if table.partitioning or table.organization != "heap" else "USERS",
            "NUM_ROWS": table.statistics_rows,
            "BLOCKS": None if table.statistics_rows is None else _blocks(table),
            "PARTITIONED": "YES" if table.partitioning else "NO",
            "IOT_TYPE": "IOT" if table.organization == "index" else None,
            "SECONDARY": "N", "NESTED": "NO", "DROPPED": "NO", "READ_ONLY": "NO", "HAS_IDENTITY": "NO",
            "EXTERNAL": "YES" if table.organization == "external" else "NO",
        }  # fmt: skip


@view("ALL_SYNONYMS DBA_SYNONYMS USER_SYNONYMS", "OWNER SYNONYM_NAME TABLE_OWNER TABLE_NAME DB_LINK")
def _synonyms(session: Session) -> Iterator[Row]:
    for (schema, name), (owner, table, link) in list(session.database.synonyms.items()):
        yield {"OWNER": schema, "SYNONYM_NAME": name, "TABLE_OWNER": owner, "TABLE_NAME": table, "DB_LINK": link}


@view("ALL_EXTERNAL_TABLES DBA_EXTERNAL_TABLES USER_EXTERNAL_TABLES", "OWNER TABLE_NAME TYPE_NAME")
def _external_tables(session: Session) -> Iterator[Row]:
    for table in readable_tables(session):
        if table.organization == "external":
            yield {"OWNER": table.schema, "TABLE_NAME": table.name, "TYPE_NAME": "ORACLE_LOADER"}


@view("ALL_VIEWS DBA_VIEWS USER_VIEWS", "OWNER VIEW_NAME TEXT_LENGTH:n TEXT:long TEXT_VC:l")
def _all_views(session: Session) -> Iterator[Row]:
    for stored in _views(session):
        yield {
            "OWNER": stored.schema, "VIEW_NAME": stored.name, "TEXT_LENGTH": len(stored.query), "TEXT": stored.query,
            "TEXT_VC": stored.query[:4000],
        }  # fmt: skip


@view(
    "ALL_TAB_COLUMNS DBA_TAB_COLUMNS USER_TAB_COLUMNS ALL_TAB_COLS DBA_TAB_COLS USER_TAB_COLS",
    "OWNER TABLE_NAME COLUMN_NAME DATA_TYPE DATA_TYPE_MOD DATA_TYPE_OWNER DATA_LENGTH:n DATA_PRECISION:n DATA_SCALE:n "
    "NULLABLE COLUMN_ID:n DATA_DEFAULT:long NUM_DISTINCT:n NUM_NULLS:n CHARACTER_SET_NAME CHAR_LENGTH:n CHAR_USED "
    "HIDDEN_COLUMN VIRTUAL_COLUMN INTERNAL_COLUMN_ID:n USER_GENERATED IDENTITY_COLUMN LAST_ANALYZED:d",
)
def _all_tab_columns(session: Session) -> Iterator[Row]:
    for owner in [*readable_tables(session), *_views(session)]:
        shown = 0
        for number, column in enumerate(owner.columns, 1):
            shown += 0 if column.hidden else 1
            yield {
                "OWNER": owner.schema, "TABLE_NAME": owner.name, "COLUMN_NAME": column.name,
                **column.type.in_dictionary(), "NULLABLE": "Y" if column.nullable else "N",
                "COLUMN_ID": None if column.hidden else shown, "DATA_DEFAULT": column.default,
                "HIDDEN_COLUMN": "YES" if column.hidden else "NO", "VIRTUAL_COLUMN": "NO",
                "INTERNAL_COLUMN_ID": number,
                "USER_GENERATED": "NO" if column.name == "ORA_ARCHIVE_STATE" else "YES", "IDENTITY_COLUMN": "NO",
            }  # fmt: skip


@view(
    "ALL_TAB_PARTITIONS DBA_TAB_PARTITIONS USER_TAB_PARTITIONS",
    "TABLE_OWNER TABLE_NAME COMPOSITE PARTITION_NAME SUBPARTITION_COUNT:n HIGH_VALUE:long HIGH_VALUE_LENGTH:n "
    "PARTITION_POSITION:n NUM_ROWS:n BLOCKS:n TABLESPACE_NAME",
)
def _partitions(session: Session) -> Iterator[Row]:
    for table in readable_tables(session):
        if table.partitioning:
            for number, (name, bound) in enumerate(table.partitioning.bounds, 1):
                segments = [segment for segment in table.segments if segment.partition == name]
                parts = table.partitioning.subpartitions
                high = "MAXVALUE" if bound is None else repr(bound)
                yield {
                    "TABLE_OWNER": table.schema, "TABLE_NAME": table.name, "COMPOSITE": "YES" if parts else "NO",
                    "PARTITION_NAME": name, "SUBPARTITION_COUNT": parts,
                    "HIGH_VALUE": high, "HIGH_VALUE_LENGTH": 8, "PARTITION_POSITION": number,
                    "TABLESPACE_NAME": "USERS",
                    "NUM_ROWS": None if table.statistics_rows is None else sum(segment.rows for segment in segments),
                }  # fmt: skip


@view(
    "ALL_TAB_SUBPARTITIONS DBA_TAB_SUBPARTITIONS USER_TAB_SUBPARTITIONS",
    "TABLE_OWNER TABLE_NAME PARTITION_NAME SUBPARTITION_NAME SUBPARTITION_POSITION:n NUM_ROWS:n",
)
def _subpartitions(session: Session) -> Iterator[Row]:
    """Their NUM_ROWS is not gathered unless the DBA asks for the granularity of subpartitions."""
    for table in readable_tables(session):
        for number, segment in enumerate(table.segments):
            if segment.subpartition:
                yield {
                    "TABLE_OWNER": table.schema, "TABLE_NAME": table.name, "PARTITION_NAME": segment.partition,
                    "SUBPARTITION_NAME": segment.subpartition, "SUBPARTITION_POSITION": number + 1, "NUM_ROWS": None,
                }  # fmt: skip


@view("ALL_TAB_COMMENTS DBA_TAB_COMMENTS USER_TAB_COMMENTS", "OWNER TABLE_NAME TABLE_TYPE COMMENTS:l")
def _table_comments(session: Session) -> Iterator[Row]:
    for table in readable_tables(session):
        comment = table.comments.get(None)
        yield {"OWNER": table.schema, "TABLE_NAME": table.name, "TABLE_TYPE": "TABLE", "COMMENTS": comment}


@view("ALL_COL_COMMENTS DBA_COL_COMMENTS USER_COL_COMMENTS", "OWNER TABLE_NAME COLUMN_NAME COMMENTS:l")
def _column_comments(session: Session) -> Iterator[Row]:
    for table in readable_tables(session):
        for column in table.columns:
            comment = table.comments.get(column.name)
            yield {"OWNER": table.schema, "TABLE_NAME": table.name, "COLUMN_NAME": column.name, "COMMENTS": comment}


@view("ALL_MVIEWS DBA_MVIEWS USER_MVIEWS", "OWNER MVIEW_NAME QUERY:long")
@view("ALL_NESTED_TABLES DBA_NESTED_TABLES", "OWNER TABLE_NAME PARENT_TABLE_NAME")
@view("ALL_TYPES DBA_TYPES", "OWNER TYPE_NAME TYPECODE")
@view("ALL_LOBS DBA_LOBS USER_LOBS", "OWNER TABLE_NAME COLUMN_NAME SEGMENT_NAME RETENTION:n SECUREFILE")
@view("V$UNDOSTAT", "BEGIN_TIME:d END_TIME:d UNDOTSN:n MAXQUERYLEN:n TUNED_UNDORETENTION:n SSOLDERRCNT:n", public=False)
def _nothing(_: Session) -> Iterator[Row]:
    yield from ()


@view(
    "ALL_PART_TABLES DBA_PART_TABLES USER_PART_TABLES",
    "OWNER TABLE_NAME PARTITIONING_TYPE SUBPARTITIONING_TYPE PARTITION_COUNT:n PARTITIONING_KEY_COUNT:n INTERVAL:l",
)
def _partitioned(session: Session) -> Iterator[Row]:
    for table in readable_tables(session):
        if table.partitioning:
            yield {
                "OWNER": table.schema, "TABLE_NAME": table.name, "PARTITIONING_TYPE": "RANGE",
                "SUBPARTITIONING_TYPE": "NONE", "PARTITION_COUNT": len(table.partitioning.bounds),
                "PARTITIONING_KEY_COUNT": 1,
            }  # fmt: skip


@view("ALL_PART_KEY_COLUMNS DBA_PART_KEY_COLUMNS", "OWNER NAME OBJECT_TYPE COLUMN_NAME COLUMN_POSITION:n")
def _partition_keys(session: Session) -> Iterator[Row]:
    for table in readable_tables(session):
        if table.partitioning:
            yield {
                "OWNER": table.schema, "NAME": table.name, "OBJECT_TYPE": "TABLE",
                "COLUMN_NAME": table.partitioning.column, "COLUMN_POSITION": 1,
            }  # fmt: skip


@view(
    "ALL_OBJECTS DBA_OBJECTS USER_OBJECTS",
    "OWNER OBJECT_NAME SUBOBJECT_NAME OBJECT_ID:n DATA_OBJECT_ID:n OBJECT_TYPE CREATED:d LAST_DDL_TIME:d TIMESTAMP "
    "STATUS TEMPORARY GENERATED SECONDARY NAMESPACE:n",
)
def _objects(session: Session) -> Iterator[Row]:
    clock = session.database.clock
    for table in readable_tables(session):
        common = {
            "OWNER": table.schema, "OBJECT_NAME": table.name, "CREATED": clock.time_of(table.created_scn),
            "LAST_DDL_TIME": table.ddl_time, "TIMESTAMP": table.ddl_time.strftime("%Y-%m-%d:%H:%M:%S"),
            "STATUS": "VALID", "TEMPORARY": "N", "GENERATED": "N", "SECONDARY": "N", "NAMESPACE": 1,
        }  # fmt: skip
        heap = not table.partitioning and table.organization == "heap"
        data_object = table.segments[0].data_object if heap else None
        yield common | {"OBJECT_ID": table.object_id, "DATA_OBJECT_ID": data_object, "OBJECT_TYPE": "TABLE"}
        if table.partitioning:
            if table.partitioning.subpartitions:
                for name, _ in table.partitioning.bounds:
                    yield common | {"SUBOBJECT_NAME": name, "OBJECT_TYPE": "TABLE PARTITION"}
            for segment in table.segments:
                yield common | {
                    "SUBOBJECT_NAME": segment.name, "OBJECT_ID": segment.data_object,
                    "DATA_OBJECT_ID": segment.data_object, "OBJECT_TYPE": _segment_type(segment),
                }  # fmt: skip
    for stored in _views(session):
        yield {
            "OWNER": stored.schema, "OBJECT_NAME": stored.name, "OBJECT_ID": stored.object_id, "OBJECT_TYPE": "VIEW",
            "CREATED": stored.ddl_time, "LAST_DDL_TIME": stored.ddl_time, "STATUS": "VALID", "TEMPORARY": "N",
            "TIMESTAMP": stored.ddl_time.strftime("%Y-%m-%d:%H:%M:%S"), "GENERATED": "N", "SECONDARY": "N",
            "NAMESPACE": 1,
        }  # fmt: skip
    for schema, name in list(session.database.synonyms):
        yield {"OWNER": schema, "OBJECT_NAME": name, "OBJECT_TYPE": "SYNONYM", "STATUS": "VALID", "NAMESPACE": 1}


@view(
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
                    "OWNER": table.schema, "SEGMENT_NAME": table.name, "PARTITION_NAME": segment.name,
                    "SEGMENT_TYPE": _segment_type(segment), "TABLESPACE_NAME": "USERS",
                    "EXTENT_ID": extent.number, "FILE_ID": extent.file, "BLOCK_ID": extent.block,
                    "BYTES": extent.blocks * BLOCK_BYTES, "BLOCKS": extent.blocks, "RELATIVE_FNO": extent.file,
                }  # fmt: skip


@view(
    "DBA_SEGMENTS USER_SEGMENTS",
    "OWNER SEGMENT_NAME PARTITION_NAME SEGMENT_TYPE TABLESPACE_NAME BYTES:n BLOCKS:n EXTENTS:n",
)
def _segments(session: Session) -> Iterator[Row]:
    for table in list(session.database.tables.tables.values()):
        for segment in table.segments:
            blocks = sum(extent.blocks for extent in segment.extents)
            yield {
                "OWNER": table.schema, "SEGMENT_NAME": table.name, "PARTITION_NAME": segment.name,
                "SEGMENT_TYPE": _segment_type(segment), "TABLESPACE_NAME": "USERS",
                "BYTES": blocks * BLOCK_BYTES, "BLOCKS": blocks, "EXTENTS": len(segment.extents),
            }  # fmt: skip


@view("DBA_DATA_FILES", "FILE_NAME:l FILE_ID:n TABLESPACE_NAME BYTES:n BLOCKS:n STATUS RELATIVE_FNO:n", public=False)
def _files(_: Session) -> Iterator[Row]:
    for file in FILES:
        yield {
            "FILE_NAME": f"/data/users{file}.dbf", "FILE_ID": file, "TABLESPACE_NAME": "USERS", "RELATIVE_FNO": file,
            "STATUS": "AVAILABLE", "BLOCKS": 4_194_302, "BYTES": 4_194_302 * BLOCK_BYTES,
        }  # fmt: skip


def _keyed(session: Session) -> Iterator[tuple[Table, str]]:
    for table in readable_tables(session):
        if table.primary_key:
            yield table, f"{table.name}_PK"


def _indexed(session: Session) -> Iterator[tuple[Table, str, tuple[str, ...]]]:
    for table, name in _keyed(session):
        yield table, name, table.primary_key
    for table in readable_tables(session):
        for number, columns in enumerate(table.indexes, 1):
            yield table, f"{table.name}_IX{number}", columns


@view(
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


@view("ALL_CONS_COLUMNS DBA_CONS_COLUMNS USER_CONS_COLUMNS", "OWNER CONSTRAINT_NAME TABLE_NAME COLUMN_NAME POSITION:n")
def _constraint_columns(session: Session) -> Iterator[Row]:
    for table, name in _keyed(session):
        for number, column in enumerate(table.primary_key, 1):
            yield {
                "OWNER": table.schema, "CONSTRAINT_NAME": name, "TABLE_NAME": table.name, "COLUMN_NAME": column,
                "POSITION": number,
            }  # fmt: skip


@view(
    "ALL_INDEXES DBA_INDEXES USER_INDEXES",
    "OWNER INDEX_NAME INDEX_TYPE TABLE_OWNER TABLE_NAME UNIQUENESS STATUS PARTITIONED VISIBILITY "
    "DISTINCT_KEYS:n NUM_ROWS:n",
)
def _indexes(session: Session) -> Iterator[Row]:
    for table, name, columns in _indexed(session):
        is_key = columns == table.primary_key
        yield {
            "OWNER": table.schema, "INDEX_NAME": name, "TABLE_OWNER": table.schema, "TABLE_NAME": table.name,
            "INDEX_TYPE": "IOT - TOP" if is_key and table.organization == "index" else _index_type(table, columns),
            "UNIQUENESS": "UNIQUE" if is_key else "NONUNIQUE",
            "STATUS": "VALID", "PARTITIONED": "NO", "VISIBILITY": "VISIBLE",
        }  # fmt: skip


@view(
    "ALL_IND_COLUMNS DBA_IND_COLUMNS USER_IND_COLUMNS",
    "INDEX_OWNER INDEX_NAME TABLE_OWNER TABLE_NAME COLUMN_NAME COLUMN_POSITION:n DESCEND",
)
def _index_columns(session: Session) -> Iterator[Row]:
    for table, name, columns in _indexed(session):
        for number, column in enumerate(columns, 1):
            yield {
                "INDEX_OWNER": table.schema, "INDEX_NAME": name, "TABLE_OWNER": table.schema, "TABLE_NAME": table.name,
                "COLUMN_NAME": f"SYS_NC{number:05}$" if _is_constant(table, column) else column,
                "COLUMN_POSITION": number, "DESCEND": "ASC",
            }  # fmt: skip


@view(
    "ALL_IND_EXPRESSIONS DBA_IND_EXPRESSIONS USER_IND_EXPRESSIONS",
    "INDEX_OWNER INDEX_NAME TABLE_OWNER TABLE_NAME COLUMN_EXPRESSION:long COLUMN_POSITION:n",
)
def _index_expressions(session: Session) -> Iterator[Row]:
    for table, name, columns in _indexed(session):
        for number, column in enumerate(columns, 1):
            if _is_constant(table, column):
                yield {
                    "INDEX_OWNER": table.schema, "INDEX_NAME": name, "TABLE_OWNER": table.schema,
                    "TABLE_NAME": table.name, "COLUMN_EXPRESSION": column, "COLUMN_POSITION": number,
                }  # fmt: skip


def _is_constant(table: Table, part: str) -> bool:
    return part not in {column.name for column in table.columns}


def _index_type(table: Table, columns: tuple[str, ...]) -> str:
    is_plain = not any(_is_constant(table, column) for column in columns)
    return "NORMAL" if is_plain else "FUNCTION-BASED NORMAL"
