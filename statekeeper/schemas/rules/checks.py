"""Compiles a model for the columns of a file: what one SQL scan decides, and what pydantic validates row by row.

Never guesses: a field with any part that may mean something else in SQL is left to pydantic as a whole. It runs nothing
(`statekeeper.validate.scan` does); its plain values can be printed, counted and sent to workers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from statekeeper.parquet.types import parse_type
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.fields import Kind, ModelField, ModelShape, pair_fields
from statekeeper.schemas.model.kinds import natural_kind
from statekeeper.schemas.rules.constraints import (
    compile_constraint,
    compile_digits,
    compile_members,
    compile_representable,
    compile_uuid,
)
from statekeeper.schemas.rules.expressions import NEVER, NOT_NULL, Among, Bounds, Column, Expression, NotCompiled

if TYPE_CHECKING:
    from pydantic import BaseModel

    from statekeeper.model.plan import PlannedColumn

REPRESENTABLE = "representable"


@dataclass(frozen=True)
class Check:
    """One constraint on one column.

    `violated` is SQL, true if a value violates it. If `undecided` (SQL) is true, `violated` is not, and pydantic
    decides. If a value is `within`, neither is true.
    """

    column: str
    constraint: str
    expected: str
    violated: str
    undecided: str | None = None
    within: Bounds | Among | None = None


@dataclass(frozen=True)
class RowByRow:
    """A column that pydantic validates on every row, and why; `column` None is the whole model.

    `reads` are further columns that its validators get.
    """

    column: str | None
    reason: str
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class CompiledSchema:
    """All checks of a file. `constraints` counts what is checked: by type, by scan or row by row."""

    columns: tuple[PlannedColumn, ...]
    checks: tuple[Check, ...]
    row_by_row: tuple[RowByRow, ...]
    constraints: int
    transformed_columns: tuple[str, ...] = ()
    """Columns whose values pydantic changes before or after validation; the file keeps the original values."""

    @property
    def is_whole_row(self) -> bool:
        """Whether the whole model validates every row."""
        return any(part.column is None for part in self.row_by_row)

    @property
    def needs_pydantic(self) -> bool:
        """Whether pydantic may have to validate rows, since SQL does not decide everything."""
        return bool(self.row_by_row) or any(check.undecided is not None for check in self.checks)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know before a run: what is slow and why, and which transformations are not applied."""
        slow = (
            f"{'the model' if part.column is None else f'column {part.column}'} is validated row by row by pydantic, "
            f"which is slow: {part.reason}" + (f" (it also gets {', '.join(part.reads)})" if part.reads else "")
            for part in self.row_by_row
        )
        if not self.transformed_columns:
            return tuple(slow)
        names = ", ".join(self.transformed_columns)
        return (
            *slow,
            f"{names}: strip_whitespace, to_lower and to_upper apply to validation only; values are stored as read",
        )


def compile_checks(model: type[BaseModel] | None, columns: tuple[PlannedColumn, ...]) -> CompiledSchema:
    """The checks of a file with these columns.

    Args:
        model: the declared model; with None, only dates and times that readers cannot represent are checked.
        columns: the planned columns, from `schemas.columns.reconcile` with the same model.
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
        if part is None or shape is None:
            continue
        constraints += (not part.is_nullable) + len(_named(part))
        if is_whole_row:
            continue
        try:
            checks.extend(_field_checks(planned, part))
        except NotCompiled as error:
            reads = _columns_before(part, shape, fields) if part.reads_others else ()
            row_by_row.append(RowByRow(planned.name, str(error), reads))
    changed = tuple(name for name, part in fields.items() if any(part.constraints.get(key) for key in _CHANGES))
    return CompiledSchema(columns, tuple(checks), tuple(row_by_row), constraints, changed)


_CHANGES = ("strip_whitespace", "to_lower", "to_upper")


def _columns_before(part: ModelField, shape: ModelShape, fields: dict[str, ModelField]) -> tuple[str, ...]:
    """The columns of the fields before a field in its model, which its validators get."""
    columns = {other.name: column for column, other in fields.items()}
    names = [other.name for other in shape.fields]
    return tuple(columns[name] for name in names[: names.index(part.name)])


def _representable(planned: PlannedColumn) -> list[Check]:
    arrow = parse_type(planned.arrow_type)
    found = compile_representable(Column.of(planned.name, arrow, natural_kind(arrow)))
    if found.violated is None:
        return []
    return [
        Check(planned.name, REPRESENTABLE, "a date or time of the years 1 to 9999", found.violated, within=found.within)
    ]


def _named(part: ModelField) -> list[str]:
    """The names of a field's constraints, as used in findings and counts."""
    if part.choices:
        return ["union"]
    names = [name for name in part.constraints if name not in {"tz_constraint", *_CHANGES}]
    return names + (["enum"] if part.members is not None else []) + (["uuid"] if part.kind is Kind.UUID else [])


