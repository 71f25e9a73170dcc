"""The rows that SQL cannot decide, and how pydantic validates them.

Decides which columns are read and which of pydantic's errors count: those of fields that are validated row by row, and
of fields whose pattern SQL could not decide for that row. Reads no file (`statekeeper.validate.scan` does).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from statekeeper.schemas.model.fields import ModelField, ModelShape
from statekeeper.schemas.rules.checks import REPRESENTABLE, CompiledSchema
from statekeeper.schemas.rules.rows import (
    Validate,
    fields_validator,
    python_values,
    rows_of,
    unmatched_fields,
    whole_row_validator,
)
from statekeeper.text.sql_text import quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic import BaseModel

ROW_NUMBER = '"statekeeper row number"'
"""The extra column of a numbered source, from 0."""


@dataclass(frozen=True)
class Key:
    """A constraint on a column; `column` None is the whole row."""

    column: str | None
    constraint: str


@dataclass(frozen=True)
class BrokenRow:
    """A row that pydantic refuses; `is_flagged` if the scan already counted it."""

    number: int
    is_flagged: bool
    messages: dict[Key, str]


@dataclass(frozen=True)
class UndecidedRows:
    """The rows that pydantic validates, and how.

    `fields` are read and validated, by column name. Only errors of the columns in `by_pydantic` count: SQL checks the
    others, which are read because validators need their values. `undecided` has, for columns that SQL cannot decide on
    some rows, the SQL for these rows.
    """

    fields: dict[str, ModelField]
    by_pydantic: frozenset[str]
    undecided: dict[str, str]
    unrepresentable: str
    validate: Validate

    @classmethod
    def of(
        cls, compiled: CompiledSchema, fields: Mapping[str, ModelField], model: type[BaseModel], shape: ModelShape
    ) -> UndecidedRows:
        undecided = {check.column: check.undecided for check in compiled.checks if check.undecided is not None}
        by_pydantic = undecided.keys() | {part.column for part in compiled.row_by_row if part.column is not None}
        wanted = by_pydantic | {column for part in compiled.row_by_row for column in part.reads}
        if compiled.is_whole_row:
            by_pydantic, wanted, undecided = set(fields), set(fields), {}
        names = {part.name: column for column, part in fields.items()}
        chosen = {
            names[part.name]: fields[names[part.name]]  # in the model's order
            for part in shape.fields
            if names.get(part.name) in wanted
        }
        parts = tuple(chosen.values())
        if compiled.is_whole_row:
            validate = whole_row_validator(model, shape, parts)
        else:
            validate = fields_validator(shape, parts, absent=unmatched_fields(shape, fields.values()))
        return cls(chosen, frozenset(by_pydantic), undecided, unrepresentable(tuple(chosen), compiled), validate)

    @property
    def flags(self) -> list[str]:
        """SQL flags that are true if a column is undecided on the row, in the order of `undecided`."""
        return [f"coalesce({text}, FALSE)" for text in self.undecided.values()]

    @property
    def is_undecided_sql(self) -> str:
        """SQL that is true for undecided rows, and never NULL."""
        representable = f"coalesce(NOT ({self.unrepresentable}), TRUE)"
        if self.undecided.keys() != self.by_pydantic:
            return representable
        return f"{representable} AND coalesce({any_of(list(self.undecided.values()))}, FALSE)"

    def query(self, numbered_source: str, violated: str) -> str:
        """SQL for the undecided rows: `fields`, a flag per column of `undecided`, whether violated, and the number."""
        selected = [quoted(name) for name in self.fields]
        selected += self.flags
        selected += [f"coalesce({violated}, FALSE)", ROW_NUMBER]
        named = ", ".join(f"{text} AS c{index}" for index, text in enumerate(selected))
        return f"SELECT {named} FROM {numbered_source} WHERE {self.is_undecided_sql}"

    def broken(self, batch: pa.RecordBatch) -> Iterator[BrokenRow]:
        """The rows that pydantic refuses, in a batch of that query's result."""
        parts = list(self.fields.items())
        columns = {part.key: python_values(batch.column(index), part) for index, (_, part) in enumerate(parts)}
        names = {part.key: name for name, part in parts}
        at = len(parts)
        is_undecided = {name: batch.column(at + index) for index, name in enumerate(self.undecided)}
        flagged, numbers = batch.column(batch.num_columns - 2), batch.column(batch.num_columns - 1)
        for index, row in enumerate(rows_of(columns)):
            errors = self.validate(row)
            if not errors:
                continue
            messages: dict[Key, str] = {}
            for error in errors:
                name = names.get(error.key or "")
                if name is not None and name not in self.by_pydantic:
                    continue
                # For a column that is undecided on some rows, SQL has counted everything except the pattern.
                if name not in is_undecided or (error.constraint == "pattern" and is_undecided[name][index].as_py()):
                    messages.setdefault(Key(name, error.constraint), error.message)
            if messages:
                yield BrokenRow(numbers[index].as_py(), flagged[index].as_py(), messages)


def any_of(expressions: list[str]) -> str:
    """SQL that is true if one of the expressions is."""
    return " OR ".join(f"({text})" for text in expressions) or "FALSE"


def unrepresentable(names: tuple[str, ...], compiled: CompiledSchema) -> str:
    """SQL that is true if one of these columns has a timestamp that Python cannot hold."""
    return any_of(
        [check.violated for check in compiled.checks if check.constraint == REPRESENTABLE and check.column in names]
    )
