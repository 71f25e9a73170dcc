"""A small server that speaks Oracle Net (TNS and TTC) to real drivers and answers SQL from DuckDB.

In a test::

    from tests.oracle_server import OracleServer

    with OracleServer.start(users={"APP": "secret"}) as server:
        server.create_table("APP", "T", [("ID", "NUMBER(9)"), ("NAME", "VARCHAR2(40)")], [(1, "one"), (2, None)])
        con = oracledb.connect(**server.credentials)      # or user=, password=, dsn=server.dsn

`.host`, `.port`, `.service`, `.dsn` and `.users` say where it is; `OracleServer.start(release=21)`, 19 or 18 plays an
older one, 11 one that thin clients refuse, and `tls=[pem, ca]` speaks TLS with that certificate, to clients that have
one of that authority. APP may log in on behalf of HR after `.grant("CONNECT THROUGH APP", "HR")`.

Set-up: `.sql(text)` runs one Oracle statement as SYS and commits (rows of a query, else a count);
`.create_table(schema, name, columns, rows, partitions=(column, [(name, bound or None)]),
organization="heap"|"index"|"external"|"temporary", rows_per_block=, primary_key=)`;
`.insert(schema, name, rows)`; `.load(schema, name, duckdb_query)`; `.rows(schema, name, scn=None)`;
`.create_user(name, password, preset)` with a preset of none, dictionary, scn, all, owner; `.grant(privilege, to)` and
`.revoke(privilege, of)`;
`.alter_user(name, locked=True)`; `.create_synonym(schema, name, (owner, table), link=None)`;
`.set_table(schema, name, policies=[...], redacted=[...], statistics_rows=n, comments={None or column: text})`;
`.set(character_set=..., links={...}, linger=seconds)`, the last for sessions of clients that vanish.

Time: `.scn()`, `.advance_scn(by)`, `.expire_snapshots(scn=None)` for ORA-01555, `.change_ddl(schema, name,
moved=False)` for ORA-01466, `.add_partition(schema, name, partition, bound)` as an interval does. Every version of
every row is kept: reading AS OF SCN reads the past.

Faults: `.fault(kind, match=regex, user=, module=, action=, times=1, skip=0, ...)` with the kinds of `faults.KINDS`:
drop (after_rows), delay (seconds, each_fetch), error (code, after_rows), omit_row and repeat_row (row), refuse_login
(code); `.kill_sessions(code=28, user=None, cut=False)`, `.session_limit(limit, code)`, `.clear_faults()`, `.fired()`.

Looking: `.log()` gives a dict per statement served: session, user, module, action, sql, binds, scn (asked for, or
None), scns, rows, error, started, finished; `.logons()`, `.sessions()`, `.most_sessions()`, `.clear_log()`.

By hand: `python -m tests.oracle_server --demo`.

What it is not: SQL semantics are DuckDB's, so it proves protocol, snapshots and data handling, not Oracle's optimizer,
locks or undo. A statement that it does not understand gets ORA-00900 with the reason.
"""

from tests.oracle_server.handle import OracleServer, ServerError

__all__ = ["OracleServer", "ServerError"]
