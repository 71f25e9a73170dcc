"""The server's dictionary, and how row ids, extents and partitions fit together."""

import oracledb
import pytest


@pytest.fixture(scope="module")
def tables(server):
    server.create_table(
        "APP", "WIDE", [("ID", "NUMBER(9)"), ("Mixed Case", "VARCHAR2(10 CHAR)"), ("SELECT", "NUMBER(5,2)"), ("TS",
        "TIMESTAMP(3)")],
        [(n, f"v{n}", n, None) for n in range(1000)], rows_per_block=3, primary_key=["ID"],
    )  # fmt: skip
    server.create_table(
        "APP", "PARTS", [("ID", "NUMBER(9)"), ("K", "NUMBER(3)")], [(n, n % 30) for n in range(300)],
        partitions=("K", [("P1", 10), ("P2", 20), ("PMAX", None)]),
    )  # fmt: skip
    server.create_table("APP", "mixed", [("id", "NUMBER(9)")], [(1,)])
    server.create_table("APP", "IOT", [("ID", "NUMBER(9)")], [(1,), (2,)], organization="index", primary_key=["ID"])
    server.sql('create view app.recent as select id, "Mixed Case" as m from app.wide where id >= 990')
    return server


def test_columns_are_described_as_declared(tables, cursor):
    got = cursor.execute(
        "select column_name, data_type, data_precision, data_scale, char_length, char_used, nullable "
        "from all_tab_columns "
        "where owner = :1 and table_name = :2 order by column_id", ["APP", "WIDE"],
    ).fetchall()  # fmt: skip
    assert got == [
        ("ID", "NUMBER", 9, 0, 0, None, "N"),
        ("Mixed Case", "VARCHAR2", None, None, 10, "C", "Y"),
        ("SELECT", "NUMBER", 5, 2, 0, None, "Y"),
        ("TS", "TIMESTAMP(3)", None, 3, 0, None, "Y"),
    ]


def test_not_like_leaves_out_what_is_like(tables, cursor):
    where = "from all_tab_columns where owner = 'APP' and table_name = 'WIDE' and"
    assert cursor.execute(f"select column_name {where} column_name not like '%S%' order by 1").fetchall() == [
        ("ID",), ("Mixed Case",),
    ]  # fmt: skip
    escaped = f"select count(*) {where} data_type not like 'TIMESTAMP!(%' escape '!'"
    assert cursor.execute(escaped).fetchall() == [(3,)]


def test_names_are_those_that_were_quoted(tables, cursor):
    assert cursor.execute('select "Mixed Case", "SELECT" from wide where id = 1').fetchall() == [("v1", 1)]
    assert cursor.execute('select "id" from "mixed"').fetchall() == [(1,)]
    with pytest.raises(oracledb.DatabaseError, match="ORA-00942"):
        cursor.execute("select id from mixed")
    with pytest.raises(oracledb.DatabaseError, match="ORA-00904"):
        cursor.execute('select id from "mixed"')


def test_row_ids_do_not_sort_as_their_text_does_and_extents_cover_every_row_once(tables, cursor):
    ids = [row[0] for row in cursor.execute("select rowid from wide order by rowid").fetchall()]
    assert sorted(ids) != ids
    assert len(set(ids)) == 1000
    extents = cursor.execute(
        "select o.data_object_id, e.relative_fno, e.block_id, e.blocks from dba_extents e join dba_objects o "
        "on o.owner = e.owner and o.object_name = e.segment_name where e.owner = 'APP' and e.segment_name = 'WIDE' "
        "order by e.relative_fno, e.block_id"
    ).fetchall()
    seen = []
    for data_object, file, block, blocks in extents:
        got = cursor.execute(
            "select id from wide where rowid >= dbms_rowid.rowid_create(1, :1, :2, :3, 0) "
            "and rowid <= dbms_rowid.rowid_create(1, :4, :5, :6, 32767)",
            [data_object, file, block, data_object, file, block + blocks - 1],
        ).fetchall()
        seen += [row[0] for row in got]
    assert sorted(seen) == list(range(1000))
    low, high = ids[300], ids[700]
    between = cursor.execute(
        "select count(*) from wide where rowid >= chartorowid(:1) and rowid < :2", [low, high]
    ).fetchone()
    assert between == (400,)


def test_partitions_are_read_one_by_one(tables, cursor):
    names = cursor.execute(
        "select partition_name from all_tab_partitions where table_owner = 'APP' and table_name = 'PARTS' "
        "order by partition_position"
    ).fetchall()
    counts = [cursor.execute(f"select count(*) from parts partition ({name})").fetchone()[0] for (name,) in names]
    assert counts == [100, 100, 100]
    with pytest.raises(oracledb.DatabaseError, match="ORA-02149"):
        cursor.execute("select * from parts partition (nope)")


def test_views_have_no_row_ids_and_index_tables_logical_ones(tables, cursor):
    assert cursor.execute("select count(*) from recent").fetchone() == (10,)
    scn = tables.scn()
    tables.sql("delete from app.wide where id = 999")
    assert cursor.execute(f"select count(*) from recent as of scn {scn}").fetchone() == (10,)
    assert cursor.execute("select count(*) from recent").fetchone() == (9,)
    tables.insert("APP", "WIDE", [(999, "v999", 999 % 500, None)])
    with pytest.raises(oracledb.DatabaseError, match="ORA-01445"):
        cursor.execute("select rowid from recent")
    assert cursor.execute("select rowid from iot").fetchone()[0].startswith("*")
    assert cursor.execute("select iot_type from all_tables where table_name = 'IOT'").fetchone() == ("IOT",)


