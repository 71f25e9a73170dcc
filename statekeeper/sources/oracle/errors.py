"""Translates the errors of Oracle and of its driver into ours.

Decides, by code, what an error means for a run: retry, start again at another snapshot, stop all logins, or give up;
and what to grant or do. A message may have several codes (the driver puts its own, `DPY-` or `DPI-`, before Oracle's):
the most specific one decides. Nothing here depends on the statement.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto

import oracledb

from statekeeper.errors import (
    DataError,
    LoginRefused,
    PlanError,
    SnapshotLost,
    SourceError,
    SourceUnreachable,
    StatekeeperError,
    TransientSourceError,
)


class Meaning(Enum):
    """What an error means for a run."""

    TRANSIENT = auto()
    SNAPSHOT_LOST = auto()
    LOGIN_REFUSED = auto()
    UNREACHABLE = auto()
    VALUE = auto()
    PLAN = auto()
    PERMANENT = auto()


class Phase(Enum):
    """What the session was doing. A statement can raise login errors too, those of a database link."""

    LOGIN = auto()
    STATEMENT = auto()


class UnreadableValue(DataError):
    """A value that the driver cannot represent, or that a conversion in the statement refused.

    Its column is not known yet.
    """


_SNAPSHOT_LOST = frozenset(
    f"ORA-{number:05}"
    for number in (
        1410,  # invalid ROWID: the segment was moved or truncated during the read
        1466,  # table definition has changed since the snapshot
        1555,  # snapshot too old
        14251,  # specified subpartition does not exist
        2149,  # specified partition does not exist: it was renamed, merged or dropped
        8176,  # consistent read failure: no rollback data
        8103,  # object no longer exists: truncated, dropped or moved
        8180,  # no snapshot found for the specified time
        8181,  # specified number is not a valid system change number
        22924,  # snapshot too old, of a LOB
    )
)
_LOGIN_REFUSED = frozenset(
    [f"ORA-{number:05}" for number in (1004, 1005, 1017, 1045, 1988, 28000, 28001, 28003, 28009, 28150)] + ["DPY-4001"]
)
_UNREACHABLE = frozenset(
    [
        f"ORA-{number:05}"
        for number in (
            12154,
            12162,
            12505,
            12514,
            12533,
            12541,
            12543,
            12545,
            12560,
            12564,
            12650,
            12660,
            28040,
            28759,
            28860,
            29024,
        )
    ]
    + [
        f"DPY-{number}"
        for number in (2018, 2049, 4000, 4017, 4018, 4021, 4026, 4027, 6000, 6001, 6002, 6003, 6004, 6005)
    ]
    + [
        "DPY-2019",
        "DPY-6006",
        "DPY-6008",
        "DPY-6009",
        "DPY-3001",
        "DPY-3010",
        "DPY-3012",
        "DPY-3015",
        "DPI-1047",
        "DPI-1072",
    ]
)
_TRANSIENT = frozenset(
    [
        f"ORA-{number:05}"
        for number in (
            *(18, 20),  # maximum number of sessions, of processes
            *(28, 31),  # your session has been killed, is marked for kill
            *(54, 60, 104),  # resource busy, deadlock, all servers blocked
            *(603, 609),  # fatal call error, could not attach to incoming connection
            *(1012, 1013, 1033, 1034, 1041, 1089, 1090, 1092),  # not logged on; starting up, shutting down, stopped
            *(1035, 1109, 1219, 3172),  # restricted, mounted or not open yet; a standby that is too far behind
            *(2391, 2392, 2394, 2396, 2399),  # limits of the profile on sessions
            *(3111, 3113, 3114, 3135, 3136, 3156),  # break, end of file, lost contact, time-outs
            *(4020, 4021, 4030, 4031, 4036, 4061, 4065, 4068),  # a lock or memory of the instance, package state
            *(12150, 12152, 12153, 12170, 12203, 12500, 12502, 12516, 12518, 12519, 12520, 12521, 12523, 12526, 12527),
            *(
                12528,
                12530,
                12535,
                12537,
                12547,
                12549,
                12552,
                12570,
                12571,
                12583,
                12592,
                12606,
                12608,
                12609,
                12636,
                12637,
            ),
            *(7454, 28030),  # queued too long by the resource plan; the directory service failed
            *(1652, 30036),  # no space for temporary or undo segments now
            *(25401, 25402, 25403, 25405, 25407, 25408, 25409, 25410, 25425),  # failover
            *(30006, 28547, 51535),
        )
    ]
    + [
        "DPY-1001",
        "DPY-4005",
        "DPY-4011",
        "DPY-4024",
        "DPY-4033",
        "DPY-4035",
        "DPY-5006",
        "DPI-1010",
        "DPI-1067",
        "DPI-1080",
    ]
)
_VALUE = frozenset(
    [
        f"ORA-{number:05}"
        for number in (1426, 1455, 1476, 1481, 1722, 1801, 1839, 1840, 1841, 1843, 1847, 1858, 1861, 1873, 1878, 29275)
    ]
    + ["DPY-3022", "DPY-4003", "DPY-4036", "DPY-4037", "DPY-4039", "DPY-4042", "DPY-5015", "DPY-8002"]
)

_PLAN = frozenset(["ORA-08188"])
_DEFECT = frozenset(["ORA-00600", "ORA-07445"])
"""Internal errors of Oracle. Each attempt writes an incident; the driver reports only a closed connection."""

_WRAPPER = "DPY-6005"
"""The code for a connection that could not be made; another code in the message may say why."""
_UNKNOWN_SIGNER = "CERTIFICATE_VERIFY_FAILED"
_LISTENER_BUSY = re.compile(r"Similar to ORA-(\d{1,5})")
_CODES = re.compile(r"\b(ORA-\d{5}|DPY-\d{4}|DPI-\d{4})\b")
_HELP = re.compile(r"\n?Help: https?://\S+")

_RESOURCE_PLAN = (
    "the resource plan ended the call: ask the DBA for a consumer group with longer limits, or let chunks be smaller"
)
_PER_CALL = "let chunks be smaller (chunking.target_rows), or ask the DBA for a higher {limit} of the user's profile"
_ENCRYPTION = (
    "the server requires native network encryption, which thin mode does not have: set thick_mode: true, or use tcps"
)
_NO_LISTENER = (
    "check host, port and protocol (tcp or tcps) of the source: what answers there closed the connection before a login"
)
_OF_LINKS = {Meaning.LOGIN_REFUSED: Meaning.PERMANENT, Meaning.UNREACHABLE: Meaning.TRANSIENT}
"""A session that sends statements is logged in, so login errors then come from a database link of a view or synonym."""
_LINK_HINT = "a database link behind the table does not reach or log in to its database: ask the owner of the link"

_HINTS = {
    "ORA-00040": _RESOURCE_PLAN,
    "ORA-00600": "a defect of Oracle: its alert log names the incident; ask the DBA, and try smaller chunks or a key",
    "ORA-00904": "check the column names of custom_query, incremental_column and chunking.column",
    "ORA-00942": "check schema_name and table_name, or the names in custom_query; where the table exists, "
    "GRANT SELECT ON {table} TO {user}",
    "ORA-01017": "check user and password of the source; no further login was tried, since accounts lock",
    "ORA-01031": "GRANT SELECT ON {table} TO {user}; to read at a snapshot also GRANT FLASHBACK ON {table} TO {user}",
    "ORA-01045": "GRANT CREATE SESSION TO {user}",
    "ORA-01466": "the table was altered, truncated or created after the snapshot; a new plan reads it as it is now",
    "ORA-01555": "let chunks be smaller (chunking.target_rows), or ask the DBA for a longer UNDO_RETENTION",
    "ORA-01841": "the value is beyond the years -4712 to 9999 once it is UTC: select it as text in a custom_query",
    "ORA-01878": "the value stands in an hour that its time zone skips: select it as text in a custom_query",
    "ORA-02149": "the partition was renamed, merged or dropped; a new plan reads the partitions that there are",
    "ORA-02391": "lower max_sessions of the source, or raise SESSIONS_PER_USER of the user's profile",
    "ORA-02393": _PER_CALL.replace("{limit}", "CPU_PER_CALL"),
    "ORA-02395": _PER_CALL.replace("{limit}", "LOGICAL_READS_PER_CALL"),
    "ORA-07445": "a defect of Oracle: its alert log names the incident; ask the DBA, and try smaller chunks or a key",
    "ORA-08180": "the undo does not reach back so far: ask the DBA for a longer UNDO_RETENTION, or take a later time",
    "ORA-08181": "a database of its own Data Guard (per PDB) or a refreshable clone may not serve SCNs: "
    "set snapshot: transaction for the source if it comes again",
    "ORA-08188": "an external table has no past: give it a source of its own with snapshot: none",
    "ORA-14251": "the subpartition was renamed, merged or dropped; a new plan reads those that there are",
    "ORA-12154": "check the dsn, and config_dir of the source, where tnsnames.ora is looked for",
    "ORA-12505": "check sid of the source against `lsnrctl status`",
    "ORA-12514": "check service of the source against `lsnrctl services`",
    "ORA-12516": "the instance has no session free: lower max_sessions of the source, or raise PROCESSES",
    "ORA-12541": "check host and port of the source; does a listener run there?",
    "ORA-12650": _ENCRYPTION,
    "ORA-12660": _ENCRYPTION,
    "ORA-22924": "a LOB's old version is gone: raise its RETENTION or PCTVERSION, or let chunks be smaller",
    "ORA-28000": "the account is locked: ALTER USER {user} ACCOUNT UNLOCK; no further login was tried",
    "ORA-28001": "the password has expired: ALTER USER {user} IDENTIFIED BY a new one",
    "ORA-28002": "ALTER USER {user} IDENTIFIED BY a new one, before no login is possible any more",
    "ORA-28040": "the database asks for an older logon than the driver has: set thick_mode: true, or let the DBA lower "
    "SQLNET.ALLOWED_LOGON_VERSION_SERVER",
    "ORA-28150": "ALTER USER {user} GRANT CONNECT THROUGH the user of the source",
    "ORA-29024": "the certificate of the server is not trusted: its issuer's must be in ewallet.pem of wallet_location",
    "ORA-29275": "a text ends within a character: find it by DUMP, and select CONVERT of it in a custom_query",
    "ORA-56733": _RESOURCE_PLAN,
    "ORA-56735": _RESOURCE_PLAN,
    "ORA-41900": "GRANT SELECT ON {table} TO {user}; to read at a snapshot also GRANT FLASHBACK ON {table} TO {user}",
    "DPY-2018": "wallet_location must hold ewallet.pem (tcps in thin mode)",
    "DPY-2019": "a run is thin or thick: set thick_mode for every oracle source of the configuration, or for none",
    "DPY-3001": "this needs thick_mode: true, which needs the Oracle Client libraries",
    "DPY-3010": "thin mode needs Oracle 12.1 or newer; set thick_mode: true for an older database",
    "DPY-3012": _ENCRYPTION,
    "DPY-3015": "the account has a 10G password verifier only: set the password again, or use thick_mode: true",
    "DPY-4000": "check the dsn, and config_dir of the source, where tnsnames.ora is looked for",
    "DPY-4011": "the database or the network ended the session; it is tried again",
    "DPY-4024": "raise call_timeout of the source, or let chunks be smaller (chunking.target_rows)",
    "DPY-4026": "config_dir of the source must hold tnsnames.ora",
    "DPY-4027": "set config_dir of the source, where tnsnames.ora is looked for",
    "DPY-6001": "check service of the source against `lsnrctl services`",
    "DPY-6003": "check sid of the source against `lsnrctl status`",
    _WRAPPER: "check host and port of the source, and that no firewall stands between",
    "DPY-6006": "write the host as the server's certificate names it, or its whole name in ssl_server_cert_dn",
    "DPY-6002": "check ssl_server_cert_dn of the source against the server's certificate",
    _UNKNOWN_SIGNER: "the ewallet.pem in wallet_location must hold the certificate that signed the server's",
    "DPI-1047": "install the Oracle Client libraries and name their folder in client_lib_dir, or leave thick_mode out",
}


NO_TEXT = "find it by CONVERT or DUMP, and mend it, or select UTL_RAW.CAST_TO_RAW of it in a custom_query"
_WRONG_HOST = (
    "check host of the source, or the hosts in its dsn, and the name service of this machine (getent hosts HOST)"
)


def meaning_of(text: str) -> tuple[Meaning, str | None]:
    """What an error message means, and the code that decides it (None if there is none)."""
    busy = _LISTENER_BUSY.search(text)
    codes = ([f"ORA-{busy.group(1):0>5}"] if busy else []) + _CODES.findall(text)
    oracle_first = sorted(dict.fromkeys(codes), key=lambda code: (code == _WRAPPER, not code.startswith("ORA-")))
    for meaning, known in (
        (Meaning.PERMANENT, _DEFECT),
        (Meaning.SNAPSHOT_LOST, _SNAPSHOT_LOST),
        (Meaning.LOGIN_REFUSED, _LOGIN_REFUSED),
        (Meaning.TRANSIENT, _TRANSIENT),
        (Meaning.UNREACHABLE, _UNREACHABLE),
        (Meaning.VALUE, _VALUE),
        (Meaning.PLAN, _PLAN),
    ):
        for code in oracle_first:
            if code in known:
                return meaning, code
    return Meaning.PERMANENT, codes[0] if codes else None


@contextmanager
def translated(
    what: str, *, user: str = "the user", table: str = "the table", phase: Phase = Phase.STATEMENT
) -> Iterator[None]:
    """Raise the driver's errors as ours; `what` begins the message. `user` and `table` are used in hints."""
    try:
        yield
    except oracledb.Error as error:
        raise _translation(error, what, user=user, table=table, phase=phase) from error
    except socket.gaierror as error:
        raise SourceUnreachable(
            f"{what}: the host's name cannot be resolved: {error.strerror}", hint=_WRONG_HOST
        ) from error
    except UnicodeDecodeError as error:
        raise UnreadableValue(
            f"{what}: the bytes of a text are not valid in its character set: {error}",
            hint=NO_TEXT,
            discreet=f"{what}: the bytes of a text are not valid in its character set",
        ) from error
    except (ValueError, OverflowError) as error:  # the driver's dates are Python's, of the years 1 to 9999
        raise UnreadableValue(
            f"{what}: the driver cannot represent a value: {error}",
            hint="find it by DUMP, and select it as text in a custom_query",
            discreet=f"{what}: the driver cannot represent a value",
        ) from error
    except (OSError, EOFError) as error:
        raise TransientSourceError(f"{what}: {error}") from error


