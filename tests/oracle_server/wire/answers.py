"""Answers: the messages that a server sends after the handshake.

Each function returns the bytes of one message; a response is several of them, closed by `closing`.
"""

import datetime as dt
import secrets
from dataclasses import dataclass

from tests.oracle_server.wire import scalars, types
from tests.oracle_server.wire.handshake import UTF8, UTF16, Agreement, Release
from tests.oracle_server.wire.primitives import clr, dalc, sb, ub
from tests.oracle_server.wire.types import ColumnForm

END = b"\x1d"
NO_MORE_ROWS = 1403
TRANSACTION_OPEN, CALL_ENDED = 2, 1
BINARY_COLLATION = 0x3FFE
BLOCK_SIZE = 8168


@dataclass(frozen=True)
class Outcome:
    """How a call ended; `rows` counts what was served or changed."""

    code: int = 0
    text: str = ""
    rows: int = 0
    cursor: int = 0
    position: int = 0
    statement_kind: int = 0
    transaction_open: bool = False


def token(number: int) -> bytes:
    """The first message of the answer to a pipelined request."""
    return b"\x21" + ub(number)


def status(sequence: int, *, transaction_open: bool = False) -> bytes:
    """The whole answer to calls that return nothing."""
    return b"\x09" + ub(TRANSACTION_OPEN if transaction_open else CALL_ENDED) + ub(sequence)


def closing(outcome: Outcome, sequence: int, agreement: Agreement) -> bytes:
    """Message 04: the error, or that there was none."""
    out = [
        b"\x04",
        ub(TRANSACTION_OPEN if outcome.transaction_open else CALL_ENDED),
        ub(sequence),
        ub(outcome.rows & 0xFFFFFFFF),
        ub(outcome.code & 0xFFFF),
        ub(0),
        ub(0),
        ub(outcome.cursor),
        sb(outcome.position),
        bytes((outcome.statement_kind, 0, 0x20 if outcome.statement_kind == 3 else 0, 0, 0, 0)),
        ub(0) + ub(0) + b"\x00" + ub(0) + ub(0),  # no row id
        ub(0) + b"\x00\x01" + ub(0) + ub(0) + dalc(None),
        ub(0) + ub(0) + ub(0),  # no batch errors
        ub(outcome.code),
        ub(outcome.rows),
    ]
    if agreement.field_version >= 14:
        out += [ub(outcome.statement_kind), ub(0)]
    if outcome.code:
        out.append(clr(outcome.text.encode() + b"\n"))
    return b"".join(out)


def warning(code: int, text: str) -> bytes:
    """Message 0F: what the client should know of a call that succeeded."""
    said = text.encode()
    return b"\x0f" + ub(code) + ub(len(said)) + ub(0) + clr(said)


def describe(columns: list[ColumnForm], agreement: Agreement) -> bytes:
    """Message 10: the columns of a query."""
    now = scalars.encode_date(dt.datetime.now(dt.UTC))
    out = [
        b"\x10",
        clr(secrets.token_bytes(16) + now),
        ub(sum(column.size for column in columns)),
        ub(len(columns)),
    ]
    if columns:
        out.append(b"\x82")
    out += [_column(column, number, agreement) for number, column in enumerate(columns)]
    out += [dalc(now), ub(1), ub(BLOCK_SIZE), ub(10), ub(10), dalc(None)]
    return b"".join(out)


def _column(column: ColumnForm, position: int, agreement: Agreement) -> bytes:
    version = agreement.field_version
    textual = column.kind in types.TEXTUAL
    charset = {types.DATABASE_FORM: UTF8, types.NATIONAL_FORM: UTF16}.get(column.form, 0)
    if column.kind == types.VARCHAR and not column.size:  # always null: a real server says US7ASCII
        charset = 1
    name = column.name.encode()
    scaled = agreement.signed_scale and column.kind in (
        types.NUMBER, types.TIMESTAMP, types.TIMESTAMP_TZ, types.TIMESTAMP_LTZ, types.INTERVAL_DS,
    )  # fmt: skip
    out = [
        bytes((column.kind, 0x80 if textual else 0, column.precision & 0xFF)),
        sb(column.scale) if scaled else bytes((column.scale & 0xFF,)),
        ub(column.size),
        ub(0),
        ub(0),
        dalc(None),
        ub(0),
        ub(charset),
        bytes((column.form,)),
        ub(column.characters),
    ]
    if version >= 8:
        out.append(ub(BINARY_COLLATION if textual else 0))
    out += [bytes((1 if column.nullable else 0, min(len(name), 255))), dalc(name)]
    out += [dalc(part.encode()) for part in column.object_type] if column.object_type else [dalc(None), dalc(None)]
    out += [ub(position), ub(0)]
    if version >= 17:
        out += [dalc(None), dalc(None)]
    if version >= 20:
        out.append(ub(0))
    if version >= 24:
        out += [ub(0), b"\x00\x00"]
    return b"".join(out)


def row_header(columns: int, wanted: int) -> bytes:
    """Message 06, before the rows of a response."""
    return b"\x06\x22" + ub(columns) + ub(0) + ub(wanted) + ub(0) + ub(0) + dalc(None)


def return_parameters(scn: int, cursor: int, row_counts: list[int] | None = None) -> bytes:
    """Message 08 after an execution; `row_counts` per execution where the client asked for them."""
    out = b"\x08" + ub(6) + ub(scn & 0xFFFFFFFF) + ub(scn >> 32) + ub(cursor) + ub(0) + ub(0) + ub(0)
    out += ub(0) + ub(0) + ub(0)
    if row_counts is not None:
        out += ub(len(row_counts)) + b"".join(map(ub, row_counts))
    return out


def pairs(values: list[tuple[str, str, int]]) -> bytes:
    """Message 08 of a logon: key, value and flags."""
    out = [b"\x08", ub(len(values))]
    out += [dalc(key) + dalc(value) + ub(flags) for key, value, flags in values]
    return b"".join(out)


def session_state(session: int, serial: int, release: Release) -> bytes:
    """Message 17, which a real server adds to a logon: session time zone and, from 23 on, identity and edition."""
    zone = bytes((0x80, 0, 0, 0, 60, 60, 60, 0x80, 0, 0, 0))
    identity = session.to_bytes(4, "big") + serial.to_bytes(4, "big")
    entries = [(b"", zone, 163), (b"", identity, 170), (b"NONE\x00\x00", b"", 199)]
    entries = entries if release.major >= 23 else entries[:1]
    body = b"".join(dalc(text) + dalc(binary) + ub(keyword) for text, binary, keyword in entries)
    return b"\x17\x05" + ub(16) + b"\x01" + ub(len(entries)) + b"\x16" + body + ub(0)


def lob_data(data: bytes) -> bytes:
    """Message 0E; nothing is sent for no data."""
    return b"\x0e" + clr(data) if data else b""
