"""Reconciles a table's columns with a model's fields: the type that the source delivers and the type in the file.

Decides every column's `read_type` and `arrow_type`, and reports all mismatches at once. Reads no data: the checked cast
(`parquet.types`) tests whether each value fits, the scan (`schemas.rules.checks`) whether it satisfies the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from statekeeper.errors import PlanError
from statekeeper.model.plan import PlannedColumn
from statekeeper.parquet.types import format_type, parse_type
from statekeeper.schemas.columns.differences import Difference, DifferenceKind
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.fields import Kind, ModelField, pair_fields
from statekeeper.schemas.model.kinds import natural_kind

if TYPE_CHECKING:
    from pydantic import BaseModel

    from statekeeper.model.column import SourceColumn
    from statekeeper.model.schema import SchemaRef

_INT64_DIGITS = 18
_MAX_DIGITS = 38
_UNDECLARED_SCALE = 10
"""The scale for a database type that declares none, unless the model does (Oracle's NUMBER)."""
_EXACT_IN_DOUBLE = 32
"""Integers of up to this many bits are exact as double."""
_DIGITS_OF = {8: 3, 16: 5, 32: 10, 64: 19}


@dataclass(frozen=True)
class Comparison:
    """A table compared with a model: the `columns` that a file can hold, and `differences` in the table's order."""

    columns: tuple[PlannedColumn, ...]
    differences: tuple[Difference, ...]

    @property
    def refused(self) -> tuple[Difference, ...]:
        """The differences that a run refuses."""
        return tuple(found for found in self.differences if found.is_refused)


def compare(source_columns: tuple[SourceColumn, ...], model: type[BaseModel] | None) -> Comparison:
    """All differences between a table and a model; plans and `schemas diff` both use it.

    Args:
        source_columns: the table's columns as the source describes them.
        model: the declared model, or None: then only columns that a file cannot hold differ.

    Raises:
        PlanError: the model cannot describe any table.
    """
    fields: dict[str, ModelField] = {}
    differences: list[Difference] = []
    lost: list[Difference] = []
    if model is not None:
        shape = read_model(model)
        if shape.unsupported is not None:
            raise PlanError(f"model {model.__name__} cannot describe a table: {shape.unsupported}")
        fields = pair_fields(tuple(column.name for column in source_columns), shape.fields)
        lost = list(_lost(source_columns, shape.fields, fields))
    planned = []
    for column in source_columns:
        part = fields.get(column.name)
        if model is not None and part is None:
            differences.append(_new(column))
            continue
        found = _reconcile(column, part)
        if isinstance(found, str):
            differences.append(_retyped(column, part, found))
            continue
        planned.append(found)
        if part is not None and _knows_nullability(part) and part.is_nullable is not column.is_nullable:
            differences.append(_nullability(column, part))
    return Comparison(tuple(planned), (*differences, *lost))


def _new(column: SourceColumn) -> Difference:
    return Difference(
        kind=DifferenceKind.NEW,
        name=column.name,
        table=side(column),
        model=None,
        message="the schema has no such field",
        remedy=f"declare a field for {column.name}, or select without it in a custom_query",
    )


def _lost(
    columns: tuple[SourceColumn, ...], fields: tuple[ModelField, ...], pairs: dict[str, ModelField]
) -> Iterator[Difference]:
    matched = {part.name for part in pairs.values()}
    for part in fields:
        if part.name in matched:
            continue
        folded = {key.casefold() for key in part.keys}
        similar = [column.name for column in columns if column.name.casefold() in folded]
        why, remedy = "the table has no such column", f"remove the field {part.key}, or give it the column's new name"
        if similar:
            why = f"several columns differ from it only by case: {', '.join(similar)}"
            remedy = "give the field an alias that is spelt as one of them"
        yield Difference(
            kind=DifferenceKind.LOST, name=part.key, table=None, model=part.annotation, message=why, remedy=remedy
        )


def _retyped(column: SourceColumn, part: ModelField | None, why: str) -> Difference:
    return Difference(
        kind=DifferenceKind.RETYPED,
        name=column.name,
        table=side(column),
        model=part.annotation if part is not None else None,
        message=why,
        remedy="change the field's type, or select the column in another form with custom_query",
    )


def _knows_nullability(part: ModelField) -> bool:
    """False if only the field's own validator could tell whether it accepts None."""
    return not part.takes_raw and (part.kind is not Kind.ANY or bool(part.choices) or part.members is not None)


def _nullability(column: SourceColumn, part: ModelField) -> Difference:
    if column.is_nullable:
        message = "the column may be NULL, but the field does not accept None: a row with NULL breaks the schema"
        how = "add `| None` to the field's type (inline: `nullable: true`)"
        remedy = f"if NULL is valid, {how}; else leave it: rows with NULL are reported"
    else:
        message = "the field accepts None, but the column is never NULL"
        remedy = "declare the field without None (inline: without nullable)"
    return Difference(
        kind=DifferenceKind.NULLABILITY,
        name=column.name,
        table=side(column),
        model=part.annotation,
        message=message,
        remedy=remedy,
    )


def side(column: SourceColumn) -> str:
    """The table's side of a difference: the database's type, and whether NULL is allowed."""
    return column.database_type if column.is_nullable else f"{column.database_type} not null"


def declaration(column: SourceColumn, ref: SchemaRef) -> str:
    """The declaration to write for a column: a field, or a rule of inline `columns`."""
    offers = (column.read_type, *column.alternatives)
    natural = next((natural_kind(parse_type(offer)) for offer in offers if offer is not None), Kind.STR)
    if ref.columns is None:
        kind = _natural(parse_type(column.read_type)) if column.read_type else str(natural)
        return f"`{column.name}: {kind.split(' or ')[0]}{' | None' if column.is_nullable else ''}`"
    return f"`{column.name}: {{type: {natural.casefold()}{', nullable: true' if column.is_nullable else ''}}}`"


def _reconcile(column: SourceColumn, part: ModelField | None) -> PlannedColumn | str:
    """The planned column, or what is wrong."""
    if part is not None and part.unsupported is not None:
        return f"the model's field cannot be a column: {part.unsupported}"
    if part is None and column.read_type is not None:
        return _planned(column, column.read_type, _own_type(parse_type(column.read_type)))
    for offer in (column.read_type, *column.alternatives):
        target = None if offer is None or part is None else _target(parse_type(offer), part, column)
        if target is not None:
            return _planned(column, str(offer), target)
    if column.read_type is None or part is None:
        return column.refusal or f"{column.database_type} has no exact representation"
    read = parse_type(column.read_type)
    if part.takes_raw:
        return _planned(column, column.read_type, _python_type(read))
    return (
        f"the database's {column.database_type} is not exactly the model's {part.label}; "
        f"declare {_natural(read)}, or select it as {part.label if part.members is None else part.kind}"
    )


def _planned(column: SourceColumn, read_type: str, target: pa.DataType) -> PlannedColumn:
    return PlannedColumn(
        name=column.name,
        database_type=column.database_type,
        read_type=read_type,
        arrow_type=format_type(target),
        is_nullable=column.is_nullable,
    )


def _own_type(read: pa.DataType) -> pa.DataType:
    """The file's type without a model: the database's own, if Parquet has it."""
    if pa.types.is_decimal256(read):  # no declared precision; readers know at most 38 digits
        return pa.decimal128(_MAX_DIGITS, min(read.scale, _UNDECLARED_SCALE))
    if pa.types.is_timestamp(read) and read.unit == "s":  # Parquet has no seconds
        return pa.timestamp("ms", tz=read.tz)
    return read


def _python_type(read: pa.DataType) -> pa.DataType:
    """The file's type if rows become Python values: a datetime has no nanoseconds."""
    if pa.types.is_timestamp(read) and read.unit == "ns":
        return pa.timestamp("us", tz=read.tz)
    return _own_type(read)


def _natural(read: pa.DataType) -> str:
    kind = natural_kind(read)
    if kind is Kind.DATETIME:
        return "AwareDatetime" if read.tz else "NaiveDatetime or datetime"
    return str(kind)


Rule = Callable[["pa.DataType", ModelField], "pa.DataType | None"]
"""The file's type for a column delivered as an Arrow type; None if it cannot hold every value."""


def _target(read: pa.DataType, part: ModelField, column: SourceColumn) -> pa.DataType | None:
    """The file's type for a field whose column is delivered as `read`; None if no type is exact for both."""
    natural = natural_kind(read)
    if part.kind is Kind.ANY:
        takes_any = not part.choices or any(_takes(choice, natural) for choice in part.choices)
        return _python_type(read) if takes_any else None
    if part.kind is Kind.UUID and "uuid" not in column.database_type.casefold():
        return None  # other text may spell a UUID in another form
    rule = TYPE_RULES.get((natural, part.kind))
    return rule(read, part) if rule is not None else None


def _takes(choice: ModelField, natural: Kind) -> bool:
    """Whether a member of a union could accept the column's natural type: never an Enum or a UUID."""
    if choice.choices:
        return any(_takes(inner, natural) for inner in choice.choices)
    return choice.kind is Kind.ANY or choice.takes_raw or (choice.kind is natural and choice.enum is None)


def _same(read: pa.DataType, _: ModelField) -> pa.DataType:
    return read


def _exact_float(read: pa.DataType, _: ModelField) -> pa.DataType | None:
    return pa.float64() if read.bit_width <= _EXACT_IN_DOUBLE else None


def _moment(read: pa.DataType, part: ModelField) -> pa.DataType | None:
    return None if _has_other_zone(read, part) else _python_type(read)


def _has_other_zone(read: pa.DataType, part: ModelField) -> bool:
    zone = part.constraints.get("tz_constraint")
    return zone is not None and (zone == "naive") == (read.tz is not None)


def _int_target(read: pa.DataType, part: ModelField) -> pa.DataType | None:
    """Integers keep their width; whole decimals become int64, unless the field's bounds need more digits."""
    if pa.types.is_integer(read):
        return read
    has_no_declared_scale = pa.types.is_decimal256(read)
    if read.scale != 0 and not has_no_declared_scale:
        return None
    if read.precision > _INT64_DIGITS and _exceeds_int64(part):
        return pa.decimal128(min(read.precision, _MAX_DIGITS), 0)
    return pa.int64()


def _exceeds_int64(part: ModelField) -> bool:
    bounds = [part.constraints[name] for name in ("ge", "gt", "le", "lt") if name in part.constraints]
    return any(not -(2**63) <= bound < 2**63 for bound in (*bounds, *(part.members or ())))


def _decimal_target(read: pa.DataType, part: ModelField) -> pa.DataType | None:
    digits, places = part.constraints.get("max_digits"), part.constraints.get("decimal_places")
    if digits is not None and places is not None and places <= digits <= _MAX_DIGITS:
        return pa.decimal128(digits, places)
    if pa.types.is_integer(read):
        is_widest = pa.types.is_uint64(read)
        return pa.decimal128(20 if is_widest else _DIGITS_OF[read.bit_width], 0)
    if pa.types.is_decimal256(read) and places is not None:
        return pa.decimal128(_MAX_DIGITS, min(places, _MAX_DIGITS))
    return _own_type(read)


TYPE_RULES: Mapping[tuple[Kind, Kind], Rule] = {
    (Kind.INT, Kind.INT): _int_target,
    (Kind.INT, Kind.DECIMAL): _decimal_target,
    (Kind.INT, Kind.FLOAT): _exact_float,
    (Kind.DECIMAL, Kind.INT): _int_target,
    (Kind.DECIMAL, Kind.DECIMAL): _decimal_target,
    (Kind.FLOAT, Kind.FLOAT): _same,
    (Kind.STR, Kind.STR): _same,
    (Kind.STR, Kind.UUID): _same,
    (Kind.BYTES, Kind.BYTES): _same,
    (Kind.BOOL, Kind.BOOL): _same,
    (Kind.DATE, Kind.DATE): _same,
    (Kind.DATETIME, Kind.DATETIME): _moment,
    (Kind.TIME, Kind.TIME): _same,
}
"""The file's type by the column's natural type and the field's type. All other pairs are refused.

A source may offer a column in several types (`SourceColumn.alternatives`); each is tried.
"""
