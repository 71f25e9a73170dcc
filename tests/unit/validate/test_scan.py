# ruff: noqa: DTZ001 - columns without a time zone hold naive moments
from __future__ import annotations

import json
import pickle
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import AfterValidator, BaseModel, Field, create_model

from statekeeper.errors import DataError
from statekeeper.model.schema import SchemaRef
from statekeeper.model.table import TableRef
from statekeeper.schemas.rules.checks import Check, CompiledSchema
from statekeeper.schemas.rules.findings import SAMPLES, Findings, Violation, Violations
from statekeeper.validate import scan as validation
from tests.messages import raises_message
from tests.unit.schemas.staged_columns import Staged


def model_of(**fields: Any) -> type[BaseModel]:
    return create_model("Row", **{name: (kind, ...) for name, kind in fields.items()})


POSITIVE = Annotated[int, Field(gt=0)]
SHORT = Annotated[str, Field(max_length=3)]


def test_row_that_breaks_several_constraints_is_one_violating_row(tmp_path):
    columns = {"id": ("int64", [1, 0, -1, 4]), "name": ("string", ["abc", "abcd", "x", "wxyz"])}
    findings = Staged(tmp_path, model_of(id=POSITIVE, name=SHORT), columns).scan()
    assert (findings.rows, findings.violating_rows) == (4, 3)
    assert [(part.column, part.constraint, part.count) for part in findings.violations] == [
        ("id", "gt", 2),
        ("name", "max_length", 2),
    ]


def test_sample_has_the_whole_row_and_pydantics_own_message(tmp_path):
    columns = {
        "id": ("int64", [0]),
        "price": ("decimal128(9, 2)", [Decimal("1.50")]),
        "raw": ("binary", [b"\x00\xff"]),
        "at": ("timestamp[us]", [datetime(2020, 1, 2, 3, 4, 5, 6)]),
        "none": ("string", [None]),
    }
    model = model_of(id=POSITIVE, price=Decimal, raw=bytes, at=datetime, none=str | None)
    (violation,) = Staged(tmp_path, model, columns).scan().violations
    (sample,) = violation.samples
    assert sample.message == "Input should be greater than 0"
    assert sample.values == {
        "id": "0",
        "price": "1.50",
        "raw": "0x00FF",
        "at": "2020-01-02 03:04:05.000006",
        "none": None,
    }
    assert violation.expected_text == "> 0"


def test_samples_are_the_first_rows_and_bounded(tmp_path):
    values = [1] * 50 + [-index for index in range(1, 2000)]
    (violation,) = Staged(tmp_path, model_of(id=POSITIVE), {"id": ("int64", values)}, row_groups=5).scan().violations
    assert violation.count == 1999
    assert [sample.values["id"] for sample in violation.samples] == ["-1", "-2", "-3", "-4", "-5"]


def test_long_values_are_cut_in_samples(tmp_path):
    (violation,) = Staged(tmp_path, model_of(name=SHORT), {"name": ("string", ["x" * 10_000])}).scan().violations
    assert len(violation.samples[0].values["name"] or "") == 200


def test_moment_beyond_the_calendar_is_shown_as_the_database_has_it(tmp_path):
    columns = {"at": ("timestamp[us]", pa.array([2**63 - 1, 0], pa.timestamp("us"))), "id": ("int64", [0, 1])}
    findings = Staged(tmp_path, model_of(at=datetime, id=POSITIVE), columns).scan()
    at, number = findings.violations
    assert at.samples[0].message == "infinity is not a date or time of the years 1 to 9999"
    assert number.samples[0].values == {"at": "infinity", "id": "0"}
    assert findings.violating_rows == 1


def _no_two(value: int) -> int:
    if value == 2:
        raise ValueError("no twos")
    return value


def test_custom_validator_runs_on_every_row_and_joins_the_counts(tmp_path):
    kind = Annotated[int, AfterValidator(_no_two)]
    values = [Decimal(index % 3) for index in range(30_000)]
    columns = {"n": ("decimal128(9, 0)", values), "name": ("string", ["abcd"] * 3 + ["a"] * 29_997)}
    findings = Staged(tmp_path, model_of(n=kind, name=SHORT), columns).scan()
    assert findings.violating_rows == 10_000 + 2
    number, name = findings.violations
    assert (number.constraint, number.count, number.expected_text) == ("value_error", 10_000, "validator _no_two")
    assert [sample.values for sample in number.samples[:2]] == [{"n": "2", "name": "abcd"}, {"n": "2", "name": "a"}]
    assert number.samples[0].message == "Value error, no twos"
    assert name.count == 3


def test_pydantic_not_re2_checks_rows_with_other_alphabets(tmp_path):
    values = ["7", "\u0663", "x", "\u00e9"]
    kind = Annotated[str, Field(pattern=r"^\d$")]
    findings = Staged(tmp_path, model_of(c=kind), {"c": ("string", values)}).scan()
    (violation,) = findings.violations
    assert (findings.violating_rows, violation.constraint, violation.count) == (2, "pattern", 2)
    assert {sample.values["c"] for sample in violation.samples} == {"x", "\u00e9"}


def _explodes(value: Any) -> Any:
    raise KeyError(value)


