"""The contestants that read the table: statekeeper, the bare loop, and two exporters from PyPI, each as a command.

Each exporter is installed into its own environment under build/, because both install the Python package
`oracle_parquet_exporter`.
"""

import json
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from benchmarks.oracle.dataset import DATE, FOLDER, MODEL, PASSWORD, TABLE, USER
from benchmarks.shared.measured import Measured, measure, processor_seconds

if TYPE_CHECKING:
    from tests.oracle_server import OracleServer

WORKERS = 2
CHUNK_ROWS = 125_000
OURS = "statekeeper"
BARE = "bare loop"
PQ = "oracle-pq-exporter"
PARQUET = "oracle-parquet-exporter"
VERSIONS = {PQ: "0.1.1", PARQUET: "0.0.22"}
NAMES = (OURS, BARE, PQ, PARQUET)


@dataclass(frozen=True)
class Round:
    """One run of a contestant; `server` is the processor time of the database meanwhile, in seconds."""

    command: Measured
    server: float


@dataclass(frozen=True)
class Contest:
    """The server, and the process that it is."""

    server: "OracleServer"
    server_process: int

    def run(self, name: str) -> Round:
        """One whole run into an empty folder."""
        folder = output_of(name)
        shutil.rmtree(folder, ignore_errors=True)
        secrets = {"ORACLE_PASSWORD": PASSWORD, "OPQ_PASSWORD": PASSWORD}
        served = processor_seconds(self.server_process)
        spared = frozenset({self.server_process})
        command = measure(*self._command(name, folder), environment=secrets, spared=spared)
        return Round(command, processor_seconds(self.server_process) - served)

    def _command(self, name: str, folder: Path) -> list[str]:
        here = Path(__file__).parent
        server = self.server
        match name:
            case "statekeeper":
                program = str(Path(sys.executable).with_name("statekeeper"))
                return [program, "run", str(FOLDER / "throughput.yml"), "--date", DATE, "--no-progress"]
            case "bare loop":
                told = [str(FOLDER / "chunks.json"), str(folder), str(WORKERS)]
                return [sys.executable, "-m", "benchmarks.oracle.bare", *told]
            case "oracle-pq-exporter":
                told = ["--user", USER, "--dsn", server.dsn, "--output-dir", str(folder), "--log-dir", str(folder)]
                program = str(environment_of(name) / "bin" / "opq-export")
                return [program, "partition", USER, TABLE, "--workers", str(WORKERS), "--merge", "N", *told]
            case _:
                place = [server.host, str(server.port), server.service, USER, USER, TABLE, str(folder)]
                return [str(environment_of(name) / "bin" / "python"), str(here / "parquet_exporter.py"), *place]

    def write_config(self) -> None:
        """The pipeline of statekeeper: two workers, and chunks so small that each has several; all else is default."""
        place = f"host: {self.server.host}, port: {self.server.port}, service: {self.server.service}"
        lines = [
            "pipeline: throughput",
            f"sources: {{ora: {{type: oracle, {place}, user: {USER}, password: '${{ORACLE_PASSWORD}}'}}}}",
            f"output: {{base_path: '{output_of(OURS)}'}}",
            f"execution: {{workers: {WORKERS}}}",
            f"defaults: {{chunking: {{target_rows: {CHUNK_ROWS}}}}}",
            "tables:",
            f"  - {{schema_name: {USER}, table_name: {TABLE}, schema: {MODEL}}}",
        ]
        (FOLDER / "throughput.yml").write_text("\n".join(lines) + "\n")

    def write_chunks(self) -> int:
        """What the bare loop is to read: the chunk statements that the server's log has of statekeeper's last run."""
        chunks = [[one["sql"], one["binds"]] for one in self.server.log() if " chunk " in (one["action"] or "")]
        chunks = [chunk for chunk in chunks if "L_COMMENT" in chunk[0]]
        (FOLDER / "chunks.json").write_text(json.dumps({"dsn": self.server.dsn, "chunks": chunks}))
        return len(chunks)


def output_of(name: str) -> Path:
    """The folder that a contestant writes to."""
    return FOLDER / "output" / name.replace(" ", "-")


def environment_of(name: str) -> Path:
    """The virtual environment of an exporter."""
    return FOLDER / "environments" / name


def install_exporters() -> None:
    """Both exporters, from PyPI, where they are not there yet."""
    for name, version in VERSIONS.items():
        stamp = environment_of(name) / f"installed-{version}"
        if stamp.exists():
            continue
        print(f"installing {name} {version}", flush=True)
        venv.create(environment_of(name), with_pip=True, clear=True)
        pip = [str(environment_of(name) / "bin" / "python"), "-m", "pip", "install", "-qq"]
        subprocess.run([*pip, f"{name}=={version}"], check=True)
        stamp.touch()


def files_of(name: str) -> list[Path]:
    """The Parquet files that a contestant left; a folder of statekeeper's is called so too."""
    return sorted(path for path in output_of(name).rglob("*.parquet") if path.is_file())


def rows_written(name: str) -> int:
    """Rows in all Parquet files that a contestant left, by their footers."""
    return sum(pq.read_metadata(path).num_rows for path in files_of(name))
