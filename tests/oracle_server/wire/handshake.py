"""Handshake: everything before the user name: connect, accept or refuse, protocol and data type negotiation.

Five kinds of server are played: 23 (fast logon in one round trip, a response's last packet says so), 21 and 19 (a
RESEND first, three separate round trips, no such packets), 18 (the same, with an older ACCEPT) and 11, whose ACCEPT is
one that thin clients turn away from. Of 19 there is no capture: it has the numbers that clients know it by, and else
what 18 has.
"""

import re
import secrets
import struct
from dataclasses import dataclass

from tests.oracle_server.wire.primitives import Reader, clr

UTF8, UTF16 = 873, 2000  # Oracle's numbers of AL32UTF8 and AL16UTF16
FAST_LOGON, HAS_END_OF_RESPONSE, REAL_23_SETS = 0x10000000, 0x02000000, 0x08000000
NO_NATIVE_ENCRYPTION = 0xC5
LARGE_PACKETS = 315
"""The protocol from which on packets may be longer than 64 KB, and an ACCEPT says so."""


@dataclass(frozen=True)
class Release:
    """What differs between the releases that are played."""

    major: int
    protocol: int
    field_version: int
    accept_flags: int
    asks_to_resend: bool
    minor: int
    protocol_flags: int
    made_lob_flags: int = 0
    """Ends the answer to the creation of a LOB; clients skip it."""

    @property
    def version_number(self) -> int:
        """As AUTH_VERSION_NO packs it."""
        return self.major << 24 | self.minor << 16

    @property
    def version_text(self) -> str:
        return f"{self.major}.{self.minor}.0.0.0"


RELEASES = {
    23: Release(23, 319, 24, FAST_LOGON | HAS_END_OF_RESPONSE | REAL_23_SETS, False, 26, 0x23),
    21: Release(21, 318, 16, 0, True, 3, 0x23),
    19: Release(19, 318, 12, 0, True, 3, 0x01),
    18: Release(18, 317, 11, 0, True, 4, 0x01, 0x1D),
    11: Release(11, 314, 6, 0, True, 2, 0x01),
}


@dataclass
class Agreement:
    """What both sides settled on; the lower field version decides every layout."""

    release: Release
    protocol: int = 0
    field_version: int = 0
    end_of_response: bool = False  # the server may send it
    marked_responses: bool = False  # the client wants the closing byte, and the server sends it
    client_time_zone: bool = False
    signed_scale: bool = False


@dataclass(frozen=True)
class ConnectRequest:
    """A client's CONNECT packet."""

    version: int
    sdu: int
    text_length: int
    text: str

    @classmethod
    def decode(cls, body: bytes) -> "ConnectRequest":
        version = struct.unpack(">H", body[:2])[0]
        sdu = struct.unpack(">H", body[6:8])[0]
        length, offset = struct.unpack(">HH", body[16:20])
        if len(body) >= 54 and (large := struct.unpack(">I", body[50:54])[0]):
            sdu = large
        text = body[offset - 8 : offset - 8 + length].decode(errors="replace")
        return cls(version, sdu, length, text)

    @property
    def text_follows(self) -> bool:
        return len(self.text) < self.text_length

    @staticmethod
    def named(text: str, key: str) -> str | None:
        """The value of `KEY=` in a connect descriptor."""
        found = re.search(rf"\(\s*{key}\s*=\s*([^)\s]+)\s*\)", text, re.IGNORECASE)
        return found.group(1) if found else None


def accept(release: Release, client_version: int, sdu: int) -> bytes:
    """The body of an ACCEPT packet, without data: its declared offset is the packet's end."""
    version = min(client_version, release.protocol)
    if version < LARGE_PACKETS:
        small = min(sdu, 0x2000)
        head = struct.pack(">HHHHHHH", version, 1, small, small, 0x0100, 0, 8 + 24)
        return head + bytes((NO_NATIVE_ENCRYPTION, 0)) + bytes(8)
    identity = secrets.token_bytes(16) if version >= 319 else b""
    flags = struct.pack(">I", release.accept_flags) if version >= 318 else b""
    length = 8 + 33 + len(flags) + len(identity)
    return (
        struct.pack(">HHHHHHH", version, 1, 0, 0, 0x0100, 0, length)
        + bytes((NO_NATIVE_ENCRYPTION, 0))
        + bytes(8)
        + struct.pack(">II", sdu, sdu)
        + b"\x00"
        + flags
        + identity
    )


