"""The promise of docs/schemas.md: a row is valid exactly when the model accepts it, however the scan gets there.

`make test` draws the same models each time. `make soak-schemas` draws others, and more: SCHEMA_MODELS of them, from
SCHEMA_SEED, which it prints.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import UUID4, ConfigDict, ValidationError, create_model

from statekeeper.model.schema import ColumnRule
from statekeeper.schemas.model.core_schema import read_model
from statekeeper.schemas.model.fingerprint import model_fingerprint
from statekeeper.schemas.model.inline import inline_model
from statekeeper.schemas.rules.checks import CompiledSchema
from statekeeper.schemas.rules.prefilter import valid_row_condition
from statekeeper.schemas.rules.undecided_rows import ROW_NUMBER, UndecidedRows, any_of
from statekeeper.validate import scan as validation
from statekeeper.validate.part_source import part_source, scanner
from statekeeper.validate.row_errors import RowErrors
from tests.unit.schemas import random_models
from tests.unit.schemas.random_columns import KINDS, ROWS
from tests.unit.schemas.random_models import Table
from tests.unit.schemas.staged_columns import Staged

MODELS = 1_200
"""In `make test`, over all kinds."""
EACH = MODELS // len(KINDS)

WrongColumns = frozenset[str | None]
"""The columns that are wrong with a row; None is the row as a whole. Empty: the row is valid."""


def of_pydantic(table: Table) -> list[WrongColumns]:
    columns = {key: column for column, key in table.keys.items()}
    verdicts = []
    for row in table.rows:
        try:
            table.model.model_validate(row, strict=True)
        except ValidationError as error:
            locations = [part["loc"] for part in error.errors(include_url=False, include_context=False)]
            verdicts.append(frozenset(columns[loc[0]] if loc else None for loc in locations))  # type: ignore[index]
        else:
            verdicts.append(frozenset())
    return verdicts


def of_scan(staged: Staged, compiled: CompiledSchema) -> list[WrongColumns]:
    """Row by row what `scan_part` counts: the SQL of every check, and pydantic's word where SQL leaves a row open."""
    wrong: dict[int, set[str | None]] = defaultdict(set)
    with closing(scanner("128MB", 1).cursor()) as connection:
        source = part_source(staged.path, compiled.columns)
        scan = validation._Scan(connection, source, compiled, staged.model, validation.SAMPLES, ROWS)
        if compiled.checks:
            broken = [f"coalesce({check.violated}, FALSE)" for check in compiled.checks]
            left = any_of([check.undecided for check in compiled.checks if check.undecided is not None])
            query = f"SELECT {ROW_NUMBER}, {valid_row_condition(compiled.checks)}, {left}, {', '.join(broken)}"
            for number, is_good, is_open, *violated in connection.sql(f"{query} FROM {scan._numbered}").fetchall():
                columns = zip(compiled.checks, violated, strict=True)
                wrong[number] |= {check.column for check, is_wrong in columns if is_wrong}
                assert not (is_good and (is_open or wrong[number])), "the quick filter lets through what is not good"
        if compiled.row_by_row or any(check.undecided for check in compiled.checks):
            assert scan._shape is not None
            rows = UndecidedRows.of(compiled, scan._fields, staged.model, scan._shape)
            for batch in connection.sql(rows.query(scan._numbered, scan._violated)).to_arrow_reader(5):
                for broken in rows.broken(batch):
                    wrong[broken.number] |= {key.column for key in broken.messages}
    return [frozenset(wrong[index]) for index in range(ROWS)]


