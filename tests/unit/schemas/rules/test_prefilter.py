"""The quick filter is all that a scan of valid rows takes, and it lets nothing else pass."""

from __future__ import annotations

import math
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import duckdb
import pytest
from pydantic import ConfigDict, Field, create_model

from statekeeper.schemas.rules.prefilter import valid_row_condition
from statekeeper.validate.part_source import part_source
from tests.unit.schemas.staged_columns import Staged

D = Decimal


def _good(staged: Staged) -> list[bool]:
    """What the filter says of each row; NULL is no."""
    with duckdb.connect() as connection:
        connection.execute("SET disabled_optimizers = 'statistics_propagation,filter_pushdown'")
        source = part_source(staged.path, staged.planned)
        query = f"SELECT coalesce({valid_row_condition(staged.compiled.checks)}, FALSE) FROM {source}"
        return [found for (found,) in connection.execute(query).fetchall()]


@pytest.mark.parametrize(
    ("kind", "read", "values", "good"),
    [
        (Annotated[int, Field(ge=1, le=7)], "int32", [0, 1, 7, 8, None], [False, True, True, False, False]),
        (Annotated[int, Field(ge=1, gt=5)] | None, "int32", [5, 6, None], [False, True, True]),
        (Annotated[Decimal, Field(gt=0, le=D("0.5"))], "decimal128(9, 2)", [D(0), D("0.01"), D("0.51")], [0, 1, 0]),
        (Annotated[float, Field(ge=0)], "double", [-0.1, 0.0, math.inf, math.nan], [0, 1, 1, 0]),
        (Annotated[float, Field(le=0)] | None, "double", [0.1, -math.inf, math.nan, None], [0, 1, 0, 1]),
        (Annotated[float, Field(ge=0, le=1)], "float", [0.5, 1.5, math.nan], [1, 0, 0]),
        (Annotated[date, Field(ge=date(2000, 1, 1))], "date32[day]", [date(1999, 12, 31), date(2000, 1, 1)], [0, 1]),
        (datetime | None, "timestamp[us]", [datetime(1, 1, 1), None], [1, 1]),  # noqa: DTZ001 - no zone
        (Literal["A", "B'"], "string", ["A", "B'", "a", " A", "A ", "", "C", None], [1, 1, 0, 0, 0, 0, 0, 0]),
        (Literal["", "ż"] | None, "string", ["", "ż", "z", None], [1, 1, 0, 1]),
        (Literal[1, 2], "int32", [1, 3, None], [1, 0, 0]),
        (Annotated[str, Field(pattern="^[AB]$")] | None, "string", ["A", "C", "A\n", None], [1, 0, 0, 1]),
        (Annotated[str, Field(min_length=1, max_length=3)], "string", ["", "abc", "abcd", None], [0, 1, 0, 0]),
        (Annotated[str, Field(max_length=3)] | None, "string", ["abc", "żół", None], [1, 0, 1]),  # 6 bytes: not certain
        (Annotated[str, Field(min_length=3)], "string", ["ab", "abc", "żó", "żół", None], [0, 1, 0, 1, 0]),
        (Annotated[bytes, Field(min_length=1, max_length=2)], "binary", [b"", b"ab", b"abc", None], [0, 1, 0, 0]),
        (Annotated[str, Field(pattern=r"^\d$")], "string", ["1", "a", "٣", None], [1, 0, 0, 0]),
        (str, "string", ["a", None], [1, 0]),
    ],
)
def test_what_is_certain_of_each_value(tmp_path, kind, read, values, good):
    model = create_model("Row", __config__=ConfigDict(strict=True, extra="forbid"), c=(kind, ...))
    staged = Staged(tmp_path, model, {"c": (read, values)})
    assert _good(staged) == [bool(found) for found in good]
    staged.scan()


def test_a_text_of_which_only_the_length_is_asked_is_not_read(tmp_path):
    model = create_model("Row", c=(Annotated[str, Field(min_length=1, max_length=9)], ...))
    staged = Staged(tmp_path, model, {"c": ("string", ["a"])})
    assert valid_row_condition(staged.compiled.checks) == '(strlen("c") BETWEEN 1 AND 9)'


def test_without_checks_every_row_is_good(tmp_path):
    staged = Staged(tmp_path, create_model("Row", c=(Any, ...)), {"c": ("int64", [1, None])})
    assert valid_row_condition(staged.compiled.checks) == "TRUE"
    assert staged.scan().violating_rows == 0
