"""LOBs: values behind locators, for one session."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.types import OracleType
from tests.oracle_server.wire import calls, types
from tests.oracle_server.wire.calls import LobReference
from tests.oracle_server.wire.handshake import UTF8
from tests.oracle_server.wire.primitives import sb, ub

LOCATOR_BYTES = 40
CHUNK = 8132
IS_BLOB, VALUE_BASED, ABSTRACT, INITIALIZED, TEMPORARY, VARYING = 0x01, 0x20, 0x40, 0x08, 0x01, 0x80


@dataclass
class Lob:
    """One LOB's value; texts are kept as UTF-16, which is how clients read them."""

    data: bytes
    is_text: bool

    @property
    def size(self) -> int:
        return len(self.data) // 2 if self.is_text else len(self.data)


class Lobs:
    """All LOBs of a session that have a locator."""

    def __init__(self, *, made_flags: int) -> None:
        self._made_flags = made_flags
        self._kept: dict[int, Lob] = {}
        self._made = 0

    def keep(self, value: bytes | str, kind: OracleType) -> tuple[bytes, int, int]:
        """File a value; returns its locator, its size and the chunk size."""
        is_text = kind.name != "BLOB"
        data = value.encode("utf-16-be") if isinstance(value, str) else bytes(value)
        locator = self._file(Lob(data, is_text), temporary=False)
        return locator, Lob(data, is_text).size, CHUNK

    def _file(self, lob: Lob, *, temporary: bool) -> bytes:
        self._made += 1
        self._kept[self._made] = lob
        flags = bytes(((0 if lob.is_text else IS_BLOB), INITIALIZED, VARYING if lob.is_text else 0, int(temporary)))
        head = struct.pack(">HH", LOCATOR_BYTES - 2, 1) + flags + struct.pack(">Q", self._made)
        return head.ljust(LOCATOR_BYTES, b"\x00")

    def find(self, locator: bytes) -> Lob:
        lob = self._kept.get(struct.unpack(">Q", locator[8:16])[0]) if len(locator) >= 16 else None
        if lob is None:
            raise OracleError(22275, text="invalid LOB locator specified")
        return lob

    def value(self, bound: Any) -> Any:
        """A bind's value: what lies behind it where it is a locator."""
        if not isinstance(bound, LobReference):
            return bound
        lob = self.find(bound.locator)
        return lob.data.decode("utf-16-be") if lob.is_text else lob.data

    def operate(self, asked: dict[str, Any]) -> tuple[bytes, bytes]:
        """One LOB call: the data to send, and the return parameters after their message byte."""
        operation, locator = asked["operation"], asked["locator"]
        if operation == calls.LOB_CREATE:
            lob = Lob(b"", is_text=asked["kind"] != types.BLOB)
            return b"", self._file(lob, temporary=True) + ub(UTF8) + bytes((self._made_flags,))
        lob = self.find(locator)
        amount, data = asked["amount"], b""
        unit = 2 if lob.is_text else 1
        match operation:
            case calls.LOB_READ:
                start = (max(1, asked["offset"]) - 1) * unit
                data = lob.data[start : start + amount * unit]
                amount = len(data) // unit
            case calls.LOB_LENGTH:
                amount = lob.size
            case calls.LOB_CHUNK_SIZE:
                amount = CHUNK
            case calls.LOB_WRITE:
                start = (max(1, asked["offset"]) - 1) * unit
                head = lob.data[:start].ljust(start, b"\x00" if unit == 1 else b"\x00 ")
                lob.data = head + asked["data"] + lob.data[start + len(asked["data"]) :]
            case calls.LOB_TRIM:
                lob.data = lob.data[: amount * unit]
        parameters = locator
        if asked["has_amount"]:
            parameters += sb(amount)
        if operation == calls.LOB_IS_OPEN:
            parameters += b"\x00"
        return data, parameters
