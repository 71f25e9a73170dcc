"""Types of the wire: the numbers that TTC gives them, and the description of one column."""

from dataclasses import dataclass

VARCHAR, NUMBER, LONG, ROWID, DATE, RAW, LONG_RAW = 1, 2, 8, 11, 12, 23, 24
CHAR, BINARY_FLOAT, BINARY_DOUBLE, CURSOR, CLOB, BLOB = 96, 100, 101, 102, 112, 113
TIMESTAMP, TIMESTAMP_TZ, INTERVAL_YM, INTERVAL_DS, UROWID, TIMESTAMP_LTZ, BOOLEAN = 180, 181, 182, 183, 208, 231, 252
BINARY_INTEGER = 3
OBJECT, BFILE, JSON, VECTOR = 109, 114, 119, 127  # which are described, and never sent

TEXTUAL = {VARCHAR, CHAR, LONG, CLOB}
LOCATORS = {CLOB, BLOB}
DATABASE_FORM, NATIONAL_FORM = 1, 2


@dataclass(frozen=True)
class ColumnForm:
    """How one column travels; `size` in bytes, `characters` in characters."""

    name: str
    kind: int
    precision: int = 0
    scale: int = 0
    size: int = 0
    characters: int = 0
    form: int = 0
    nullable: bool = True
    object_type: tuple[str, str] | None = None
    """Schema and name of an object's type."""


@dataclass(frozen=True)
class BindForm:
    """How a client sends a bind, or wants a column (a define)."""

    kind: int
    flags: int
    size: int
    elements: int
    form: int

    @property
    def is_array(self) -> bool:
        return bool(self.flags & 0x40)
