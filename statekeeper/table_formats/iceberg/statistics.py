"""The statistics of a file in a table's metadata, from the file's footer: counts, and the bounds of each column.

Engines skip a file whose bounds exclude a row, so bounds that do not cover every value would hide rows. pyiceberg
takes the bounds of the row groups that have some. Parquet has none for a row group with a text of more than 4 KiB, nor
can Python hold every timestamp: such a column gets counts alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pyarrow.lib import ArrowException
from pyiceberg.io.pyarrow import (
    DataFileStatistics,
    MetricModeTypes,
    MetricsMode,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
)
from pyiceberg.table import Table

_COUNTS = MetricsMode(MetricModeTypes.COUNTS)
_WITH_BOUNDS = frozenset({MetricModeTypes.TRUNCATE, MetricModeTypes.FULL})


def statistics_of(footer: Any, table: Table, ids: Mapping[str, int]) -> DataFileStatistics:
    """The statistics of a file.

    Args:
        footer: its `pyarrow.parquet.FileMetaData`.
        table: its columns and properties say what statistics a table has.
        ids: the table's id of each column of the file, by its name.
    """
    plan = compute_statistics_plan(table.schema(), table.properties)
    for position in range(footer.num_columns):
        column = ids[footer.schema.column(position).path]
        if plan[column].mode.type in _WITH_BOUNDS and not _has_whole_bounds(footer, position):
            plan[column] = replace(plan[column], mode=_COUNTS)
    return data_file_statistics_from_parquet_metadata(
        parquet_metadata=footer, stats_columns=plan, parquet_column_mapping=dict(ids)
    )


def _has_whole_bounds(footer: Any, position: int) -> bool:
    """Whether the bounds of the row groups cover every value of a column, and Python can hold them."""
    chunks = (footer.row_group(group).column(position) for group in range(footer.num_row_groups))
    return all(_is_bounded(chunk) for chunk in chunks)


def _is_bounded(chunk: Any) -> bool:
    found = chunk.statistics
    if found is None or not found.has_null_count:
        return False
    if not found.has_min_max:
        return bool(found.null_count == chunk.num_values)
    try:
        return found.min is not None and found.max is not None
    except (ArrowException, OverflowError, ValueError):
        return False
