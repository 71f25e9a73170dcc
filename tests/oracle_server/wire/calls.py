"""Calls: what a client asks for after the handshake, decoded.

A request is any number of piggybacks and then one call, in one byte stream. The decoder never looks at packet
boundaries; it knows from the layout what has to follow.
"""

from dataclasses import dataclass, field
from typing import Any

from tests.oracle_server.wire import scalars, types
from tests.oracle_server.wire.primitives import Reader
from tests.oracle_server.wire.types import BindForm

FUNCTION, PIGGYBACK, ONE_WAY = 3, 17, 26
REEXECUTE, FETCH, LOGOFF, COMMIT, ROLLBACK = 4, 5, 9, 14, 15
REEXECUTE_FETCH, EXECUTE, LOB, PING = 78, 94, 96, 147
LOGON_PROOF, LOGON_START = 115, 118
CLOSE_CURSORS, END_TO_END, SET_SCHEMA, KEY_VALUES, SESSION_STATE = 105, 135, 152, 154, 176
PIPELINE_BEGIN, PIPELINE_END = 199, 200

PARSE, BIND, DEFINE, DO_EXECUTE, DO_FETCH, DO_COMMIT, DESCRIBE_ONLY = 0x01, 0x08, 0x10, 0x20, 0x40, 0x100, 0x20000
COMMIT_ON_REEXECUTE = 1
ROW_COUNTS = 0x4000
LOB_LENGTH, LOB_READ, LOB_TRIM, LOB_WRITE, LOB_CREATE, LOB_FREE = 0x1, 0x2, 0x20, 0x40, 0x110, 0x111
LOB_CHUNK_SIZE, LOB_OPEN, LOB_CLOSE, LOB_IS_OPEN, LOB_ARRAY = 0x4000, 0x8000, 0x10000, 0x11000, 0x80000


@dataclass(frozen=True)
class LobReference:
    """A bind that names a LOB made earlier."""

    locator: bytes


@dataclass
class Call:
    """One call; which of the fields are set follows from the function."""

    function: int
    token: int = 0
    sequence: int = 0
    user: str = ""
    pairs: dict[str, str] = field(default_factory=dict)
    options: int = 0
    cursor: int = 0
    sql: str | None = None
    rows: int = 0  # wanted, or executions
    bind_forms: list[BindForm] = field(default_factory=list)
    binds: list[list[Any]] = field(default_factory=list)
    defines: list[BindForm] = field(default_factory=list)
    lob: dict[str, Any] = field(default_factory=dict)
    commits: bool = False
    wants_row_counts: bool = False


@dataclass
class Piggyback:
    """What rides before a call: session attributes, cursors to close, a new schema."""

    function: int
    values: dict[str, Any] = field(default_factory=dict)


