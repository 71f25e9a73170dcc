"""The pipelines that are measured, and their runs."""

import sys
from pathlib import Path

from benchmarks.local.dataset import DATE, FOLDER, MODEL
from benchmarks.shared.measured import Measured, measure

STATEKEEPER = str(Path(sys.executable).with_name("statekeeper"))


def write_config(name: str, database: Path, tables: list[str], *, memory_limit: str | None = None) -> Path:
    """A pipeline over the tables, with two workers and otherwise the defaults of statekeeper."""
    path = FOLDER / f"{name}.yml"
    limit = f", memory_limit: {memory_limit}" if memory_limit else ""
    lines = [
        f"pipeline: {name}",
        f"sources: {{duck: {{type: duckdb, path: '{database}'}}}}",
        f"output: {{base_path: '{FOLDER / name}'}}",
        f"execution: {{workers: 2{limit}}}",
        "tables:",
        *(f"  - {{table_name: {table}, schema: {MODEL}}}" for table in tables),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def statekeeper_run(config: Path) -> Measured:
    """`statekeeper run`, all checks on."""
    return measure(STATEKEEPER, "run", str(config), "--date", DATE, "--no-progress")
