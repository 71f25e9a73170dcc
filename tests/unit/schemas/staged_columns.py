"""Tables for the tests of this folder: Arrow columns, as a source would describe and deliver them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from statekeeper.model.column import SourceColumn
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.schema import SchemaRef
from statekeeper.parquet.types import arrow_schema, cast_batch, parse_type
from statekeeper.schemas.columns.drift import Expectation, agree
from statekeeper.schemas.rules.checks import CompiledSchema, compile_checks
from statekeeper.schemas.rules.findings import Findings
from statekeeper.schemas.rules.prefilter import valid_row_condition
from statekeeper.schemas.rules.undecided_rows import any_of
from statekeeper.validate.part_source import part_source
from statekeeper.validate.scan import scan_part

PYDANTIC = tuple(int(number) for number in pydantic.VERSION.split(".")[:2])
"""Its release: some constraints and configs begin with one."""


def source(name: str, read_type: str | None, database_type: str | None = None, **more: Any) -> SourceColumn:
    return SourceColumn(name=name, database_type=database_type or str(read_type).upper(), read_type=read_type, **more)


def plan_columns(columns: tuple[SourceColumn, ...], model: Any) -> tuple[PlannedColumn, ...]:
    """The columns of the file, where nothing may differ."""
    return agree(columns, Expectation(SchemaRef(path="model.py:Model"), model)).columns


class Staged:
    """A part made the way a chunk makes it: planned against the model, cast batch by batch, written as Parquet."""

    def __init__(
        self, folder: Path, model: Any, columns: dict[str, tuple[str, list[Any]]], *, row_groups: int = 1
    ) -> None:
        described = tuple(
            source(name, read, "UUID" if "uuid" in name.casefold() else None) for name, (read, _) in columns.items()
        )
        self.model = model
        self.planned = plan_columns(described, model)
        self.path = folder / "part.parquet"
        arrays = [
            values if isinstance(values, pa.Array) else pa.array(values, parse_type(column.read_type))
            for (_, values), column in zip(columns.values(), self.planned, strict=True)
        ]
        batch = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in self.planned])
        table = pa.Table.from_batches([cast_batch(batch, self.planned)], schema=arrow_schema(self.planned))
        pq.write_table(table, self.path, row_group_size=max(1, len(table) // row_groups))

    @property
    def compiled(self) -> CompiledSchema:
        return compile_checks(self.model, self.planned)

    def scan(self) -> Findings:
        findings = scan_part(self.path, self.compiled, self.model, memory_limit="128MB")
        self.require_certain()
        return findings

    def require_certain(self) -> None:
        """That no row is certainly good by the quick filter and suspect by the checks."""
        checks = self.compiled.checks
        suspect = any_of([text for one in checks for text in (one.violated, one.undecided) if text is not None])
        where = f"({valid_row_condition(checks)}) AND coalesce({suspect}, FALSE)"
        query = f"SELECT count(*) FROM {part_source(self.path, self.planned)} WHERE {where}"
        with duckdb.connect() as connection:
            connection.execute("SET disabled_optimizers = 'statistics_propagation,filter_pushdown'")  # as the scan's
            assert connection.execute(query).fetchall() == [(0,)]

    def broken(self) -> dict[str, int]:
        """`column.constraint` to the number of rows that break it."""
        return {f"{part.column}.{part.constraint}": part.count for part in self.scan().violations}
