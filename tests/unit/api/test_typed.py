"""What a type checker says of programs that use the public names."""

from __future__ import annotations

import pytest

PROGRAM = """\
from statekeeper import ChunkDone, DataExtractor, DatabricksDataExtractor, RunEnded, RunReport
from statekeeper import StatefulDataExtractor, StatefulDatabricksDataExtractor, Table

extractor = DataExtractor(sources={"shop": {"type": "duckdb"}}, output={"compression": "zstd"})
done: bool = extractor.extract_table(source_name="shop", table_name="orders", is_full_extract=True, verify="quick")
all_done: dict[str, bool] = extractor.extract_tables_parallel([Table("orders"), {"table_name": "items"}], True)
report: RunReport = StatefulDataExtractor.from_config("x.yml", date="2026-01-06", workers=3).run().raise_for_failure()
StatefulDatabricksDataExtractor.from_config("x.yml", unity_catalog_volume="a/b/c", date="today")
DatabricksDataExtractor(unity_catalog_volume="a/b/c", oracle_host="x", execution={"workers": 3})
extractor.extract_table(source_name="shop", table_name="orders", schema_nam="hr")  # wrong: schema_nam
extractor.extract_table(source_name="shop", table_name="orders", verify="fully")  # wrong: verify
DataExtractor(oracle_hots="x")  # wrong: oracle_hots
DatabricksDataExtractor(oracle_hots="x")  # wrong: oracle_hots
Table("orders", schem="x")  # wrong: schem
StatefulDataExtractor.from_config("x.yml", run_idd="x")  # wrong: run_idd


async def main() -> None:
    awaited: RunReport = await StatefulDataExtractor.from_config("x.yml").run_async()
    print(awaited.exit_code)
    async for event in StatefulDataExtractor.from_config("x.yml").events():
        match event:
            case ChunkDone():
                print(event.bytes + 1)
            case RunEnded():
                print(event.report.tables)
"""


def test_it_finds_exactly_what_is_wrong(tmp_path, monkeypatch):
    api = pytest.importorskip("mypy.api", reason="mypy is no tool of tests, but of lint")
    monkeypatch.chdir(tmp_path)  # away from this project's own settings
    (tmp_path / "program.py").write_text(PROGRAM)
    out, _, _ = api.run(["--strict", "--cache-dir", str(tmp_path / "cache"), "program.py"])
    errors = [line for line in out.splitlines() if ": error: " in line]
    wrong = [(number, line) for number, line in enumerate(PROGRAM.splitlines(), start=1) if "# wrong: " in line]
    assert [int(error.split(":")[1]) for error in errors] == [number for number, _ in wrong], out
    for error, (_, line) in zip(errors, wrong, strict=True):
        assert f'"{line.split("# wrong: ")[1]}"' in error
