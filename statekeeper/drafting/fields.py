"""The field of a pydantic model for a column, as text: the type that holds exactly what the database declares. Pure.

A column that can only be had on request (`SourceColumn.alternatives`) gets the first of those types: a value that does
not fit it fails the extraction, by name. A column that cannot be had at all has no field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from statekeeper.sources.protocol import SourceColumn

_DECIMAL = re.compile(r"decimal128\((\d+), ?(\d+)\)")
_WITH_LENGTH = re.compile(r"(?:N?VARCHAR2|N?CHAR|RAW)\((\d+)\)")
_MEMBER = re.compile(r"'((?:[^']|'')*)'")
_UNDECLARED = "decimal256("
_LOOSE_DIGITS, _LOOSE_PLACES = 38, 10


@dataclass(frozen=True)
class FieldDraft:
    """A field without its name. `constraints` are arguments of pydantic's `Field`; `note` is for the reader."""

    type: str
    constraints: tuple[str, ...] = ()
    is_nullable: bool = False
    note: str | None = None

    def annotation(self, *, alias: str | None = None) -> str:
        """The annotation, with the alias where the field needs one.

        Nothing is ever assigned: a field called `date` would otherwise hide the type of the next one.
        """
        named = () if alias is None else (f"alias={text(alias)}",)
        if not self.is_nullable:
            return _annotated(self.type, (*self.constraints, *named))
        return _annotated(f"{_annotated(self.type, self.constraints)} | None", named)


def draft_field(column: SourceColumn) -> FieldDraft | None:
    """The column's field; None where no type can hold it."""
    offered = ((column.read_type,) if column.read_type else ()) + column.alternatives
    if not offered:
        return None
    kind, constraints = _type_of(offered[0], column.database_type)
    note = None
    if offered[0].startswith(_UNDECLARED):
        note = f"{column.database_type} declares no digits: any that does not fit fails; declare what it really has"
    elif column.read_type is None and offered[0] != "string":
        note = f"{column.database_type} may hold more than this: a value that does not fit fails"
    return FieldDraft(kind, constraints, column.is_nullable, note)


def text(value: str) -> str:
    """A Python literal, in double quotes where that needs no escapes."""
    return f'"{value}"' if value.isprintable() and not {'"', "\\"} & set(value) else repr(value)


def _annotated(kind: str, arguments: tuple[str, ...]) -> str:
    return f"Annotated[{kind}, Field({', '.join(arguments)})]" if arguments else kind


def _type_of(arrow: str, database_type: str) -> tuple[str, tuple[str, ...]]:
    if (decimal := _DECIMAL.fullmatch(arrow)) is not None:
        return "Decimal", (f"max_digits={decimal.group(1)}", f"decimal_places={decimal.group(2)}")
    if arrow.startswith(_UNDECLARED):
        return "Decimal", (f"max_digits={_LOOSE_DIGITS}", f"decimal_places={_LOOSE_PLACES}")
    if arrow.startswith("timestamp["):
        return ("AwareDatetime" if "tz=" in arrow else "NaiveDatetime"), ()
    if arrow.startswith(("int", "uint")):
        return "int", ()
    if arrow == "string":
        return _text_type(database_type)
    if arrow == "binary":
        return "bytes", _length(database_type)
    return _SIMPLE[arrow], ()


_SIMPLE = {"float": "float", "double": "float", "bool": "bool", "date32[day]": "date", "time64[us]": "time"}


def _text_type(database_type: str) -> tuple[str, tuple[str, ...]]:
    if database_type == "UUID":
        return "UUID", ()
    if database_type.startswith("ENUM("):
        members = [member.replace("''", "'") for member in _MEMBER.findall(database_type)]
        return f"Literal[{', '.join(text(member) for member in members)}]", ()
    return "str", _length(database_type)


def _length(database_type: str) -> tuple[str, ...]:
    """The declared length, in characters or in bytes: in either case no value has more characters."""
    found = _WITH_LENGTH.fullmatch(database_type)
    return (f"max_length={found.group(1)}",) if found else ()