class CallReader:
    """Decodes calls from a stream; `field_version` is that of the session, once agreed."""

    def __init__(self, reader: Reader, *, field_version: int, longest_inline: int = 32767) -> None:
        self.reader = reader
        self.field_version = field_version
        self.longest_inline = longest_inline
        self.bind_forms_of: dict[int, list[BindForm]] = {}  # by cursor: a re-execution sends values only

    def head(self, *, token_expected: bool = True) -> Call:
        """Function, sequence and token, after the message type byte."""
        function, sequence = self.reader.byte(), self.reader.byte()
        token = self.reader.ub() if token_expected and self.field_version >= 18 else 0
        return Call(function, token, sequence)

    def call(self) -> Call:
        call = self.head()
        match call.function:
            case 115 | 118:
                self.logon(call)
            case 94:
                self._execute(call)
            case 4 | 78:
                self._reexecute(call)
            case 5:
                call.cursor, call.rows = self.reader.ub(4), self.reader.ub(4)
            case 96:
                self._lob(call)
            case 200:
                self.reader.ub(4)
            case 9 | 14 | 15 | 147:
                pass
            case other:
                raise ValueError(f"function {other} is not known to this server")
        return call

    def logon(self, call: Call) -> None:
        reader = self.reader
        has_user = reader.byte()
        reader.ub(4)
        call.options = reader.ub(4)
        reader.byte()
        count = reader.ub(4)
        reader.take(2)
        call.user = (reader.clr() or b"").decode() if has_user else ""
        for _ in range(count):
            key, value = reader.text(), reader.text()
            reader.ub(4)
            call.pairs[key] = value

    def _execute(self, call: Call) -> None:
        reader = self.reader
        call.options, call.cursor = reader.ub(4), reader.ub(4)
        reader.byte()
        sql_length = reader.ub(4)
        reader.byte()
        reader.ub(4)
        reader.take(2)
        reader.ub(4)
        call.rows = reader.ub(4)
        reader.ub(4)
        reader.byte()
        bind_count = reader.ub(4)
        reader.take(5)
        reader.byte()
        define_count = reader.ub(4)
        reader.ub(4)
        reader.take(3)
        reader.ub(4)
        reader.byte()
        reader.ub(4)
        reader.ub(4)
        reader.byte()
        reader.ub(4)
        reader.byte()
        if self.field_version >= 8:
            reader.byte()
            reader.ub(4)
            reader.byte()
            reader.ub(4)
            reader.byte()
        if self.field_version >= 9:
            reader.byte()
            reader.ub(4)
        if sql_length:
            call.sql = (reader.clr() or b"").decode()
        numbers = [reader.ub(4) for _ in range(13)]
        is_query = bool(numbers[7])
        call.wants_row_counts = bool(numbers[9] & ROW_COUNTS)
        call.commits = bool(call.options & DO_COMMIT)
        if call.options & DEFINE:
            call.defines = [self._form() for _ in range(define_count)]
        elif bind_count:
            call.bind_forms = [self._form() for _ in range(bind_count)]
            executions = 1 if is_query else max(1, numbers[1])
            call.binds = [self._bind_row(call.bind_forms) for _ in range(executions)]
        if not is_query:
            call.rows = numbers[1]

    def _reexecute(self, call: Call) -> None:
        reader = self.reader
        call.cursor, call.rows = reader.ub(4), reader.ub(4)
        call.options, second = reader.ub(4), reader.ub(4)
        call.commits = bool(second & COMMIT_ON_REEXECUTE)
        forms = self.bind_forms_of.get(call.cursor, [])
        call.bind_forms = forms
        if forms:
            executions = 1 if call.function == REEXECUTE_FETCH else max(1, call.rows)
            call.binds = [self._bind_row(forms) for _ in range(executions)]

    def _form(self) -> BindForm:
        reader = self.reader
        kind, flags = reader.byte(), reader.byte()
        reader.take(2)
        size, elements = reader.ub(4), reader.ub(4)
        reader.ub()
        reader.dalc()
        reader.ub(4)
        reader.ub(4)
        form = reader.byte()
        reader.ub(4)
        if self.field_version >= 8:
            reader.ub(4)
        return BindForm(kind, flags, size, elements, form)

    def _bind_row(self, forms: list[BindForm]) -> list[Any]:
        if (mark := self.reader.byte()) != 7:
            raise ValueError(f"message {mark} where bind values were expected")
        row: list[Any] = [None] * len(forms)
        late = [number for number, form in enumerate(forms) if form.size > self.longest_inline]
        for number, form in enumerate(forms):
            if number not in late:
                row[number] = self._bind_value(form)
        for number in late:
            row[number] = self._bind_value(forms[number])
        return row

    def _bind_value(self, form: BindForm) -> Any:
        if form.is_array:
            return [self._scalar(form) for _ in range(self.reader.ub(4))]
        return self._scalar(form)

    def _scalar(self, form: BindForm) -> Any:
        if form.kind in types.LOCATORS:
            locator = self.reader.dalc()
            return LobReference(locator) if locator else None
        raw = self.reader.clr()
        if raw is None:
            return None
        match form.kind:
            case types.VARCHAR | types.CHAR | types.LONG | types.ROWID | types.UROWID:
                return raw.decode("utf-16-be" if form.form == types.NATIONAL_FORM else "utf-8")
            case types.NUMBER | types.BINARY_INTEGER:
                return scalars.decode_number(raw)
            case types.DATE | types.TIMESTAMP | types.TIMESTAMP_TZ | types.TIMESTAMP_LTZ:
                return scalars.decode_datetime(raw)
            case types.BINARY_DOUBLE:
                return scalars.decode_double(raw)
            case types.BINARY_FLOAT:
                return scalars.decode_float(raw)
            case types.BOOLEAN:
                return raw[-1] == 1
            case types.INTERVAL_DS:
                return scalars.decode_interval_ds(raw)
            case types.INTERVAL_YM:
                return scalars.decode_interval_ym(raw)
            case _:
                return raw

    def _lob(self, call: Call) -> None:
        reader = self.reader
        reader.byte()
        source_length = reader.ub(4)
        reader.byte()
        target_length = reader.ub(4)
        reader.ub(4)
        reader.ub(4)
        has_charset = reader.byte()
        reader.byte()
        reader.byte()
        operation = reader.ub(4)
        reader.take(2)
        source_offset, target_offset = reader.ub(), reader.ub()
        has_amount = reader.byte()
        reader.take(6)
        locator = reader.take(source_length)
        if has_charset:
            reader.ub(4)
        data = b""
        if operation == LOB_WRITE:
            reader.byte()
            data = reader.clr() or b""
        amount = reader.ub() if has_amount else 0
        call.lob = {
            "operation": operation,
            "locator": locator,
            "offset": source_offset,
            "kind": target_offset,
            "duration": target_length,
            "data": data,
            "amount": amount,
            "has_amount": bool(has_amount),
        }

    def piggyback(self) -> Piggyback:
        """What follows message type 11."""
        head = self.head()
        reader = self.reader
        said = Piggyback(head.function)
        match head.function:
            case 105:
                reader.byte()
                said.values["cursors"] = [reader.ub(4) for _ in range(reader.ub(4))]
            case 135:
                said.values = self._end_to_end()
            case 152:
                reader.byte()
                said.values["schema"] = (reader.dalc() or b"").decode()
            case 154:
                self._key_values()
            case 176:
                reader.ub()
            case 199:
                reader.ub()
                reader.take(2)
                said.values["pipeline"] = True
            case 96:
                self._free_lobs()
            case 204:
                reader.ub()
                reader.byte()
                for _ in range(reader.ub(4)):
                    reader.dalc()
                    reader.dalc()
                    reader.ub(4)
            case other:
                raise ValueError(f"piggyback {other} is not known to this server")
        return said

    def _end_to_end(self) -> dict[str, str | None]:
        reader = self.reader
        reader.take(2)
        reader.ub(4)
        first = ("client_identifier", "module", "action")
        lengths: list[tuple[str, int, int]] = [(name, reader.byte(), reader.ub(4)) for name in first]
        reader.byte()
        reader.ub(4)
        reader.byte()
        reader.ub(4)
        lengths.append(("client_info", reader.byte(), reader.ub(4)))
        for _ in range(2):
            reader.byte()
            reader.ub(4)
        lengths.append(("dbop", reader.byte(), reader.ub(4)))
        said: dict[str, str | None] = {}
        for name, present, length in lengths:
            if present:
                said[name] = (reader.clr() or b"").decode() if length else None
        return said

    def _key_values(self) -> None:
        reader = self.reader
        reader.byte()
        has_name = reader.ub(4)
        reader.byte()
        count = reader.ub(4)
        reader.ub(4)
        reader.byte()
        if has_name:
            reader.clr()
        for _ in range(count):
            reader.dalc()
            reader.dalc()
            reader.ub(4)

    def _free_lobs(self) -> None:
        reader = self.reader
        reader.byte()
        total = reader.ub(4)
        reader.byte()
        for _ in range(3):
            reader.ub(4)
        reader.take(3)
        reader.ub(4)
        reader.byte()
        reader.ub(4)
        reader.ub()
        reader.ub()
        reader.byte()
        for _ in range(3):
            reader.byte()
            reader.ub(4)
        reader.take(total)
