"""Refuses the few values that DuckDB has and the Arrow type of their column has not: infinity, and 24:00:00.

DuckDB hands them out without an error, infinity as the largest or smallest number of the type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from statekeeper.errors import DataError

if TYPE_CHECKING:
    from statekeeper.model.plan import PlannedColumn

_DAY = {"us": 86_400_000_000, "ns": 86_400_000_000_000}


def check_values(batch: pa.RecordBatch, columns: tuple[PlannedColumn, ...]) -> None:
    """Raises DataError for a date or timestamp that is infinite, or a time that is the end of the day."""
    for field, values, planned in zip(batch.schema, batch.columns, columns, strict=True):
        where = f"column {field.name} ({planned.database_type})"
        if pa.types.is_timestamp(field.type) or pa.types.is_date32(field.type):
            storage = pa.int32() if pa.types.is_date32(field.type) else pa.int64()
            most = 2 ** (storage.bit_width - 1) - 1
            if _reaches(values, storage, lowest=-most, highest=most):
                raise DataError(
                    f"{where} holds infinity, which {field.type} cannot hold",
                    hint=f'select nullif of it, or "{field.name}"::VARCHAR, in a custom_query',
                )
        elif pa.types.is_time64(field.type) and _reaches(values, pa.int64(), lowest=-1, highest=_DAY[field.type.unit]):
            raise DataError(
                f"{where} holds 24:00:00, which {field.type} cannot hold",
                hint=f'select "{field.name}"::VARCHAR in a custom_query',
            )


def _reaches(values: pa.Array, storage: pa.DataType, *, lowest: int, highest: int) -> bool:
    found = pc.min_max(values.view(storage))
    least, most = found["min"].as_py(), found["max"].as_py()
    return least is not None and (least <= lowest or most >= highest)
