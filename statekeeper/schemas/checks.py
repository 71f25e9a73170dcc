"""A model, compiled against the columns of a file: what one SQL scan decides, and what is left to pydantic, row by row.

Decides nothing by guess: a field of which any part is not certain to mean the same in SQL goes to pydantic whole. It
runs nothing (`statekeeper.validation` does) and is plain values, to be printed, counted and sent to workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from statekeeper.schemas.arrow import parse_type
from statekeeper.schemas.constraints import (
    Column,
    Expression,
    NotCompiled,
    compile_constraint,
    compile_digits,
    compile_members,
    compile_representable,
    compile_uuid,
)
from statekeeper.schemas.fields import Kind, ModelField, pair_fields, read_model
from statekeeper.schemas.meet import natural_kind

if TYPE_CHECKING:
    from pydantic import BaseModel

    from statekeeper.model.plan import PlannedColumn

REPRESENTABLE = "representable"


@dataclass(frozen=True)
class Check:
    """One constraint on one column.

    `violated` is SQL, true where a value violates it. Where `undecided` (SQL) is true, `violated` is not, and pydantic
    decides.
    """

    column: str
    constraint: str
    expected: str
    violated: str
    undecided: str | None = None


@dataclass(frozen=True)
class RowByRow:
    """A column that pydantic validates on every row, and why; `column` None is the model as a whole."""

    column: str | None
    reason: str


@dataclass(frozen=True)
class CompiledSchema:
    """All checks of a file. `constraints` counts what is checked, decided by type or by scan or row by row."""

    columns: tuple[PlannedColumn, ...]
    checks: tuple[Check, ...]
    row_by_row: tuple[RowByRow, ...]
    constraints: int

    @property
    def is_whole_row(self) -> bool:
        """Every row goes through the model as a whole."""
        return any(part.column is None for part in self.row_by_row)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before a run: what will be slow, and why."""
        return tuple(
            f"{'the model' if part.column is None else f'column {part.column}'} is validated row by row by pydantic, "
            f"which is slow: {part.reason}"
            for part in self.row_by_row
        )


def compile_checks(model: type[BaseModel] | None, columns: tuple[PlannedColumn, ...]) -> CompiledSchema:
    """The checks of a file with these columns.

    Args:
        model: the declared model; None leaves only the check that dates and times are ones that readers can represent.
        columns: the planned columns, which `schemas.meet` made against the same model.
    """
    shape = read_model(model) if model is not None else None
    names = tuple(column.name for column in columns)
    fields = pair_fields(names, shape.fields) if shape is not None else {}
    checks: list[Check] = []
    row_by_row: list[RowByRow] = []
    if shape is not None and shape.whole_row_reason is not None:
        row_by_row.append(RowByRow(None, shape.whole_row_reason))
    is_whole_row = bool(row_by_row)
    constraints = 0
    for planned in columns:
        part = fields.get(planned.name)
        always = _representable(planned)
        checks.extend(always)
        constraints += len(always)
        if part is None:
            continue
        constraints += (not part.is_nullable) + len(_named(part))
        if is_whole_row:
            continue
        try:
            checks.extend(_field_checks(planned, part))
        except NotCompiled as error:
            row_by_row.append(RowByRow(planned.name, str(error)))
    return CompiledSchema(columns, tuple(checks), tuple(row_by_row), constraints)


def _representable(planned: PlannedColumn) -> list[Check]:
    arrow = parse_type(planned.arrow_type)
    found = compile_representable(Column.of(planned.name, arrow, natural_kind(arrow)))
    if found.violated is None:
        return []
    return [Check(planned.name, REPRESENTABLE, "a date or time of the years 1 to 9999", found.violated)]


def _named(part: ModelField) -> list[str]:
    """The names of a field's constraints, as findings and counts know them."""
    names = [name for name in part.constraints if name not in {"coerce_numbers_to_str", "tz_constraint"}]
    return names + (["enum"] if part.members is not None else []) + (["uuid"] if part.kind is Kind.UUID else [])


def _field_checks(planned: PlannedColumn, part: ModelField) -> list[Check]:
    """Every check of a field. Raises NotCompiled, and then no check of it may be used."""
    if part.reason is not None:
        raise NotCompiled(part.reason)
    arrow = parse_type(planned.arrow_type)
    if part.kind is not Kind.ANY and _wrong_type(part.kind, natural_kind(arrow)):
        raise NotCompiled(f"a {planned.arrow_type} column for a field of {part.label}")
    column = Column.of(planned.name, arrow, part.kind)
    found: dict[str, tuple[str, Expression]] = {}
    if not part.is_nullable:
        found["not_null"] = ("a value", Expression(f"{column.sql} IS NULL"))
    if part.members is not None:
        found["enum"] = (f"one of {', '.join(map(repr, part.members))}", compile_members(column, part.members))
    if part.kind is Kind.UUID:
        found["uuid"] = ("a UUID", compile_uuid(column))
    digits = {name: part.constraints.get(name) for name in ("max_digits", "decimal_places")}
    if any(value is not None for value in digits.values()):
        for name, expression in compile_digits(column, digits["max_digits"], digits["decimal_places"]).items():
            found[name] = (_expected(name, digits[name]), expression)
    for name, value in part.constraints.items():
        if name not in digits:
            public = "finite" if name == "allow_inf_nan" else name
            found[public] = (_expected(public, value), compile_constraint(column, name, value))
    return [
        Check(planned.name, name, expected, expression.violated, expression.undecided)
        for name, (expected, expression) in found.items()
        if expression.violated is not None
    ]


def _wrong_type(wanted: Kind, natural: Kind) -> bool:
    return natural is not wanted and (wanted, natural) not in {(Kind.INT, Kind.DECIMAL), (Kind.UUID, Kind.STR)}


def _expected(name: str, value: Any) -> str:
    if name == "finite":
        return "a finite number"
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return f"{signs[name]} {value}" if name in signs else f"{name} {value}"
