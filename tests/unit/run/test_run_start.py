"""What a start of a run puts into its manifest, and how its work grows with the number of tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.hints.next_command import RunCommands
from statekeeper.model.base import StoredValue
from statekeeper.model.manifest import RunManifest
from statekeeper.run.run_start import RunStart
from statekeeper.run.status import read_status
from statekeeper.store.layout import manifest_file
from statekeeper.store.process import this_process
from tests.unit.small_shop import DAY, RUN_ID


def _start(count: int, base_path: Path) -> RunStart:
    config = str(base_path / "shop.yml")
    tables = [{"table_name": f"t{number}"} for number in range(count)]
    source = {"type": "duckdb", "path": "shop.duckdb"}
    pipeline = pipeline_of({"sources": {"shop": source}, "output": {"base_path": str(base_path)}, "tables": tables})
    return RunStart(
        engine="local",
        pipeline=pipeline,
        run_id=RUN_ID,
        extraction_date=DAY,
        config_path=config,
        tables_path=None,
        tables=frozenset(table.table for table in pipeline.tables[: count // 2]),
        owner=this_process(),
        at=datetime(2026, 1, 6, tzinfo=UTC),
        commands=RunCommands.of(
            pipeline="shop",
            extraction_date=DAY,
            run_id=RUN_ID,
            config_path=Path(config),
            tables_path=None,
            working_folder=base_path,
        ),
        is_gone=lambda _: True,
    )


def _read(manifest: RunManifest) -> RunManifest:
    """The manifest as the next process reads it: equal tables, and none of them the same object."""
    return RunManifest.from_bytes(manifest.to_bytes(), where="manifest")


def test_requested_tables_are_in_the_order_of_the_config(tmp_path: Path) -> None:
    start = _start(6, tmp_path)
    begun = _read(start.begun(None))
    assert [table.table_name for table in begun.tables] == ["t0", "t1", "t2"]
    assert [table.table_name for table in begun.never_started] == ["t3", "t4", "t5"]
    assert start.begun(begun).tables == begun.tables
    fewer = _start(4, tmp_path).begun(begun)
    assert [table.table_name for table in fewer.tables] == ["t0", "t1", "t2"]
    assert [table.table_name for table in fewer.never_started] == ["t3"]


def test_start_and_status_take_time_linear_in_the_number_of_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted are the comparisons of stored values, of which a search through all tables for each makes the square."""
    compared = 0
    equal = StoredValue.__eq__

    def counting(one: StoredValue, other: object) -> bool:
        nonlocal compared
        compared += 1
        return equal(one, other)

    monkeypatch.setattr(StoredValue, "__eq__", counting)
    counts = {}
    for count in (100, 400):
        start = _start(count, tmp_path)
        begun = _read(start.begun(None))
        path = manifest_file(tmp_path, RUN_ID)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(begun.to_bytes())
        compared = 0
        assert len(_read(start.begun(begun)).never_started) == count // 2
        assert len(read_status(tmp_path, RUN_ID).tables) == count
        counts[count] = compared
    assert counts[400] <= 20 * 400, json.dumps(counts)
