"""A model's field for a column: the type that holds exactly what the database declares. Pure.

It has two equivalent forms: an annotation of a pydantic model, and a rule of inline `columns:`.

A column that the source delivers only on request (`SourceColumn.alternatives`) gets the first of those types: a value
that does not fit it fails the extraction. A column that no type can hold has no field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from statekeeper.model.schema import ColumnRule

if TYPE_CHECKING:
    from statekeeper.model.column import SourceColumn

_DECIMAL = re.compile(r"decimal128\((\d+), ?(\d+)\)")
_WITH_LENGTH = re.compile(r"(?:N?VARCHAR2|N?CHAR|RAW)\((\d+)\)")
_MEMBER = re.compile(r"'((?:[^']|'')*)'")
_UNDECLARED = "decimal256("
_LOOSE_DIGITS, _LOOSE_PLACES = 38, 10
_RULES: dict[str, dict[str, str]] = {
    "Decimal": {"type": "decimal"},
    "UUID": {"type": "uuid"},
    "NaiveDatetime": {"type": "datetime", "timezone": "naive"},
    "AwareDatetime": {"type": "datetime", "timezone": "aware"},
}


@dataclass(frozen=True)
class FieldDraft:
    """A field without its name. `members` are the only values of a Literal; `note` is for the reader."""

    type: str
    constraints: Mapping[str, int] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    is_nullable: bool = False
    note: str | None = None

    def annotation(self, *, alias: str | None = None) -> str:
        """The annotation, with an alias if the field needs one.

        It never assigns a default: a field called `date` would then hide the type `date` from the next one.
        """
        named = () if alias is None else (f"alias={text(alias)}",)
        kind = f"Literal[{', '.join(text(member) for member in self.members)}]" if self.members else self.type
        constraints = tuple(f"{name}={value}" for name, value in self.constraints.items())
        if not self.is_nullable:
            return _annotated(kind, (*constraints, *named))
        return _annotated(f"{_annotated(kind, constraints)} | None", named)

    def rule(self) -> ColumnRule:
        """The same as a rule of inline columns."""
        rule = {**_RULES.get(self.type, {"type": self.type}), **self.constraints}
        return ColumnRule.model_validate(
            rule | ({"enum": self.members} if self.members else {}) | ({"nullable": True} if self.is_nullable else {})
        )


def draft_field(column: SourceColumn) -> FieldDraft | None:
    """The column's field; None where no type can hold it."""
    offered = ((column.read_type,) if column.read_type else ()) + column.alternatives
    if not offered:
        return None
    drafted = _type_of(offered[0], column.database_type)
    note = None
    if offered[0].startswith(_UNDECLARED):
        note = f"{column.database_type} declares no digits: a value that does not fit fails; declare what it really has"
    elif column.read_type is None and offered[0] != "string":
        note = f"{column.database_type} may hold more than this: a value that does not fit fails"
    return replace(drafted, is_nullable=column.is_nullable, note=note)


def text(value: str) -> str:
    """A Python literal, in double quotes unless that needs escapes."""
    return f'"{value}"' if value.isprintable() and not {'"', "\\"} & set(value) else repr(value)


def _annotated(kind: str, arguments: tuple[str, ...]) -> str:
    return f"Annotated[{kind}, Field({', '.join(arguments)})]" if arguments else kind


def _type_of(arrow: str, database_type: str) -> FieldDraft:
    if (decimal := _DECIMAL.fullmatch(arrow)) is not None:
        return _decimal(int(decimal.group(1)), int(decimal.group(2)))
    if arrow.startswith(_UNDECLARED):
        return _decimal(_LOOSE_DIGITS, _LOOSE_PLACES)
    if arrow.startswith("timestamp["):
        return FieldDraft("AwareDatetime" if "tz=" in arrow else "NaiveDatetime")
    if arrow.startswith(("int", "uint")):
        return FieldDraft("int")
    if arrow == "string":
        return _text_type(database_type)
    if arrow == "binary":
        return FieldDraft("bytes", _length(database_type))
    return FieldDraft(_SIMPLE[arrow])


_SIMPLE = {"float": "float", "double": "float", "bool": "bool", "date32[day]": "date", "time64[us]": "time"}


def _decimal(digits: int, places: int) -> FieldDraft:
    return FieldDraft("Decimal", {"max_digits": digits, "decimal_places": places})


def _text_type(database_type: str) -> FieldDraft:
    if database_type == "UUID":
        return FieldDraft("UUID")
    if database_type.startswith("ENUM("):
        return FieldDraft("str", members=tuple(name.replace("''", "'") for name in _MEMBER.findall(database_type)))
    return FieldDraft("str", _length(database_type))


def _length(database_type: str) -> dict[str, int]:
    """The declared length, in characters or bytes; no value has more characters than either."""
    found = _WITH_LENGTH.fullmatch(database_type)
    return {"max_length": int(found.group(1))} if found else {}
