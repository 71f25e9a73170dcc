"""Row ids: a 64-bit number in the server, eighteen characters to its users.

The number is object (16 bits), file (10), block (22) and slot (16), so it sorts as rows lie. The text's digits are A-Z
a-z 0-9 + /, which do not sort so in ASCII: only the server may compare row ids.
"""

import base64

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
VALUE = {digit: number for number, digit in enumerate(DIGITS)}
LARGEST = (1 << 63) - 1


def pack(data_object: int, file: int, block: int, slot: int) -> int:
    return data_object << 48 | file << 38 | block << 16 | slot


def _digits(number: int, width: int) -> str:
    return "".join(DIGITS[number >> 6 * place & 63] for place in range(width - 1, -1, -1))


def _number(text: str) -> int:
    total = 0
    for digit in text:
        total = total << 6 | VALUE[digit]
    return total


def to_text(rowid: int) -> str:
    """Six digits of object, three of file, six of block, three of slot."""
    return (
        _digits(rowid >> 48, 6) + _digits(rowid >> 38 & 0x3FF, 3) + _digits(rowid >> 16 & 0x3FFFFF, 6)
        + _digits(rowid & 0xFFFF, 3)
    )  # fmt: skip


def from_text(text: str) -> int:
    """Parts that no row has are cut to the largest that the server can hold; a bad digit raises ValueError."""
    if len(text) != 18 or not set(text) <= VALUE.keys():
        raise ValueError(f"{text!r} is not a row id")
    parts = (_number(text[:6]), _number(text[6:9]), _number(text[9:15]), _number(text[15:]))
    widest = (0x7FFF, 0x3FF, 0x3FFFFF, 0xFFFF)
    return pack(*(min(part, most) for part, most in zip(parts, widest, strict=True)))


def logical_text(rowid: int) -> str:
    """The row id of a row in an index-organized table."""
    raw = b"\x04" + rowid.to_bytes(8, "big") + b"\x02\xc1\x02"
    return "*" + base64.b64encode(raw).decode().rstrip("=")


def universal_bytes(text: str) -> bytes:
    """What travels for a UROWID's text."""
    if text.startswith("*"):
        body = text[1:]
        return b"\x02" + base64.b64decode(body + "=" * (-len(body) % 4))
    rowid = from_text(text)
    return (
        b"\x01" + (rowid >> 48).to_bytes(4, "big") + (rowid >> 38 & 0x3FF).to_bytes(2, "big")
        + (rowid >> 16 & 0x3FFFFF).to_bytes(4, "big") + (rowid & 0xFFFF).to_bytes(2, "big")
    )  # fmt: skip
