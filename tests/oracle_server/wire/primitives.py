"""Primitives: how TTC writes integers, byte strings and texts.

`ub`: a count byte and that many big-endian bytes. `clr`: a length byte and bytes, long ones in chunks. `dalc`: a `ub`
length and, unless it is zero, a `clr`. The reader asks for more packets as it needs them, because a value may be split
anywhere.
"""

from collections.abc import Callable

CHUNK = 32767
LONGEST_SHORT = 252  # longer ones are chunked; 253 is an escape, 254 says chunks, 255 says null
LONG_FORM, NULL_FORM, ESCAPE = 0xFE, 0xFF, 0xFD


def ub(number: int) -> bytes:
    """An unsigned integer."""
    size = (number.bit_length() + 7) // 8
    return bytes((size,)) + number.to_bytes(size, "big")


def sb(number: int) -> bytes:
    """A signed integer: the sign is the high bit of the count."""
    coded = ub(abs(number))
    return bytes((coded[0] | 0x80,)) + coded[1:] if number < 0 else coded


def clr(value: bytes) -> bytes:
    """Bytes with their length; empty is null."""
    if len(value) <= LONGEST_SHORT:
        return bytes((len(value),)) + value
    out = [bytes((LONG_FORM,))]
    for start in range(0, len(value), CHUNK):
        chunk = value[start : start + CHUNK]
        out += [ub(len(chunk)), chunk]
    out.append(b"\x00")
    return b"".join(out)


def dalc(value: bytes | str | None) -> bytes:
    """Bytes with two lengths; empty and None are one zero."""
    if isinstance(value, str):
        value = value.encode()
    return ub(len(value)) + clr(value) if value else b"\x00"


class Reader:
    """Reads primitives from a buffer, and asks `more` for further bytes where the buffer ends."""

    def __init__(self, data: bytes = b"", more: Callable[[], bytes] | None = None) -> None:
        self._data = bytearray(data)
        self._at = 0
        self._more = more

    def __len__(self) -> int:
        return len(self._data) - self._at

    @property
    def position(self) -> int:
        return self._at

    def take(self, count: int) -> bytes:
        while len(self) < count:
            if self._more is None:
                raise EOFError(f"{count} bytes wanted, {len(self)} left")
            self._data = self._data[self._at :]
            self._at = 0
            self._data += self._more()
        piece = bytes(self._data[self._at : self._at + count])
        self._at += count
        return piece

    def byte(self) -> int:
        return self.take(1)[0]

    def be(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def le(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def ub(self, widest: int = 8) -> int:
        size = self.byte()
        if size > widest:
            raise ValueError(f"an integer of {size} bytes where at most {widest} fit")
        return self.be(size)

    def sb(self, widest: int = 8) -> int:
        size = self.byte()
        number = self.be(size & 0x7F)
        if size & 0x7F > widest:
            raise ValueError(f"an integer of {size} bytes where at most {widest} fit")
        return -number if size & 0x80 else number

    def clr(self) -> bytes | None:
        size = self.byte()
        if size in (0, NULL_FORM):
            return None
        if size == ESCAPE:  # the only one that clients send is a null boolean
            self.byte()
            return None
        if size != LONG_FORM:
            return self.take(size)
        out = []
        while size := self.ub(4):
            out.append(self.take(size))
        return b"".join(out)

    def dalc(self) -> bytes | None:
        return self.clr() if self.ub(4) else None

    def text(self) -> str:
        return (self.dalc() or b"").decode()
