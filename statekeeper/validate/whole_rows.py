"""Whole rows of a staged part, each with the results of its SQL checks, as the second pass of the scan reads them.

Decides the columns of such rows, and how a few of them are shown; `statekeeper.validate.scan` uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from statekeeper.schemas.rules.checks import REPRESENTABLE, CompiledSchema
from statekeeper.schemas.rules.rows import python_values
from statekeeper.schemas.rules.undecided_rows import ROW_NUMBER, UndecidedRows
from statekeeper.text.sql_text import quoted
from statekeeper.validate.part_source import batch_source, shown_text

if TYPE_CHECKING:
    import duckdb

    from statekeeper.schemas.model.fields import ModelField

_SHOWN = "statekeeper shown rows"


@dataclass(frozen=True)
class ShownRow:
    """A row as texts for a person, and as values for pydantic; `values` is None if Python cannot hold one of them."""

    texts: dict[str, str | None]
    values: dict[str, Any] | None


@dataclass(frozen=True)
class WholeRows:
    """The columns of such rows: those of the part, a flag for each check, the flags of `undecided_rows`, whether the
    row is undecided, and last its number.
    """

    compiled: CompiledSchema
    undecided_rows: UndecidedRows | None

    def query(self, numbered_source: str, where: str) -> str:
        """The query for rows that satisfy `where`, which may use the flags."""
        selected = [quoted(column.name) for column in self.compiled.columns]
        selected += [f"{text} AS {_flag(index)}" for index, text in enumerate(self._flags)]
        inner = f"SELECT {', '.join([*selected, ROW_NUMBER])} FROM {numbered_source}"
        return f"SELECT * FROM ({inner}) WHERE {where}"

    @property
    def are_doubtful(self) -> str:
        """SQL over the flags: a check refuses the row, or pydantic has to check it."""
        checks = range(len(self.compiled.checks))
        flags = [*checks, len(self._flags) - 1] if self.undecided_rows else checks
        return " OR ".join(map(_flag, flags)) or "FALSE"

    @property
    def _flags(self) -> list[str]:
        violated = [f"coalesce({check.violated}, FALSE)" for check in self.compiled.checks]
        return violated + (
            [*self.undecided_rows.flags, self.undecided_rows.is_undecided_sql] if self.undecided_rows else []
        )

    def refused(self, batch: pa.RecordBatch) -> list[pa.BooleanArray]:
        """For each check, a mask of the rows that break it."""
        width = len(self.compiled.columns)
        return [batch.column(width + index) for index in range(len(self.compiled.checks))]

    def refused_by_any(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """A mask of the rows that break any check."""
        return reduce(pc.or_, self.refused(batch), pa.repeat(pa.scalar(False), batch.num_rows))

    def undecided(self, batch: pa.RecordBatch, undecided_rows: UndecidedRows) -> pa.RecordBatch:
        """The undecided rows of a batch, in the form that `UndecidedRows.broken` takes."""
        places = {column.name: index for index, column in enumerate(self.compiled.columns)}
        *flags, is_undecided, numbers = batch.columns[len(places) + len(self.compiled.checks) :]
        chosen = [batch.column(places[name]) for name in undecided_rows.fields]
        arrays = [*chosen, *flags, self.refused_by_any(batch), numbers]
        named = pa.RecordBatch.from_arrays(arrays, names=[f"c{index}" for index in range(len(arrays))])
        return named.filter(is_undecided)

    def shown(
        self, rows: pa.Table, fields: Mapping[str, ModelField], connection: duckdb.DuckDBPyConnection
    ) -> dict[int, ShownRow]:
        """A few rows, by their numbers."""
        columns = self.compiled.columns
        names = tuple(column.name for column in columns)
        unrepresentable: dict[str, pa.ChunkedArray] = {}
        for index, check in enumerate(self.compiled.checks, len(columns)):
            if check.constraint == REPRESENTABLE:
                unrepresentable[check.column] = rows.column(index)
        values = {}
        for name, column in zip(names, rows.columns, strict=False):
            if (part := fields.get(name)) is not None:
                mask = unrepresentable.get(name)
                held = column if mask is None else pc.if_else(mask, pa.scalar(None, column.type), column)
                values[part.key] = python_values(held, part)
        has_none = reduce(pc.or_, unrepresentable.values(), pa.repeat(pa.scalar(False), rows.num_rows)).to_pylist()
        shown = {}
        for index, (number, texts) in enumerate(self._texts(rows, connection)):
            row = {key: column[index] for key, column in values.items()}
            shown[number] = ShownRow(dict(zip(names, texts, strict=True)), None if has_none[index] else row)
        return shown

    def _texts(self, rows: pa.Table, connection: duckdb.DuckDBPyConnection) -> list[tuple[int, tuple[str | None, ...]]]:
        """The number of each row, and its values as bounded texts."""
        columns = self.compiled.columns
        texts = ", ".join(shown_text(column) for column in columns)
        connection.register(_SHOWN, rows)
        try:
            query = f"SELECT {ROW_NUMBER}, {texts} FROM {batch_source(_SHOWN, columns)}"
            return [(number, tuple(row)) for number, *row in connection.execute(query).fetchall()]
        finally:
            connection.unregister(_SHOWN)


def _flag(index: int) -> str:
    return f'"statekeeper flag {index}"'