def test_a_moved_table_has_a_new_data_object(tables, cursor):
    sql = "select data_object_id, last_ddl_time from all_objects where object_name = 'PARTS' and subobject_name = 'P1'"
    before = cursor.execute(sql).fetchone()
    tables.sql("alter table app.parts move")
    after = cursor.execute(sql).fetchone()
    assert after[0] != before[0]
    assert cursor.execute("select count(*) from parts").fetchone() == (300,)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("select sys_context('USERENV', 'DB_NAME'), user from dual", [("TESTDB", "APP")]),
        ("select value from nls_database_parameters where parameter = 'NLS_CHARACTERSET'", [("AL32UTF8",)]),
        (
            "select nvl(null, 'x'), coalesce(null, 1), nvl2(1, 'a', 'b'), decode(2, 1, 'a', 2, 'b') from dual",
            [("x", 1, "a", "b")],
        ),
        ("select 1 / 3 from dual", [(1 / 3,)]),
        ("select count(*) from (select id from wide where rownum <= 5)", [(5,)]),
        ("select max(id) from wide w where exists (select 1 from parts p where p.id = w.id)", [(299,)]),
        ("select id from wide where id in (3, 1, 2) order by id desc", [(3,), (2,), (1,)]),
        (
            "select id from (select id, row_number() over (order by id desc) n from parts) where n <= 2",
            [(299,), (298,)],
        ),
        ("with q as (select 1 a from dual union all select 2 from dual) select sum(a) from q", [(3,)]),
        (
            "select k, count(*) from parts group by k having count(*) > 1 order by k fetch first 2 rows only",
            [(0, 10), (1, 10)],
        ),
        ("select count(distinct ora_hash(id, 3)) from wide", [(4,)]),
        (
            "select to_char(date '2024-02-29', 'DD.MM.YYYY'), to_char(1234.5, 'FM9999.00') from dual",
            [("29.02.2024", "1234.50")],
        ),
        (
            "select trunc(to_date('2024-05-06 07:08:09', 'YYYY-MM-DD HH24:MI:SS'), 'MM') - date '2024-04-30' from dual",
            [(1,)],
        ),
        ("select 'it''s' || null || q'[ q]' from dual", [("it's q",)]),
    ],
)
def test_oracle_sql_is_understood(tables, cursor, sql, rows):
    assert cursor.execute(sql).fetchall() == rows


def test_policies_and_redaction_are_told_and_redaction_masks(tables):
    tables.create_table("APP", "SECRET", [("ID", "NUMBER(9)"), ("SSN", "VARCHAR2(20)")], [(1, "123")])
    tables.set_table("APP", "SECRET", policies=["ONLY_MINE"], redacted=["SSN"])
    tables.create_user("READER", "pw", "scn")
    with oracledb.connect(user="READER", password="pw", dsn=tables.dsn) as reader:
        cursor = reader.cursor()
        assert cursor.execute("select object_name from all_policies").fetchall() == [("SECRET",)]
        assert cursor.execute("select object_name, column_name from redaction_columns").fetchall() == [
            ("SECRET", "SSN")
        ]
        assert cursor.execute("select ssn from app.secret").fetchall() == [(" ",)]
        tables.grant("EXEMPT REDACTION POLICY", "READER")
        assert cursor.execute("select ssn from app.secret").fetchall() == [("123",)]


def test_a_column_that_is_invisible_is_read_by_its_name_alone(cursor):
    cursor.execute("create table app.half (a number, b varchar2(5) invisible, c number not null)")
    cursor.execute("insert into app.half values (1, 2)")
    cursor.execute("insert into app.half (a, b, c) values (3, 'x', 4)")
    assert cursor.execute("select * from app.half order by a").fetchall() == [(1, 2), (3, 4)]
    assert cursor.execute("select a, b, c from app.half order by a").fetchall() == [(1, None, 2), (3, "x", 4)]
    said = "select column_name, hidden_column, column_id from all_tab_cols where table_name = 'HALF' order by 1"
    assert cursor.execute(said).fetchall() == [("A", "NO", 1), ("B", "YES", None), ("C", "NO", 2)]
    cursor.execute("alter table app.half modify (a invisible)")
    assert cursor.execute("select * from app.half order by c").fetchall() == [(2,), (4,)]


@pytest.mark.parametrize(
    "statement",
    [
        "create table app.{} (a number)", "create table app.t (a number, {} date)", "select 1 as {} from dual",
        "create table app.{} as select 1 a from dual", "create view app.{} as select 1 a from dual", "select 1 from {}",
    ],
)  # fmt: skip
def test_a_name_of_more_than_128_bytes_is_refused(cursor, statement):
    with pytest.raises(oracledb.DatabaseError, match="ORA-00972"):
        cursor.execute(statement.format('"' + "\u00e9" * 65 + '"'))
