"""Types: an Oracle type, how DuckDB stores it, and how it travels.

Where DuckDB has a type that holds every value, that one is used. A NUMBER that it cannot hold (no precision, FLOAT,
negative or outsized scale) is stored as Oracle's own bytes: they compare as the numbers do.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from tests.oracle_server.database.errors import unsupported
from tests.oracle_server.wire import types as wire
from tests.oracle_server.wire.types import ColumnForm

NATIONAL = {"NCHAR", "NVARCHAR2", "NCLOB"}
CHARACTERS = {"CHAR", "VARCHAR2", "NCHAR", "NVARCHAR2", "CLOB", "NCLOB", "LONG"}
BYTES = {"RAW", "LONG RAW", "BLOB"}
LOBS = {"CLOB", "NCLOB", "BLOB"}
TIMES = {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH LOCAL TIME ZONE"}


@dataclass(frozen=True)
class OracleType:
    """A column's declared type; what does not apply is None."""

    name: str
    precision: int | None = None
    scale: int | None = None
    length: int | None = None  # characters of text, bytes of RAW
    counts_characters: bool = False

    @property
    def is_number(self) -> bool:
        return self.name in ("NUMBER", "FLOAT")

    @property
    def is_character(self) -> bool:
        return self.name in CHARACTERS

    @property
    def is_lob(self) -> bool:
        return self.name in LOBS

    @property
    def is_moment(self) -> bool:
        return self.name == "DATE" or self.name in TIMES

    @property
    def fits_decimal(self) -> bool:
        """Whether DuckDB's DECIMAL holds every value of this NUMBER."""
        return (
            self.name == "NUMBER"
            and self.precision is not None
            and self.scale is not None
            and 0 <= self.scale <= self.precision
        )

    @property
    def storage(self) -> str:
        """The DuckDB type behind."""
        if self.is_number:
            return f"DECIMAL({self.precision},{self.scale})" if self.fits_decimal else "BLOB"
        nano = (self.scale or 0) > 6
        match self.name:
            case "BINARY_DOUBLE":
                return "DOUBLE"
            case "BINARY_FLOAT":
                return "FLOAT"
            case "DATE":
                return "TIMESTAMP"
            case "TIMESTAMP" | "TIMESTAMP WITH LOCAL TIME ZONE":
                return "TIMESTAMP_NS" if nano else "TIMESTAMP"
            case "TIMESTAMP WITH TIME ZONE":
                return f"STRUCT(utc {'TIMESTAMP_NS' if nano else 'TIMESTAMP'}, minutes SMALLINT)"
            case "ROWID" | "INTERVAL DAY TO SECOND" | "INTERVAL YEAR TO MONTH":
                return "BIGINT"
            case "BOOLEAN":
                return "BOOLEAN"
            case name if name in BYTES:
                return "BLOB"
            case _:
                return "VARCHAR"

    def form(self, name: str, *, nullable: bool = True) -> ColumnForm:
        """As a query describes it."""
        if self.is_number:
            precision, scale = self._described_number()
            return ColumnForm(name, wire.NUMBER, precision, scale, 22, nullable=nullable)
        national = self.name in NATIONAL
        form = wire.NATIONAL_FORM if national else wire.DATABASE_FORM
        length = self.length if self.length is not None else 4000
        size = length * 2 if national else length * 4 if self.counts_characters else length
        match self.name:
            case "VARCHAR2" | "NVARCHAR2":
                return ColumnForm(name, wire.VARCHAR, 0, 0, size, length, form, nullable)
            case "CHAR" | "NCHAR":
                return ColumnForm(name, wire.CHAR, 0, 0, size, length, form, nullable)
            case "CLOB" | "NCLOB":
                return ColumnForm(name, wire.CLOB, 0, 0, 4000, 0, form, nullable)
            case "BLOB":
                return ColumnForm(name, wire.BLOB, 0, 0, 4000, 0, 0, nullable)
            case "LONG":
                return ColumnForm(name, wire.LONG, 0, 0, 0, 0, form, nullable)
            case "LONG RAW":
                return ColumnForm(name, wire.LONG_RAW, nullable=nullable)
            case "RAW":
                return ColumnForm(name, wire.RAW, 0, 0, length, nullable=nullable)
        if self.name == "XMLTYPE" or "." in self.name:
            schema, _, type_name = f"SYS.{self.name}".rpartition(".")
            named = (schema.removeprefix("SYS.") or "SYS", type_name)
            return ColumnForm(name, wire.OBJECT, size=2000, nullable=nullable, object_type=named)
        kind, size = {
            "DATE": (wire.DATE, 1),
            "TIMESTAMP": (wire.TIMESTAMP, 11),
            "TIMESTAMP WITH TIME ZONE": (wire.TIMESTAMP_TZ, 13),
            "TIMESTAMP WITH LOCAL TIME ZONE": (wire.TIMESTAMP_LTZ, 11),
            "BINARY_DOUBLE": (wire.BINARY_DOUBLE, 1),
            "BINARY_FLOAT": (wire.BINARY_FLOAT, 1),
            "BOOLEAN": (wire.BOOLEAN, 1),
            "ROWID": (wire.ROWID, 18),
            "UROWID": (wire.UROWID, 4000),
            "INTERVAL DAY TO SECOND": (wire.INTERVAL_DS, 11),
            "INTERVAL YEAR TO MONTH": (wire.INTERVAL_YM, 5),
            "JSON": (wire.JSON, 8200),
            "VECTOR": (wire.VECTOR, 8200),
            "BFILE": (wire.BFILE, 4000),
        }.get(self.name, (0, 0))
        if not kind:
            raise unsupported(f"values of type {self.name} on the wire")
        return ColumnForm(name, kind, self.precision or 0, self.scale or 0, size, nullable=nullable)

    def _described_number(self) -> tuple[int, int]:
        if self.name == "FLOAT":
            return self.precision or 126, -127
        if self.precision is None:
            return (0, -127) if self.scale is None else (38, self.scale)
        return self.precision, self.scale or 0

    @property
    def declared(self) -> str:
        """As DDL would write it."""
        match self.name:
            case "NUMBER" if self.precision is not None:
                return f"NUMBER({self.precision},{self.scale})" if self.scale else f"NUMBER({self.precision})"
            case "FLOAT":
                return f"FLOAT({self.precision or 126})"
            case "CHAR" | "VARCHAR2" | "NCHAR" | "NVARCHAR2" | "RAW":
                return f"{self.name}({self.length}{' CHAR' if self.counts_characters else ''})"
            case name if name in TIMES:
                return name.replace("TIMESTAMP", f"TIMESTAMP({self.scale})")
            case "INTERVAL DAY TO SECOND":
                return f"INTERVAL DAY({self.precision}) TO SECOND({self.scale})"
            case "INTERVAL YEAR TO MONTH":
                return f"INTERVAL YEAR({self.precision}) TO MONTH"
            case _:
                return self.name

    def in_dictionary(self) -> dict[str, Any]:
        """What ALL_TAB_COLUMNS says of it, by column of that view."""
        national = self.name in NATIONAL
        said: dict[str, Any] = {
            "DATA_TYPE": self.name,
            "DATA_LENGTH": 22,
            "DATA_PRECISION": None,
            "DATA_SCALE": None,
            "CHAR_LENGTH": 0,
            "CHAR_USED": None,
            "CHARACTER_SET_NAME": None,
        }
        if self.name == "FLOAT":
            said["DATA_PRECISION"] = self.precision or 126
        elif self.is_number:
            said |= {"DATA_PRECISION": self.precision, "DATA_SCALE": self.scale}
        elif self.name in TIMES:
            said |= {"DATA_TYPE": self.declared, "DATA_SCALE": self.scale, "DATA_LENGTH": 11}
        elif self.name == "INTERVAL DAY TO SECOND":
            said |= {"DATA_TYPE": self.declared, "DATA_PRECISION": self.precision, "DATA_SCALE": self.scale}
        elif self.name == "INTERVAL YEAR TO MONTH":
            said |= {"DATA_TYPE": self.declared, "DATA_PRECISION": self.precision, "DATA_SCALE": 0}
        elif self.is_lob:
            said["DATA_LENGTH"] = 4000
        elif self.length is not None:
            said["DATA_LENGTH"] = self.length * (2 if national else 4 if self.counts_characters else 1)
        else:
            said["DATA_LENGTH"] = {"DATE": 7, "BINARY_DOUBLE": 8, "BINARY_FLOAT": 4, "ROWID": 10, "BOOLEAN": 1}.get(
                self.name, 0
            )
        if self.is_character:
            said["CHARACTER_SET_NAME"] = "NCHAR_CS" if national else "CHAR_CS"
            if self.length is not None:
                said |= {"CHAR_LENGTH": self.length, "CHAR_USED": "C" if national or self.counts_characters else "B"}
        return said


