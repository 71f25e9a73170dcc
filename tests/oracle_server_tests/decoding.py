"""One decoder for both sides: sessions that a real database answered, and those that the test server did.

A session is a list of packets. Requests are read with the server's own reader of calls; answers are decoded here, from
the layouts that clients expect, so a field too many or too few on either side fails.
"""

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.oracle_server.wire import calls, packets, types
from tests.oracle_server.wire.calls import Call, CallReader
from tests.oracle_server.wire.handshake import RELEASES, Agreement, answer_data_types, read_protocol_request
from tests.oracle_server.wire.primitives import Reader

SECRETS = {"AUTH_SESSKEY", "AUTH_VFR_DATA", "AUTH_PBKDF2_CSK_SALT", "AUTH_SVR_RESPONSE"}
_HEAD = re.compile(r"\S+ \S+ (Sending|Receiving)\b")
_LINE = re.compile(r"\d{4,} : ((?:[0-9A-F]{2} )+)")


@dataclass
class Packet:
    """One packet; `sent` says that the client did."""

    sent: bool
    raw: bytes

    @property
    def kind(self) -> int:
        return self.raw[4]

    @property
    def flags(self) -> int:
        return struct.unpack(">H", self.raw[8:10])[0]


@dataclass
class Message:
    """One message of an answer: its kind, the call that it answers, and its fields."""

    kind: str
    function: int
    fields: dict[str, Any] = field(default_factory=dict)


def read_dump(text: str) -> list[Packet]:
    """What python-oracledb prints with PYO_DEBUG_PACKETS."""
    found: list[Packet] = []
    for line in text.splitlines():
        if head := _HEAD.match(line):
            found.append(Packet(head[1] == "Sending", b""))
        elif (body := _LINE.match(line)) and found:
            found[-1].raw += bytes.fromhex(body[1])
    return found


def read_cassette(path: Path) -> list[Packet]:
    """A raw stream: frames of direction, time, length and bytes; a packet's header may be a frame of its own."""
    data, at = path.read_bytes(), 9
    streams: list[tuple[bool, bytes]] = []
    while at < len(data):
        direction, _, length = struct.unpack("<BQI", data[at : at + 13])
        piece = data[at + 13 : at + 13 + length]
        at += 13 + length
        if streams and streams[-1][0] == (direction == 1):
            streams[-1] = (streams[-1][0], streams[-1][1] + piece)
        else:
            streams.append((direction == 1, piece))
    found = []
    for sent, stream in streams:
        rest = stream
        while rest:
            long_length, short_length = struct.unpack(">I", rest[:4])[0], struct.unpack(">H", rest[:2])[0]
            length = short_length or long_length
            found.append(Packet(sent, rest[:length]))
            rest = rest[length:]
    return found


