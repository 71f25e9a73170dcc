"""Errors: Oracle's messages by number."""

TEXTS = {
    18: "maximum number of sessions exceeded",
    28: "your session has been killed",
    900: "invalid SQL statement",
    904: "{}: invalid identifier",
    911: "invalid character",
    918: "{}: column ambiguously specified",
    923: "FROM keyword not found where expected",
    932: "inconsistent datatypes: expected {} got {}",
    933: "SQL command not properly ended",
    942: "table or view {} does not exist",
    955: "name is already used by an existing object",
    972: "identifier {} is too long",
    1001: "invalid cursor",
    1003: "no statement parsed",
    1008: "not all variables bound",
    1013: "user requested cancel of current operation",
    1017: "invalid credential or not authorized; logon denied",
    1031: "insufficient privileges",
    1400: "cannot insert NULL into ({})",
    1403: "no data found",
    1410: "invalid ROWID",
    1438: "value larger than specified precision allowed for this column",
    1445: "cannot select ROWID from, or sample, a join view without a key-preserved table",
    1456: "may not perform insert, delete, update operation inside a READ ONLY transaction",
    1466: "unable to read data - table definition has changed",
    1476: "divisor is equal to zero",
    1652: "unable to extend temp segment by 128 in tablespace TEMP",
    1555: 'snapshot too old: rollback segment number 5 with name "_SYSSMU5$" too small',
    1722: "unable to convert string value containing {} to a number: {}",
    2003: "invalid USERENV parameter",
    2149: "Specified partition does not exist",
    14251: "Specified subpartition does not exist",
    2391: "exceeded simultaneous SESSIONS_PER_USER limit",
    2392: "exceeded session limit on CPU usage, you are being logged off",
    2396: "exceeded maximum idle time, please connect again",
    3113: "end-of-file on communication channel",
    3135: "connection lost contact",
    8103: "object no longer exists",
    8177: "can't serialize access for this transaction",
    8188: "AS OF clause is not supported for external tables",
    8180: "no snapshot found based on specified time",
    8181: "specified number is not a valid system change number",
    12899: "value too large for column {} (actual: {}, maximum: {})",
    22924: "snapshot too old",
    28000: "The account is locked.",
    28001: "The account has expired.",
    41900: "missing FLASHBACK privilege on {}",
    28150: "Proxy not authorized to connect as client.",
}


class OracleError(Exception):
    """An error with its ORA number, as the client is to see it."""

    def __init__(self, code: int, *details: object, text: str | None = None) -> None:
        self.code = code
        said = text if text is not None else TEXTS.get(code, "error").format(*(*details, "", "", ""))
        super().__init__(said if said.startswith("ORA-") else f"ORA-{code:05}: {said}")


def unsupported(what: str) -> OracleError:
    """A statement that this server does not understand, although a real one may."""
    return OracleError(900, text=f"this test server does not understand {what}")
