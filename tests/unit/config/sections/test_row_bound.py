"""The bound of rows that may be quarantined, in the configuration."""

from __future__ import annotations

from decimal import Decimal

import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.config.sections.row_bound import RowBound
from statekeeper.errors import ConfigError
from tests.messages import raises_message


def _bound(value):
    sources = {"shop": {"type": "duckdb", "path": "shop.duckdb"}}
    pipeline = pipeline_of({"sources": sources, "tables": [{"table_name": "t", "max_quarantined": value}]})
    return pipeline.tables[0].max_quarantined


@pytest.mark.parametrize(
    ("written", "bound"),
    [
        (0, RowBound(rows=0)),
        (1000, RowBound(rows=1000)),
        ("1000", RowBound(rows=1000)),
        ("1%", RowBound(percent=Decimal(1))),
        ("0.5 %", RowBound(percent=Decimal("0.5"))),
        ("100%", RowBound(percent=Decimal(100))),
        (None, None),
    ],
)
def test_a_number_of_rows_or_a_share_of_them(written, bound):
    assert _bound(written) == bound


@pytest.mark.parametrize("written", [-1, True, 1.5, "101%", "1.5", "-1%", "%", "some", "1e3"])
def test_anything_else_is_refused_with_what_was_expected(written):
    with raises_message(ConfigError, "config.rows_or_a_share") as caught:
        _bound(written)
    assert "max_quarantined: expected " in caught.value.message


def test_a_share_is_of_all_rows_and_exact():
    assert RowBound(percent=Decimal("0.1")).allows(3, of=3000)
    assert not RowBound(percent=Decimal("0.1")).allows(4, of=3999)