class Session:
    """Decodes a session's packets to the messages of its answers."""

    def __init__(self, *, release: int = 23, field_version: int = 0, logged_on: bool = False) -> None:
        self.agreement = Agreement(RELEASES[release])
        self.agreement.field_version = field_version
        self.agreement.end_of_response = release >= 23
        self.logged_on = logged_on
        self.messages: list[Message] = []
        self.columns: list[dict[str, Any]] = []
        self.forms: dict[int, list[types.BindForm]] = {}

    def decode(self, session: list[Packet]) -> list[Message]:
        waiting: list[Call] = []
        sent, got = b"", b""
        for packet in session:
            if packet.kind != packets.DATA:
                self.messages.append(Message(f"packet {packet.kind}", 0, _connect_fields(packet)))
                if packet.kind in (packets.ACCEPT, packets.RESEND):
                    sent = b""  # that was the connect text
                continue
            if packet.sent:
                if got:  # nothing but the next request says that an answer of several packets has ended
                    self.answer(got, waiting.pop(0) if waiting else Call(0))
                    got = b""
                sent += packet.raw[10:]
                continue
            if sent:
                waiting += self._requests(sent)
                sent = b""
            got += packet.raw[10:]
            if packet.flags & packets.END_OF_RESPONSE:
                self.answer(got, waiting.pop(0) if waiting else Call(0))
                got = b""
        if got:
            self.answer(got, waiting.pop(0) if waiting else Call(0))
        return self.messages

    def _requests(self, data: bytes) -> list[Call]:
        reader = Reader(data)
        found: list[Call] = []
        version = self.agreement.field_version
        asked = CallReader(reader, field_version=version)
        asked.bind_forms_of = self.forms
        while len(reader):
            message = reader.byte()
            match message:
                case 0x22:
                    reader.take(3)
                case 1:
                    read_protocol_request(reader)
                    if not len(reader):
                        return [Call(-1)]
                    reader.take(6)
                case 2:
                    answer_data_types(reader, self.agreement)
                    asked.field_version = self.agreement.field_version
                    if not len(reader):
                        return [Call(-2)]
                case 3 if not self.logged_on:
                    first = data[0] == 0x22 or reader.take(1) == b"\x76"
                    if data[0] != 0x22:
                        reader = Reader(data[1:])
                        asked.reader = reader
                    call = asked.head(token_expected=not first)
                    asked.logon(call)
                    found.append(call)
                case 3:
                    found.append(asked.call())
                case 17:
                    asked.piggyback()
                case other:
                    raise ValueError(f"message {other} in a request")
        return found

    def answer(self, data: bytes, call: Call) -> None:
        """Decode one answer to a call."""
        reader = Reader(data)
        while len(reader):
            kind = reader.byte()
            decode = getattr(self, f"_message_{kind:02x}", None)
            if decode is None:
                raise ValueError(f"message {kind:02x} after {[m.kind for m in self.messages[-3:]]}")
            self.messages.append(Message(f"{kind:02x}", call.function, decode(reader, call)))
        if call.function == calls.LOGON_PROOF:
            self.logged_on = True

    def _message_01(self, reader: Reader, _: Call) -> dict[str, Any]:
        version = reader.take(2)
        banner = bytearray()
        while byte := reader.byte():
            banner.append(byte)
        charset, flags = reader.le(2), reader.byte()
        reader.take(reader.le(2) * 5)
        description = reader.take(reader.be(2))
        at = 6 + description[5] + description[6]
        national = int.from_bytes(description[at + 3 : at + 5], "big")
        compiled, running = reader.clr() or b"", reader.clr() or b""
        return {
            "version": version[0], "capabilities": len(compiled) > 40, "charset": charset, "flags": flags,
            "national": national, "field version": compiled[7],
            "32K strings": bool(running[6] & 4), "logon types": compiled[4], "big chunks": bool(compiled[37] & 0x20),
        }  # fmt: skip

    def _message_02(self, reader: Reader, _: Call) -> dict[str, Any]:
        kinds = set()
        while kind := reader.be(2):
            kinds.add(kind)
            if reader.be(2):
                reader.take(4)
        return {"types": kinds}

    def _message_08(self, reader: Reader, call: Call) -> dict[str, Any]:
        if call.function in (calls.LOGON_START, calls.LOGON_PROOF):
            found = {}
            for _ in range(reader.ub(2)):
                key, value, flags = reader.text(), reader.text(), reader.ub(4)
                found[key] = (len(value), flags if key == "AUTH_VFR_DATA" else 0)
            return {"secrets": {key: found[key] for key in SECRETS & found.keys()}, "pairs": set(found)}
        if call.function == calls.LOB:
            out: dict[str, Any] = {"locator bytes": len(reader.take(len(call.lob["locator"])))}
            if call.lob["operation"] == calls.LOB_CREATE:
                out |= {"charset": reader.ub(2), "flags": reader.byte()}
            elif call.lob["has_amount"]:
                out["amount"] = reader.sb()
            return out
        numbers = [reader.ub(4) for _ in range(reader.ub(2))]
        reader.take(reader.ub(2))
        count = reader.ub(2)
        for _ in range(count):
            reader.dalc()
            reader.dalc()
            reader.ub(2)
        reader.take(reader.ub(2))
        return {"numbers": len(numbers), "pairs": count, "scn": numbers[0] > 0}

    def _message_04(self, reader: Reader, call: Call) -> dict[str, Any]:
        out: dict[str, Any] = {"status": reader.ub(4) & 3, "sequence": reader.ub(2) > 0, "row": reader.ub(4)}
        out["short code"] = reader.ub(2)
        reader.ub(2)
        reader.ub(2)
        out["cursor"] = reader.ub(2) > 0
        reader.sb(2)
        out["statement"] = reader.byte()
        reader.take(5)
        reader.ub(4), reader.ub(2), reader.byte(), reader.ub(4), reader.ub(2)
        reader.ub(4)
        reader.take(2)
        reader.ub(2)
        reader.ub(4)
        reader.dalc()
        out["batch errors"] = (reader.ub(2), reader.ub(4), reader.ub(2))
        out["code"], out["rows"] = reader.ub(4), reader.ub()
        version = self.agreement.field_version
        if version >= 14 and (call.function != calls.LOGON_START or not self.agreement.end_of_response):
            reader.ub(4)
            reader.ub(4)
        elif version >= 14:
            reader.ub(4) if len(reader) > 1 else 0
            reader.ub(4) if len(reader) > 1 else 0
        if out["code"]:
            text = (reader.clr() or b"").decode()
            out["text"] = re.match(r"ORA-\d{5}: ", text)[0]  # type: ignore[index]
            out["ends a line"] = text.endswith("\n")
        return out

    def _message_09(self, reader: Reader, _: Call) -> dict[str, Any]:
        return {"status": reader.ub(4) & 3, "sequence": reader.ub(2) >= 0}

    def _message_10(self, reader: Reader, _: Call) -> dict[str, Any]:
        version = self.agreement.field_version
        head = len(reader.clr() or b"")
        reader.ub(4)
        count = reader.ub(4)
        mark = reader.byte() if count else None
        self.columns = [self._column(reader, version) for _ in range(count)]
        date = len(reader.dalc() or b"")
        tail = [reader.ub(4) for _ in range(4)]
        return {
            "head": head,
            "mark": mark is not None,
            "columns": self.columns,
            "date": date,
            "tail": len(tail),
            "key": reader.dalc(),
        }

    @staticmethod
    def _column(reader: Reader, version: int) -> dict[str, Any]:
        out: dict[str, Any] = {
            "type": reader.byte(),
            "flags": reader.byte(),
            "precision": reader.byte(),
            "scale": reader.byte(),
        }
        out["size"] = reader.ub(4)
        reader.ub(4)
        reader.ub()
        reader.dalc()
        reader.ub(2)
        out |= {"charset": reader.ub(2), "form": reader.byte(), "characters": reader.ub(4)}
        if version >= 8:
            out["collation"] = reader.ub(4)
        out["nullable"] = reader.byte()
        reader.byte()
        out["name"] = reader.text()
        reader.dalc()
        reader.dalc()
        out["position"] = reader.ub(2)
        reader.ub(4)
        if version >= 17:
            reader.dalc()
            reader.dalc()
        if version >= 20 and reader.ub(4):
            raise ValueError("annotations")
        if version >= 24:
            reader.ub(4)
            reader.take(2)
        return out

    def _message_06(self, reader: Reader, _: Call) -> dict[str, Any]:
        out = {"flags": reader.byte(), "columns": reader.ub(2)}
        reader.ub(4)
        out["wanted"] = reader.ub(4)
        reader.ub(2)
        if size := reader.ub(4):
            reader.byte()
            reader.take(size)
        reader.dalc()
        return out

    def _message_15(self, reader: Reader, _: Call) -> dict[str, Any]:
        count = reader.ub(2)
        bits = reader.take((len(self.columns) + 7) // 8)
        self._sent = [bool(bits[n // 8] >> n % 8 & 1) for n in range(len(self.columns))]
        return {"count is right": count == sum(self._sent), "bytes": len(bits) == (len(self.columns) + 7) // 8}

    _sent: list[bool] | None = None

    def _message_07(self, reader: Reader, _: Call) -> dict[str, Any]:
        sent, self._sent = self._sent or [True] * len(self.columns), None
        values = []
        for column, present in zip(self.columns, sent, strict=True):
            if not present or column["size"] == 0:
                values.append(None)
                continue
            values.append(reader.clr())
        return {"values": values}

    def _message_0e(self, reader: Reader, _: Call) -> dict[str, Any]:
        return {"data": reader.clr()}

    def _message_17(self, reader: Reader, _: Call) -> dict[str, Any]:
        kind = reader.byte()
        reader.ub(2)
        reader.byte()
        count = reader.ub(2)
        reader.byte()
        entries = [(len(reader.dalc() or b""), len(reader.dalc() or b""), reader.ub(2)) for _ in range(count)]
        reader.ub(4)
        return {"kind": kind, "keywords": [keyword for *_, keyword in entries]}

    def _message_21(self, reader: Reader, call: Call) -> dict[str, Any]:
        return {"token is that of the call": reader.ub() == call.token}

    def _message_1d(self, _: Reader, __: Call) -> dict[str, Any]:
        return {}


def _connect_fields(packet: Packet) -> dict[str, Any]:
    body = packet.raw[8:]
    if packet.kind != packets.ACCEPT:
        return {"body": body if packet.kind == packets.MARKER else len(body)} if not packet.sent else {}
    version, options = struct.unpack(">HH", body[:4])
    return {
        "version": version, "options": options, "data length": struct.unpack(">H", body[10:12])[0],
        "offset is the end": struct.unpack(">H", body[12:14])[0] == len(packet.raw), "flags": body[14],
        "accept flags": struct.unpack(">I", body[33:37])[0] if version >= 318 else 0, "length": len(body),
    }  # fmt: skip
