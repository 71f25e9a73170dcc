"""How often a part is read: once by the quick filter, and twice more at most, however many rules its rows break."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import AfterValidator, Field, create_model

from statekeeper.config.sections.output import OutputConfig
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.receipt import Receipt, SplitOutput
from statekeeper.parquet.batch_size import MemoryBudget
from statekeeper.parquet.integrity import md5_of
from statekeeper.parquet.types import parse_type
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.layout import Staging
from statekeeper.validate.part_source import batch_source, part_source, scanner
from statekeeper.validate.row_errors import RowErrors
from statekeeper.validate.scan import scan_part
from statekeeper.validate.split_writer import SplitTarget, split
from tests.unit.schemas.staged_columns import Staged

ROWS, RULES = 40_000, 6
NOT_THE_PART = 0.1
"""What else is read meanwhile, in parts: footers, more than once, and a module or two."""


def _no_one(value: int) -> int:
    if value == 1:
        raise ValueError("no ones")
    return value


def _bytes_read() -> int:
    counters = Path("/proc/self/io")
    if not counters.exists():
        pytest.skip("only Linux counts what a process reads")
    return int(counters.read_text().split()[1])


def _staged(folder: Path, *, bad: tuple[int, ...], by_pydantic: bool = False) -> Staged:
    """A part of many columns, in each of which the rows `bad` break the schema."""
    draw = Random(1)
    columns = {}
    for column in range(RULES):
        values = [draw.randrange(2, 1 << 62) for _ in range(ROWS)]
        for row in bad:
            values[row] = 1 if by_pydantic else -values[row]
        columns[f"c{column}"] = ("int64", values)
    kind = Annotated[int, AfterValidator(_no_one)] if by_pydantic else Annotated[int, Field(gt=0)]
    return Staged(folder, create_model("Row", **dict.fromkeys(columns, (kind, ...))), columns, row_groups=4)


def _reads(staged: Staged, work) -> float:
    """How often `work` reads the part."""
    work()  # what is imported and compiled
    before = _bytes_read()
    work()
    return (_bytes_read() - before) / staged.path.stat().st_size


def _scan(staged: Staged):
    return scan_part(staged.path, staged.compiled, staged.model, memory_limit="128MB")


@pytest.mark.parametrize("bad", [(), (7,), (7, ROWS // 2, ROWS - 1), tuple(range(ROWS))])
def test_counts_and_samples_of_all_rules_need_one_more_read(tmp_path, bad):
    staged = _staged(tmp_path, bad=bad)
    assert len(_scan(staged).violations) == (RULES if bad else 0)
    assert _reads(staged, lambda: _scan(staged)) == pytest.approx(2 if bad else 1, abs=NOT_THE_PART)


@pytest.mark.parametrize("bad", [(), (7, ROWS - 1)])
def test_samples_of_rows_that_pydantic_refuses_need_one_more_read(tmp_path, bad):
    staged = _staged(tmp_path, bad=bad, by_pydantic=True)
    assert _scan(staged).violating_rows == len(bad)
    assert _reads(staged, lambda: _scan(staged)) == pytest.approx(2 if bad else 1, abs=NOT_THE_PART)


@pytest.mark.parametrize("by_pydantic", [False, True])
def test_a_split_reads_its_part_once(tmp_path, by_pydantic):
    bad = (7, ROWS // 2, ROWS - 1)
    staged = _staged(tmp_path, bad=bad, by_pydantic=by_pydantic)
    staging = Staging(tmp_path / "staging")
    staging.parts.mkdir(parents=True)
    part = staged.path.rename(staging.parts / "chunk.unpublished")
    staged.path = part
    at = datetime(2026, 1, 6, tzinfo=UTC)
    receipt = Receipt(
        plan_id="0" * 32, chunk_id=0, attempt="a", part=part.name, rows=ROWS, bytes=part.stat().st_size,
        md5=md5_of(part), arrow_schema="", snapshot="", started_at=at, ended_at=at,
    )  # fmt: skip
    errors = RowErrors(staged.compiled, staged.model, "128MB")
    attempts = iter("ab")

    def write() -> None:
        target = SplitTarget(
            LocalDisk(), staging, OutputConfig(base_path=str(tmp_path)), next(attempts), lambda: None,
            MemoryBudget.of("128MB"),
        )  # fmt: skip
        kept, rejected = split(receipt, errors, target, published_name="p", wanted=SplitOutput.BOTH)
        assert (kept.rows, rejected.rows) == (ROWS - len(bad), len(bad))
        assert pq.read_table(staging.parts / rejected.part).column("statekeeper_row").to_pylist() == list(bad)

    assert _reads(staged, write) == pytest.approx(1, abs=NOT_THE_PART)


@pytest.mark.parametrize(
    "kind",
    [
        "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double", "string", "binary",
        "bool", "date32[day]", "time64[us]", "timestamp[ms]", "timestamp[us]", "timestamp[ns]", "timestamp[us, tz=UTC]",
        "decimal128(9, 2)", "decimal128(38, 0)",
    ],
)  # fmt: skip
def test_rows_in_memory_have_the_types_of_the_part_that_they_were_read_from(tmp_path, kind):
    path = tmp_path / "part.parquet"
    columns = (PlannedColumn(name="c", database_type=kind, read_type=kind, arrow_type=kind),)
    pq.write_table(pa.table({"c": pa.array([None], parse_type(kind))}), path)
    with scanner("128MB", 1).cursor() as connection, pq.ParquetFile(path) as file:
        connection.register("batch", pa.Table.from_batches(file.iter_batches()))
        sources = part_source(path, columns), batch_source("batch", columns)
        found = [connection.execute(f"SELECT typeof(c) FROM {source}").fetchall() for source in sources]
        connection.unregister("batch")
    assert found[0] == found[1]