def _field_checks(planned: PlannedColumn, part: ModelField) -> list[Check]:
    """Every check of a field. Raises NotCompiled if one of them cannot be compiled."""
    if part.reason is not None:
        raise NotCompiled(part.reason)
    arrow = parse_type(planned.arrow_type)
    if part.kind is not Kind.ANY and _wrong_type(part.kind, natural_kind(arrow)):
        raise NotCompiled(f"a {planned.arrow_type} column for a field of {part.label}")
    column = Column.of(planned.name, arrow, part.kind)
    found: dict[str, tuple[str, Expression]] = {}
    if not part.is_nullable:
        found[NOT_NULL] = ("a value", Expression(f"{column.sql} IS NULL"))
    if part.choices:
        found["union"] = (f"a value of {part.label}", _union(column, part))
    else:
        found |= _constraints(column, part)
    return [
        Check(planned.name, name, expected, expression.violated, expression.undecided, expression.within)
        for name, (expected, expression) in found.items()
        if expression.violated is not None
    ]


def _constraints(column: Column, part: ModelField) -> dict[str, tuple[str, Expression]]:
    """What is expected and the expression, by constraint; NULL violates none of them. Raises NotCompiled."""
    found: dict[str, tuple[str, Expression]] = {}
    if part.members is not None:
        found["enum"] = (f"one of {', '.join(map(repr, part.members))}", compile_members(column, part.members))
    if part.kind is Kind.UUID:
        found["uuid"] = ("a UUID", compile_uuid(column))
    digits = {name: part.constraints.get(name) for name in ("max_digits", "decimal_places")}
    if any(value is not None for value in digits.values()):
        for name, expression in compile_digits(column, digits["max_digits"], digits["decimal_places"]).items():
            found[name] = (_expected(name, digits[name]), expression)
    checked = column.stripped if part.constraints.get("strip_whitespace") else column
    for name, value in part.constraints.items():
        if name not in digits and value is not None:
            public = "finite" if name == "allow_inf_nan" else name
            found[public] = (_expected(public, value), compile_constraint(checked, name, value))
    return found


def _union(column: Column, part: ModelField) -> Expression:
    """True if every member that could accept such a value refuses it. Raises NotCompiled."""
    natural = natural_kind(column.arrow)
    refused: list[str] = []
    for choice in _flat(part):
        if choice.reason is not None:
            raise NotCompiled(f"a union with {choice.reason}")
        if choice.kind is Kind.FLOAT and natural in {Kind.INT, Kind.DECIMAL}:
            raise NotCompiled(f"a union in which float may accept a column of {natural}")
        if choice.kind is Kind.ANY:
            return NEVER
        if choice.kind is not natural or choice.enum is not None:
            continue  # strict mode refuses every value of another type
        found = _constraints(replace(column, kind=choice.kind), choice)
        if any(expression.undecided is not None for _, expression in found.values()):
            raise NotCompiled("a union with a pattern that SQL cannot decide for strings beyond ASCII")
        violated = [expression.violated for _, expression in found.values() if expression.violated is not None]
        if not violated:
            return NEVER
        refused.append(" OR ".join(f"({text})" for text in violated))
    return Expression(" AND ".join(f"({text})" for text in refused)) if refused else column.always


def _flat(part: ModelField) -> list[ModelField]:
    """The members of a union, including those of nested unions."""
    return [one for choice in part.choices for one in (_flat(choice) if choice.choices else [choice])]


def _wrong_type(wanted: Kind, natural: Kind) -> bool:
    return natural is not wanted and (wanted, natural) not in {(Kind.INT, Kind.DECIMAL), (Kind.UUID, Kind.STR)}


def _expected(name: str, value: Any) -> str:
    if name == "finite":
        return "a finite number"
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return f"{signs[name]} {value}" if name in signs else f"{name} {value}"
