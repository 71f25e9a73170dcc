"""The rows that SQL leaves open, and what pydantic says of them.

Decides which columns are read for it and which of its errors count: those of fields that are validated row by row, and
of fields whose pattern SQL could not judge on that row. It reads no file (`statekeeper.validate.scan` does).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from statekeeper.schemas.model.fields import ModelField, ModelShape
from statekeeper.schemas.rules.checks import REPRESENTABLE, CompiledSchema
from statekeeper.schemas.rules.rows import (
    Validate,
    deliver,
    fields_validator,
    rows_of,
    unmatched_fields,
    whole_row_validator,
)
from statekeeper.text.sql_text import quoted

if TYPE_CHECKING:
    import pyarrow as pa
    from pydantic import BaseModel

ROW_NUMBER = '"statekeeper row number"'
"""The column that a numbered source has besides the table's own, from 0."""


@dataclass(frozen=True)
class Key:
    """A constraint on a column; `column` None is the row as a whole."""

    column: str | None
    constraint: str


@dataclass(frozen=True)
class BrokenRow:
    """A row that pydantic refuses; `is_flagged` where the scan counted it already."""

    number: int
    is_flagged: bool
    messages: dict[Key, str]


@dataclass(frozen=True)
class UndecidedRows:
    """What pydantic has to look at, and how.

    `fields` are read and validated, by column name; `asked` are those whose errors count (of the others, validators are
    handed the values; SQL judges them); `undecided` holds, for columns that are open on some rows only, the SQL that
    tells which.
    """

    fields: dict[str, ModelField]
    asked: frozenset[str]
    undecided: dict[str, str]
    unrepresentable: str
    validate: Validate

    @classmethod
    def of(
        cls, compiled: CompiledSchema, fields: Mapping[str, ModelField], model: type[BaseModel], shape: ModelShape
    ) -> UndecidedRows:
        undecided = {check.column: check.undecided for check in compiled.checks if check.undecided is not None}
        asked = undecided.keys() | {part.column for part in compiled.row_by_row if part.column is not None}
        wanted = asked | {column for part in compiled.row_by_row for column in part.reads}
        if compiled.is_whole_row:
            asked, wanted, undecided = set(fields), set(fields), {}
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
        return cls(chosen, frozenset(asked), undecided, unrepresentable(tuple(chosen), compiled), validate)

    @property
    def flags(self) -> list[str]:
        """SQL that tells of a row which columns are open on it, in the order of `undecided`."""
        return [f"coalesce({text}, FALSE)" for text in self.undecided.values()]

    @property
    def are_open(self) -> str:
        """SQL that is true of the open rows, and never NULL."""
        representable = f"coalesce(NOT ({self.unrepresentable}), TRUE)"
        if self.undecided.keys() != self.asked:
            return representable
        return f"{representable} AND coalesce({any_of(list(self.undecided.values()))}, FALSE)"

    def query(self, numbered_source: str, violated: str) -> str:
        """The open rows: the columns of `fields`, a flag per column in `undecided`, whether flagged, and the number."""
        selected = [quoted(name) for name in self.fields]
        selected += self.flags
        selected += [f"coalesce({violated}, FALSE)", ROW_NUMBER]
        named = ", ".join(f"{text} AS c{index}" for index, text in enumerate(selected))
        return f"SELECT {named} FROM {numbered_source} WHERE {self.are_open}"

    def broken(self, batch: pa.RecordBatch) -> Iterator[BrokenRow]:
        """The rows of a batch of that query which pydantic refuses."""
        parts = list(self.fields.items())
        columns = {part.key: deliver(batch.column(index), part) for index, (_, part) in enumerate(parts)}
        names = {part.key: name for name, part in parts}
        at = len(parts)
        is_open = {name: batch.column(at + index) for index, name in enumerate(self.undecided)}
        flagged, numbers = batch.column(batch.num_columns - 2), batch.column(batch.num_columns - 1)
        for index, row in enumerate(rows_of(columns)):
            errors = self.validate(row)
            if not errors:
                continue
            messages: dict[Key, str] = {}
            for error in errors:
                name = names.get(error.key or "")
                if name is not None and name not in self.asked:
                    continue
                # Of a column that is open on some rows, SQL has counted all but the pattern.
                if name not in is_open or (error.constraint == "pattern" and is_open[name][index].as_py()):
                    messages.setdefault(Key(name, error.constraint), error.message)
            if messages:
                yield BrokenRow(numbers[index].as_py(), flagged[index].as_py(), messages)


def any_of(expressions: list[str]) -> str:
    """SQL that is true where one of the expressions is."""
    return " OR ".join(f"({text})" for text in expressions) or "FALSE"


def unrepresentable(names: tuple[str, ...], compiled: CompiledSchema) -> str:
    """SQL that is true where one of these columns holds a moment that Python cannot."""
    return any_of(
        [check.violated for check in compiled.checks if check.constraint == REPRESENTABLE and check.column in names]
    )
