"""A model, compiled against the columns of a file: what one SQL scan decides, and what is left to pydantic, row by row.

Decides nothing by guess: a field of which any part is not certain to mean the same in SQL goes to pydantic whole. It
runs nothing (`statekeeper.validate.scan` does) and is plain values, to be printed, counted and sent to workers.
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

    `violated` is SQL, true where a value violates it. Where `undecided` (SQL) is true, `violated` is not, and pydantic
    decides. Where a value is `within`, neither is.
    """

    column: str
    constraint: str
    expected: str
    violated: str
    undecided: str | None = None
    within: Bounds | Among | None = None


@dataclass(frozen=True)
class RowByRow:
    """A column that pydantic validates on every row, and why; `column` None is the model as a whole.

    `reads` are further columns that its validators are handed.
    """

    column: str | None
    reason: str
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class CompiledSchema:
    """All checks of a file. `constraints` counts what is checked, decided by type or by scan or row by row."""

    columns: tuple[PlannedColumn, ...]
    checks: tuple[Check, ...]
    row_by_row: tuple[RowByRow, ...]
    constraints: int
    judged_otherwise: tuple[str, ...] = ()
    """Columns whose values pydantic would change before or after it judges them; the file keeps them as they are."""

    @property
    def is_whole_row(self) -> bool:
        """Every row goes through the model as a whole."""
        return any(part.column is None for part in self.row_by_row)

    @property
    def is_left_open(self) -> bool:
        """Pydantic may have to look at some row, since SQL does not decide everything."""
        return bool(self.row_by_row) or any(check.undecided is not None for check in self.checks)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before a run: what will be slow, and why; and what changes no value."""
        slow = (
            f"{'the model' if part.column is None else f'column {part.column}'} is validated row by row by pydantic, "
            f"which is slow: {part.reason}" + (f" (it is handed {', '.join(part.reads)} too)" if part.reads else "")
            for part in self.row_by_row
        )
        if not self.judged_otherwise:
            return tuple(slow)
        names = ", ".join(self.judged_otherwise)
        return (
            *slow,
            f"{names}: strip_whitespace, to_lower and to_upper only judge; values are kept as they were read",
        )


def compile_checks(model: type[BaseModel] | None, columns: tuple[PlannedColumn, ...]) -> CompiledSchema:
    """The checks of a file with these columns.

    Args:
        model: the declared model; None leaves only the check that dates and times are ones that readers can represent.
        columns: the planned columns, which `schemas.columns.reconcile` made against the same model.
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
    """The columns of the fields that stand before a field in its model, which its validators are handed."""
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
    """The names of a field's constraints, as findings and counts know them."""
    if part.choices:
        return ["union"]
    names = [name for name in part.constraints if name not in {"tz_constraint", *_CHANGES}]
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
    """By the constraint's name, what is expected and its expression; NULL violates none of them. Raises NotCompiled."""
    found: dict[str, tuple[str, Expression]] = {}
    if part.members is not None:
        found["enum"] = (f"one of {', '.join(map(repr, part.members))}", compile_members(column, part.members))
    if part.kind is Kind.UUID:
        found["uuid"] = ("a UUID", compile_uuid(column))
    digits = {name: part.constraints.get(name) for name in ("max_digits", "decimal_places")}
    if any(value is not None for value in digits.values()):
        for name, expression in compile_digits(column, digits["max_digits"], digits["decimal_places"]).items():
            found[name] = (_expected(name, digits[name]), expression)
    judged = column.stripped if part.constraints.get("strip_whitespace") else column
    for name, value in part.constraints.items():
        if name not in digits and value is not None:
            public = "finite" if name == "allow_inf_nan" else name
            found[public] = (_expected(public, value), compile_constraint(judged, name, value))
    return found


def _union(column: Column, part: ModelField) -> Expression:
    """True where every member that could accept such a value refuses it. Raises NotCompiled."""
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
            raise NotCompiled("a union with a pattern that strings beyond ASCII leave open")
        violated = [expression.violated for _, expression in found.values() if expression.violated is not None]
        if not violated:
            return NEVER
        refused.append(" OR ".join(f"({text})" for text in violated))
    return Expression(" AND ".join(f"({text})" for text in refused)) if refused else column.always


def _flat(part: ModelField) -> list[ModelField]:
    """The members of a union, and of unions among them."""
    return [one for choice in part.choices for one in (_flat(choice) if choice.choices else [choice])]


def _wrong_type(wanted: Kind, natural: Kind) -> bool:
    return natural is not wanted and (wanted, natural) not in {(Kind.INT, Kind.DECIMAL), (Kind.UUID, Kind.STR)}


def _expected(name: str, value: Any) -> str:
    if name == "finite":
        return "a finite number"
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return f"{signs[name]} {value}" if name in signs else f"{name} {value}"