def _translation(error: oracledb.Error, what: str, *, user: str, table: str, phase: Phase) -> StatekeeperError:
    """Our error for an error of the driver."""
    text = _one_line(str(error))
    meaning, code = meaning_of(text)
    hint = _HINTS.get(_UNKNOWN_SIGNER if _UNKNOWN_SIGNER in text else code or "")
    if phase is Phase.LOGIN and code == "DPY-4011":
        hint = _NO_LISTENER
    if phase is Phase.STATEMENT and meaning in _OF_LINKS:
        meaning, hint = _OF_LINKS[meaning], _LINK_HINT
    if hint is not None:
        hint = hint.replace("{user}", user).replace("{table}", table)
    discreet = None if _quotes_names_only(meaning, code) else f"{what}: {code or 'an error of the driver'}"
    return _CLASSES[meaning](f"{what}: {text}", hint=hint, code=code, discreet=discreet)


def _quotes_names_only(meaning: Meaning, code: str | None) -> bool:
    """Whether an error's text cannot quote a value of a row.

    Errors about values can, and so can errors raised by code in the database (ORA-20000) and all unknown errors.
    """
    match meaning:
        case Meaning.VALUE:
            return False
        case Meaning.PERMANENT:
            return code in _HINTS
        case _:
            return True


def advice_on(warning: str, *, user: str) -> str:
    """A warning of the driver on one line, with what to do about it."""
    text = _one_line(warning)
    hint = _HINTS.get(meaning_of(text)[1] or "")
    return text if hint is None else f"{text}: {hint.replace('{user}', user)}"


_CLASSES: dict[Meaning, type[StatekeeperError]] = {
    Meaning.TRANSIENT: TransientSourceError,
    Meaning.SNAPSHOT_LOST: SnapshotLost,
    Meaning.LOGIN_REFUSED: LoginRefused,
    Meaning.UNREACHABLE: SourceUnreachable,
    Meaning.VALUE: UnreadableValue,
    Meaning.PLAN: PlanError,
    Meaning.PERMANENT: SourceError,
}


def _one_line(message: str) -> str:
    """A message without line breaks, and without the links at its end."""
    text = _HELP.sub("", message).strip()
    return " ".join(line.strip() for line in text.splitlines() if line.strip())
