"""What each error of Oracle and its driver means for a run."""

from __future__ import annotations

import pytest

from statekeeper.sources.oracle.errors import Meaning, meaning_of


@pytest.mark.parametrize(
    ("text", "meaning", "code"),
    [
        ("ORA-01555: snapshot too old: rollback segment number 9", Meaning.SNAPSHOT_LOST, "ORA-01555"),
        ("ORA-08180: no snapshot found based on specified time", Meaning.SNAPSHOT_LOST, "ORA-08180"),
        ("ORA-08181: not a valid system change number", Meaning.SNAPSHOT_LOST, "ORA-08181"),
        ("ORA-01466: unable to read data", Meaning.SNAPSHOT_LOST, "ORA-01466"),
        ("ORA-22924: snapshot too old", Meaning.SNAPSHOT_LOST, "ORA-22924"),
        ("ORA-08103: object no longer exists", Meaning.SNAPSHOT_LOST, "ORA-08103"),
        ("ORA-01410: invalid ROWID", Meaning.SNAPSHOT_LOST, "ORA-01410"),
        ("ORA-12801: error signaled in P000\nORA-01555: snapshot too old", Meaning.SNAPSHOT_LOST, "ORA-01555"),
        ("ORA-01017: invalid username/password; logon denied", Meaning.LOGIN_REFUSED, "ORA-01017"),
        ("ORA-28000: the account is locked", Meaning.LOGIN_REFUSED, "ORA-28000"),
        ("ORA-28001: the password has expired", Meaning.LOGIN_REFUSED, "ORA-28001"),
        ("ORA-01045: user lacks CREATE SESSION privilege", Meaning.LOGIN_REFUSED, "ORA-01045"),
        ("DPY-4001: no credentials specified", Meaning.LOGIN_REFUSED, "DPY-4001"),
        ("DPY-6005: cannot connect to database\n[Errno 111] Connection refused", Meaning.UNREACHABLE, "DPY-6005"),
        ("DPY-6001: Service is not registered. (Similar to ORA-12514)", Meaning.UNREACHABLE, "ORA-12514"),
        ("ORA-12541: TNS:no listener", Meaning.UNREACHABLE, "ORA-12541"),
        ("DPY-4000: cannot find alias in tnsnames.ora", Meaning.UNREACHABLE, "DPY-4000"),
        ("DPY-6000: Listener refused connection. (Similar to ORA-12516)", Meaning.TRANSIENT, "ORA-12516"),
        ("DPY-6000: Listener refused connection. (Similar to ORA-20)", Meaning.TRANSIENT, "ORA-00020"),
        ("ORA-02391: exceeded simultaneous SESSIONS_PER_USER limit", Meaning.TRANSIENT, "ORA-02391"),
        ("DPY-4011: the database or network closed\nORA-00028: killed", Meaning.TRANSIENT, "ORA-00028"),
        ("ORA-02392: exceeded session limit on CPU usage", Meaning.TRANSIENT, "ORA-02392"),
        ("DPY-4011: closed\nORA-02396: exceeded maximum idle time", Meaning.TRANSIENT, "ORA-02396"),
        ("DPY-4011: closed\nORA-03113: end-of-file on communication channel", Meaning.TRANSIENT, "ORA-03113"),
        ("DPY-4011: closed\nORA-03135: connection lost contact", Meaning.TRANSIENT, "ORA-03135"),
        ("DPY-4011: the database or network closed the connection", Meaning.TRANSIENT, "DPY-4011"),
        ("DPY-4024: call timeout of 1000 ms exceeded", Meaning.TRANSIENT, "DPY-4024"),
        ("DPI-1067: call timeout of 10 ms exceeded with ORA-3156", Meaning.TRANSIENT, "DPI-1067"),
        ("DPY-4042: value cannot be converted to Arrow decimal", Meaning.VALUE, "DPY-4042"),
        ("ORA-00942: table or view does not exist", Meaning.PERMANENT, "ORA-00942"),
        ("ORA-01031: insufficient privileges", Meaning.PERMANENT, "ORA-01031"),
        ("ORA-00936: missing expression", Meaning.PERMANENT, "ORA-00936"),
        ("ORA-08176: consistent read failure", Meaning.SNAPSHOT_LOST, "ORA-08176"),
        ("ORA-02149: Specified partition does not exist", Meaning.SNAPSHOT_LOST, "ORA-02149"),
        ("ORA-08188: AS OF is not supported for external tables", Meaning.PLAN, "ORA-08188"),
        ("ORA-28030: Server encountered problems accessing LDAP", Meaning.TRANSIENT, "ORA-28030"),
        ("DPY-4011: closed\nORA-00600: internal error code", Meaning.PERMANENT, "ORA-00600"),
        ("DPY-4011: closed\nORA-07445: exception encountered", Meaning.PERMANENT, "ORA-07445"),
        ("ORA-02393: exceeded call limit on CPU usage", Meaning.PERMANENT, "ORA-02393"),
        ("ORA-02395: exceeded call limit on IO usage", Meaning.PERMANENT, "ORA-02395"),
        ("ORA-00040: active time limit exceeded", Meaning.PERMANENT, "ORA-00040"),
        ("ORA-56733: logical I/O limit exceeded - call aborted", Meaning.PERMANENT, "ORA-56733"),
        ("ORA-29275: partial multibyte character", Meaning.VALUE, "ORA-29275"),
        ("ORA-01878: specified field not found in datetime", Meaning.VALUE, "ORA-01878"),
        ("DPY-3012: encryption is required", Meaning.UNREACHABLE, "DPY-3012"),
        ("ORA-28040: No matching authentication protocol", Meaning.UNREACHABLE, "ORA-28040"),
        ("something else", Meaning.PERMANENT, None),
    ],
)
def test_a_code_has_its_meaning(text, meaning, code):
    assert meaning_of(text) == (meaning, code)
