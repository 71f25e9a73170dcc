"""A folder with a database of thirty tables and a pipeline over them: its commands, and what readers see in it."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from .expectation import EMPTY, Content, Source, Table

STATEKEEPER = str(Path(sys.executable).parent / "statekeeper")
RUN_ID = "nightly-20260106"
DAY = "202601/06"
TABLES = 30
_FIRST_TABLES = 27
"""So many are configured at first; the others are added by edits."""
_HEAD = """\
pipeline: nightly
extraction_date: 2026-01-06
sources:
  shop: {type: duckdb, path: shop.duckdb}
output: {base_path: lake, lock: LOCK}
execution: {workers: 2, memory_limit: 256MiB}
defaults:
  max_snapshot_restarts: 1000
  retry: {attempts: 2, initial_delay: 10ms, max_delay: 20ms}
states:
  on_enter:
    complete: [{command: "sh -c 'echo \\"$0 complete\\" >> hooks.txt' {table}"}]
    failed: [{command: "sh -c 'echo \\"$0 failed\\" >> hooks.txt' {table}"}]
tables:
"""
_LONGEST_COMMAND = 120.0


@dataclass(frozen=True)
class Ended:
    """A command that ended by itself."""

    arguments: tuple[str, ...]
    exit_code: int
    outcomes: dict[str, str] | None
    """By table; None where the command could not report."""
    hints: dict[str, str]
    """What is said of failed tables to do, by table."""
    said: str


@dataclass
class World:
    """The folder, the tables as the oracle knows them, and the dice."""

    folder: Path
    dice: random.Random
    tables: dict[str, Table] = field(default_factory=dict)
    version: int = 1
    _hooks_seen: int = 0

    @classmethod
    def make(cls, folder: Path, dice: random.Random) -> World:
        folder.mkdir(parents=True)
        world = cls(folder, dice)
        for number in range(TABLES):
            table = Table(
                name=f"t{number:02d}",
                source=Source(version=1, rows=dice.choice((0, 1, 200, 3000, 9000))),
                on_violation=dice.choice(("fail", "warn", "quarantine")),
                on_drift=dice.choice(("fail", "ignore-new")),
                verify=dice.choice(("full", "full", "quick")),
                target_rows=dice.choice((2048, 1_000_000)),
                is_configured=number < _FIRST_TABLES,
            )
            world.tables[table.name] = table
        world.write_source(world.tables.values())
        world.write_config(lock=dice.choice(("flock", "flock", "lease")))
        return world

    @property
    def damaged(self) -> frozenset[str]:
        """The tables whose dataset is, or may be, damaged."""
        return frozenset(name for name, table in self.tables.items() if table.damage in {"data", "maybe"})

    @property
    def configured(self) -> list[Table]:
        return [table for table in self.tables.values() if table.is_configured]

    def some(self, tables: Iterable[Table], *, most: int = 5) -> list[Table]:
        """A few of the tables, drawn at random."""
        drawn = list(tables)
        return self.dice.sample(drawn, min(len(drawn), self.dice.randint(1, most)))

    def write_source(self, tables: Iterable[Table]) -> None:
        """Write the tables into the database as their sources say."""
        with duckdb.connect(self.folder / "shop.duckdb") as connection:
            for table in tables:
                source = table.source
                connection.execute(f"drop table if exists {table.name}")
                if not source.exists:
                    continue
                new = ", 'new' as extra" if source.has_new_column else ""
                connection.execute(
                    f"create table {table.name} as select i::integer as id, {source.version}::integer as version, "
                    f"(case when i < {source.bad} then -1 else i % 100 end)::decimal(10, 2) as amount, "
                    f"md5(i::varchar) as digest{new} from range({source.rows}) as r(i)"
                )

    def write_config(self, *, lock: str | None = None) -> None:
        """Write the config as the tables say; the lock stays the one that it was made with."""
        path = self.folder / "nightly.yml"
        if lock is None:
            lock = path.read_text().partition("lock: ")[2].partition("}")[0]
        columns = "id: {type: int}, version: {type: int}, digest: {type: str}"
        lines = [
            f"  - {{table_name: {table.name}, on_violation: {table.on_violation}, on_drift: {table.on_drift}, "
            f"verify: {table.verify}, chunking: {{strategy: rowid, target_rows: {table.target_rows}}}, "
            f"columns: {{{columns}, amount: {{type: decimal, max_digits: 10, decimal_places: 2, ge: 0, "
            f"le: {table.rule}}}}}}}\n"
            for table in self.configured
        ]
        path.write_text(_HEAD.replace("LOCK", lock) + "".join(lines))

    # --- commands

    def start(self, *arguments: str, most_bytes: int | None = None) -> subprocess.Popen[str]:
        """Start a command in its own process group; `most_bytes` limits the size of each file."""

        process = subprocess.Popen(
            [STATEKEEPER, *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if most_bytes is not None:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
        return process

    def end(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for a command's own end."""
        output, errors = process.communicate(timeout=_LONGEST_COMMAND)
        assert "Traceback" not in errors, errors
        outcomes, hints = None, {}
        if output.startswith("{"):
            reported = [table for table in json.loads(output).get("tables", ()) if "outcome" in table]
            outcomes = {table["table"]["table_name"]: table["outcome"] for table in reported}
            failed = [table for table in reported if table["failure"]]
            hints = {table["table"]["table_name"]: table["failure"]["hint"] or "" for table in failed}
        arguments = tuple(process.args[1:])  # type: ignore[index]
        return Ended(arguments, process.returncode, outcomes, hints, output + errors)

    def kill(self, process: subprocess.Popen[str], *, after: float, number: int = signal.SIGKILL) -> Ended | None:
        """Send a signal to the command's group in its middle; what it came to, where it was through before."""
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            if number == signal.SIGKILL:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            process.communicate(timeout=_LONGEST_COMMAND)
            return None
        return self.end(process)

    def stop_for_a_while(self, process: subprocess.Popen[str], *, after: float) -> None:
        """Stop the command's group, then let it continue."""
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGSTOP)
            time.sleep(self.dice.uniform(0.05, 0.5))
            os.killpg(process.pid, signal.SIGCONT)

    # --- what is to be seen

    def status(self) -> dict[str, Any]:
        process = self.end(self.start("status", "nightly.yml", "--json"))
        assert process.exit_code == 0, process.said
        return json.loads(process.said[: process.said.rindex("}") + 1])

    def hooks(self) -> Counter[tuple[str, str]]:
        """What the hooks received since the last call: (table, state)."""
        path = self.folder / "hooks.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        told = [line.split() for line in lines[self._hooks_seen :]]
        self._hooks_seen = len(lines)
        return Counter((name.removeprefix("shop."), state) for name, state in told)

    def read(self, *, but: frozenset[str] = frozenset()) -> dict[str, Content | None]:
        """What every glob `*.parquet` matches under the base path, by table; `but` some that are damaged."""
        lake = self.folder / "lake"
        files = [str(path) for path in self._files_of_any_depth(lake)]
        seen: dict[str, Content | None] = dict.fromkeys(self.tables)
        for name in self.tables:
            of_table = [path for path in files if f"/lake/shop/{name}/" in path]
            for path in of_table:
                inside = path.partition(f"/{name}/{DAY}/")[2]
                assert inside == f"{RUN_ID}.parquet" or inside.startswith(f"{RUN_ID}.parquet/part-"), path
            if not of_table or name in but:
                continue
            found = duckdb.execute(
                "select version, count(*) filter (amount >= 0), count(*) filter (amount < 0), count(distinct id) "
                "from read_parquet(?) group by version",
                [of_table],
            ).fetchall()
            assert len(found) <= 1, f"readers see {found} of {name} at once"
            if found:
                version, good, bad, ids = found[0]
                assert good + bad == ids, f"rows of {name} are doubled: {found}"
            seen[name] = Content(version, good, bad) if found else EMPTY
        return seen

    @staticmethod
    def _files_of_any_depth(folder: Path) -> list[Path]:
        """Every file that a reader's `**/*.parquet` could match, hidden folders among them, in a fixed order."""
        return sorted(
            Path(parent) / name
            for parent, _, names in os.walk(folder)
            for name in names
            if name.endswith(".parquet") and (Path(parent) / name).is_file()
        )

    def dataset_files(self, table: Table) -> list[Path]:
        return self._files_of_any_depth(self.folder / "lake/shop" / table.name)

    def document(self, table: Table, kind: str) -> Path:
        return self.folder / "lake/shop" / table.name / DAY / f"{RUN_ID}_{kind}.json"