def refuse(code: int) -> bytes:
    """The body of a REFUSE packet: the listener's reason as clients look for it."""
    text = f"(DESCRIPTION=(TMP=)(VSNNUM=0)(ERR={code})(ERROR_STACK=(ERROR=(CODE={code})(EMFI=4))))".encode()
    return struct.pack(">BBH", 34, 0, len(text)) + text


def capabilities(release: Release) -> tuple[bytes, bytes]:
    """Compile-time and run-time capabilities; each index is one feature, named in the notes of the client."""
    compiled = bytearray(b"\x01" * 53)
    compiled[0] = 6  # SQL version
    compiled[4] = 0xEF if release.major >= 23 else 0x6F  # logon types
    compiled[5] = 0
    compiled[7] = release.field_version
    compiled[15], compiled[16] = 0x7F, 0xFF  # which fields a closing status has
    compiled[17], compiled[18], compiled[19] = 3, 16, 3
    compiled[23] = 0xFF  # LOBs with 8-byte sizes
    compiled[25] = compiled[26] = 0xFF
    compiled[27] = 1  # data type numbers are two bytes
    compiled[31] = 0xFF
    compiled[34] = 12
    compiled[37] = 0x7F  # byte strings in big chunks
    compiled[38] = 5
    compiled[39] = 0x0F
    compiled[40] = 0xBF if release.major >= 23 else 0x0F  # bit 20: responses end with a mark
    if release.major >= 23:
        compiled[40] &= ~0x40 & 0xFF  # no explicit request boundaries
    for index in range(43, 53):
        compiled[index] = 0
    compiled[44] = 2 if release.major >= 23 else 0  # pipelining
    running = bytes((2, 1, 0, 1, 0x18, 0, 0x7F & ~0x10))  # [6]: bit 04 is 32 KB strings
    return bytes(compiled), running


def protocol_answer(release: Release) -> bytes:
    """The answer to message 01: banner, character sets and capabilities."""
    compiled, running = capabilities(release)
    national = bytearray(13)
    national[9:11] = struct.pack(">H", UTF16)
    return (
        b"\x01\x06\x00"
        b"x86_64/Linux 2.4.xx\x00"
        + struct.pack("<H", UTF8)
        + bytes((release.protocol_flags,))
        + struct.pack("<H", 0)
        + struct.pack(">H", len(national))
        + bytes(national)
        + clr(compiled)
        + clr(running)
    )


def read_protocol_request(reader: Reader) -> str:
    """Message 01 after its first byte; returns the driver's name."""
    reader.take(2)
    name = bytearray()
    while byte := reader.byte():
        name.append(byte)
    return name.decode(errors="replace")


def answer_data_types(reader: Reader, agreement: Agreement) -> bytes:
    """Read message 02 after its first byte, note what the client can, and echo its list of types."""
    reader.take(5)
    compiled, running = reader.clr() or b"", reader.clr() or b""
    if len(compiled) > 7:
        agreement.field_version = min(agreement.release.field_version, compiled[7])
    marks = agreement.release.major >= 21  # 21 does not offer to, and does it for a client that asks
    agreement.marked_responses = marks and len(compiled) > 40 and bool(compiled[40] & 0x20)
    head = b"\x02"
    if len(running) > 1 and running[1] == 1:  # the clients exchange time zones here
        head += reader.take(11)
        if len(compiled) > 37 and compiled[37] & 2:  # go-ora, JDBC and OCI; node-oracledb sends the zone alone
            head += reader.take(4)
            reader.take(2)  # the national character set
            agreement.signed_scale = True
    pairs = bytearray()
    while kind := reader.take(2):
        if kind == b"\x00\x00":
            break
        converted = reader.take(2)
        pairs += kind + converted
        if converted != b"\x00\x00":
            pairs += reader.take(4)
    return head + bytes(pairs) + b"\x00\x00"