def number(precision: int | None = None, scale: int | None = None) -> OracleType:
    return OracleType("NUMBER", precision, scale)


def varchar(length: int = 4000) -> OracleType:
    return OracleType("VARCHAR2", length=length)


DATE = OracleType("DATE")
ROWID = OracleType("ROWID")
BOOLEAN = OracleType("BOOLEAN")
BINARY_DOUBLE = OracleType("BINARY_DOUBLE")
NUMBER = number()
INTEGER = number(38, 0)
TIMESTAMP = OracleType("TIMESTAMP", scale=6)
TIMESTAMP_TZ = OracleType("TIMESTAMP WITH TIME ZONE", scale=6)
_ALIASES = {
    "INTEGER": INTEGER, "INT": INTEGER, "SMALLINT": INTEGER, "REAL": OracleType("FLOAT", 63),
    "DOUBLE PRECISION": OracleType("FLOAT", 126), "BOOL": BOOLEAN,
}  # fmt: skip


def parse(text: str) -> OracleType:
    """A declaration such as `NUMBER(10,2)`, `VARCHAR2(40 CHAR)` or `TIMESTAMP(3) WITH TIME ZONE`."""
    said = re.sub(r"\s+", " ", text.strip().upper())
    if said in _ALIASES:
        return _ALIASES[said]
    numbers = re.findall(r"\(([^)]*)\)", said)
    name = re.sub(r"\s*\([^)]*\)", "", said).strip()
    arguments = [part.strip() for part in numbers[0].split(",")] if numbers else []
    match name:
        case "NUMBER" | "NUMERIC" | "DECIMAL" | "DEC":
            if not arguments:
                return NUMBER if name == "NUMBER" else INTEGER
            precision = None if arguments[0] == "*" else int(arguments[0])
            scale = int(arguments[1]) if len(arguments) > 1 else 0
            return number(38 if precision is None else precision, scale)
        case "FLOAT":
            return OracleType("FLOAT", int(arguments[0]) if arguments else 126)
        case "CHAR" | "VARCHAR2" | "VARCHAR" | "NCHAR" | "NVARCHAR2" | "RAW" | "CHARACTER":
            name = {"VARCHAR": "VARCHAR2", "CHARACTER": "CHAR"}.get(name, name)
            words = arguments[0].split() if arguments else ["1"]
            return OracleType(name, length=int(words[0]), counts_characters=words[1:] == ["CHAR"])
        case "INTERVAL DAY TO SECOND":
            given = re.fullmatch(r"INTERVAL DAY ?(?:\((\d)\))? TO SECOND ?(?:\((\d)\))?", said)
            days, fraction = given.groups() if given else (None, None)
            return OracleType(name, int(days or 2), int(fraction or 6))
        case "INTERVAL YEAR TO MONTH":
            return OracleType(name, int(numbers[0]) if numbers else 2, 0)
        case _ if name in TIMES:
            return OracleType(name, scale=int(arguments[0]) if arguments else 6)
        case _:
            return OracleType(name)


def wider(one: OracleType, other: OracleType) -> OracleType:
    """A type that holds the values of both branches of a CASE or UNION."""
    if one == other:
        return one
    if one.is_number and other.is_number:
        if one.fits_decimal and other.fits_decimal:
            scale = max(one.scale or 0, other.scale or 0)
            whole = max((one.precision or 0) - (one.scale or 0), (other.precision or 0) - (other.scale or 0))
            return number(whole + scale, scale) if whole + scale <= 38 else NUMBER
        return NUMBER
    if one.is_character and other.is_character:
        longest = max(one.length or 4000, other.length or 4000)
        if one.is_lob or other.is_lob:
            return one if one.is_lob else other
        return replace(varchar(longest), counts_characters=one.counts_characters or other.counts_characters)
    if one.is_moment and other.is_moment:
        return one if other.name == "DATE" else other
    return one