def of_split(staged: Staged, compiled: CompiledSchema) -> list[WrongColumns]:
    """Row by row what a split of the part finds, in batches."""
    errors, wrong, start = RowErrors(compiled, staged.model, "128MB"), defaultdict(set), 0
    with pq.ParquetFile(staged.path) as file:
        for batch in file.iter_batches(batch_size=ROWS // 2 + 1):
            for found in errors.of(batch, start=start):
                wrong[found.number] |= {part.column for part in found.broken}
            start += batch.num_rows
    return [frozenset(wrong[index]) for index in range(ROWS)]


@dataclass(frozen=True)
class Compared:
    """A table as a part, and what pydantic says of its rows."""

    table: Table
    staged: Staged
    compiled: CompiledSchema
    expected: list[WrongColumns]

    @classmethod
    def of(cls, table: Table, folder: Path) -> Compared:
        columns = {name: (column.read_type, table.stored(name)) for name, column in table.columns.items()}
        staged = Staged(folder, table.model, columns)
        return cls(table, staged, staged.compiled, of_pydantic(table))

    @property
    def counts(self) -> Counter[str]:
        """What was compared, for the summary of the tests."""
        values = len(self.table.columns) * ROWS
        refused = sum(bool(verdict) for verdict in self.expected)
        return Counter(models=1, rows=ROWS, values=values, refused=refused, by_sql=int(not self.compiled.row_by_row))

    def assert_same_verdicts(self) -> None:
        """On every row and every field."""
        for row, expected, found in zip(
            self.table.rows, self.expected, of_scan(self.staged, self.compiled), strict=True
        ):
            checks = [(check.column, check.violated, check.undecided) for check in self.compiled.checks]
            assert found == expected, (
                f"pydantic refuses {set(expected)}, the scan {set(found)}: {row}",
                self.table.model.model_fields,
                checks,
                self.compiled.row_by_row,
            )

    def assert_findings_say_so(self) -> None:
        """What a run reports: the rows that are refused, and their columns; and which rows it puts apart."""
        assert of_split(self.staged, self.compiled) == self.expected
        findings = self.staged.scan()
        refused = [verdict for verdict in self.expected if verdict]
        assert (findings.rows, findings.violating_rows) == (ROWS, len(refused)), findings.violations
        assert {part.column for part in findings.violations} == set().union(*refused), findings.violations


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_scan_accepts_exactly_the_rows_that_the_model_accepts(kind, tmp_path, record_property):
    drawn: list[Counter[str]] = []

    @settings(
        max_examples=EACH,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(random=st.randoms(use_true_random=False))
    def check(random: Random) -> None:
        table = random_models.table(random, kind)
        compared = Compared.of(table, tmp_path)
        compared.assert_same_verdicts()
        if len(drawn) % 4 == 0:
            compared.assert_findings_say_so()
        drawn.append(compared.counts)

    check()
    total = sum(drawn, Counter())
    assert total["models"] >= EACH
    assert 0.1 < total["refused"] / total["rows"] < 0.9  # else too little of one kind was tried
    record_property("random models", dict(total))


@pytest.mark.soak_schemas
def test_more_models_from_a_seed(tmp_path):
    seed, models = int(os.environ.get("SCHEMA_SEED", "0")), int(os.environ.get("SCHEMA_MODELS", "20000"))
    kinds = sorted(KINDS)
    print(f"\n{models:,} models from SCHEMA_SEED={seed}")
    for number in range(models):
        table = random_models.table(Random(f"{seed} {number}"), kinds[number % len(kinds)])
        try:
            compared = Compared.of(table, tmp_path)
            compared.assert_same_verdicts()
            compared.assert_findings_say_so()
        except Exception as error:
            raise AssertionError(f"model {number} of SCHEMA_SEED={seed}: {error}") from error
    print(f"{models:,} models, {models * ROWS:,} rows: scan and pydantic agree on every row and field")


INLINE = ("int", "decimal", "float", "str", "bytes", "datetime", "date", "time", "uuid")


@pytest.mark.parametrize("kind", INLINE)
def test_inline_rules_are_the_model_that_the_same_constraints_make(kind):
    """The same fingerprint is the same checks."""
    compared = 0
    for number in range(60):
        column = KINDS[kind](Random(f"{kind} {number}"))
        rule = {name: value for name, value in column.constraints.items() if name not in NOT_INLINE}
        is_finite = all(not isinstance(value, float) or math.isfinite(value) for value in rule.values())
        if rule != column.constraints or not is_finite or column.annotation is UUID4:
            continue
        compared += 1
        for nullable in (False, True):
            annotation = column.annotation | None if nullable else column.annotation
            model = create_model("Row", __config__=ConfigDict(strict=True, extra="forbid"), a=(annotation, ...))
            inline = inline_model({"a": ColumnRule(type=kind, nullable=nullable, **rule)})
            assert model_fingerprint(inline) == model_fingerprint(model), (column.annotation, rule)
            assert read_model(inline).fields[0].constraints.keys() == read_model(model).fields[0].constraints.keys()
    assert compared >= 20


NOT_INLINE = frozenset({"to_lower", "to_upper"})
"""They refuse nothing."""