def test_other_exceptions_of_schema_code_are_errors_not_violations(tmp_path):
    kind = Annotated[int, AfterValidator(_explodes)]
    with raises_message(DataError, "schemas.own_code_raised", error="KeyError"):
        Staged(tmp_path, model_of(n=kind), {"n": ("int64", [1])}).scan()


def test_scan_that_disagrees_with_pydantic_is_reported(tmp_path):
    staged = Staged(tmp_path, model_of(id=POSITIVE), {"id": ("int64", [5, 6])})
    wrong = CompiledSchema(staged.planned, (Check("id", "gt", "> 5", '"id" <= 5'),), (), 1)
    findings = validation.scan_part(staged.path, wrong, staged.model, memory_limit="128MB")
    assert [(part.constraint, part.count) for part in findings.violations] == [("gt", 1), ("scan_disagrees", 1)]


def test_clean_part_has_no_findings(tmp_path):
    columns = {"id": ("int64", [1, 2]), "uuid": ("string", [str(UUID(int=1)), str(UUID(int=2))])}
    findings = Staged(tmp_path, model_of(id=POSITIVE, uuid=UUID), columns).scan()
    assert findings == Findings(rows=2, violating_rows=0, violations=(), checks=4)


def test_empty_part_is_valid(tmp_path):
    assert Staged(tmp_path, model_of(id=POSITIVE), {"id": ("int64", [])}).scan().rows == 0


@pytest.mark.parametrize("folder", ["a[1]", "day=2020-01-01", "it's", "q?*", "\u00e4 b"])
def test_path_is_a_file_and_never_a_pattern_or_a_partition(tmp_path, folder):
    (tmp_path / folder).mkdir()
    findings = Staged(tmp_path / folder, model_of(id=POSITIVE), {"id": ("int64", [0])}).scan()
    assert findings.violating_rows == 1


@pytest.mark.parametrize("name", ['we"ird', "select", "file_row_number", "it's", "c0", "\u00e4", "a.b"])
def test_any_column_name_is_scanned(tmp_path, name):
    even = Annotated[int, AfterValidator(_no_two), Field(gt=0)]
    model = create_model("Row", a=(POSITIVE, Field(alias=name)), b=(even, Field(alias="other")))
    findings = Staged(tmp_path, model, {name: ("int64", [0, 1]), "other": ("int64", [2, 1])}).scan()
    assert {(part.column, part.constraint) for part in findings.violations} == {(name, "gt"), ("other", "value_error")}


def test_file_that_is_not_parquet_is_an_error(tmp_path):
    staged = Staged(tmp_path, model_of(id=POSITIVE), {"id": ("int64", [1])})
    staged.path.write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(DataError, match=r"part\.parquet"):
        staged.scan()


@pytest.mark.parametrize(
    "read", ["timestamp[s]", "timestamp[ms]", "uint32", "decimal128(38, 10)", "timestamp[us, tz=UTC]"]
)
def test_file_has_the_schema_that_was_planned(tmp_path, read):
    staged = Staged(tmp_path, None, {"c": (read, [None])})
    assert str(pq.read_schema(staged.path).field("c").type) == staged.planned[0].arrow_type


def _violation(count: int, *messages: str) -> Violation:
    samples = tuple({"values": {"a": message}, "message": message} for message in messages)
    return Violation.model_validate(
        {"column": "a", "constraint": "ge", "expected_text": ">= 1", "count": count, "samples": samples}
    )


def test_merged_findings_add_up_and_keep_the_first_samples():
    one = Findings(rows=10, violating_rows=4, violations=(_violation(4, "1", "2", "3", "4"),), checks=2)
    two = Findings(rows=5, violating_rows=3, violations=(_violation(3, "5", "6", "7"),), checks=2)
    merged = one.merged(two).merged(Findings(rows=1, violating_rows=0, violations=(), checks=2))
    assert (merged.rows, merged.violating_rows, merged.checks) == (16, 7, 2)
    (violation,) = merged.violations
    assert violation.count == 7
    assert [sample.message for sample in violation.samples] == ["1", "2", "3", "4", "5"]
    assert len(violation.samples) == SAMPLES


def test_findings_cross_processes():
    findings = Findings(rows=1, violating_rows=1, violations=(_violation(1, "x"),), checks=1)
    assert pickle.loads(pickle.dumps(findings)) == findings


def test_violations_document_is_plain_json():
    findings = Findings(rows=1200, violating_rows=1, violations=(_violation(1, "\u00e4"),), checks=1)
    table = TableRef(source_name="s", schema_name="HR", table_name="T", path_name="T")
    document = Violations.of(findings, run_id="r", table=table, model=SchemaRef(path="hr.py:T"))
    assert json.loads(document.to_bytes()) == {
        "run_id": "r",
        "table": "s.HR.T",
        "model": "hr.py:T",
        "rows": 1200,
        "violating_rows": 1,
        "key_violating_rows": 0,
        "violations": [
            {
                "column": "a",
                "columns": [],
                "constraint": "ge",
                "expected_text": ">= 1",
                "count": 1,
                "samples": [{"values": {"a": "\u00e4"}, "message": "\u00e4"}],
            }
        ],
    }
    assert findings.summary() == "1 of 1,200 rows break the schema: a ge (1)"
