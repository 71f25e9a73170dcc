"""How many requests a run makes, by the server's own log, against the table in docs/objects.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.object_servers import running

CHUNK = 500
DOCUMENTED = {
    said: int(number)
    for said, number in re.findall(r"^\| (.+) \| (\d+) \|$", Path("docs/objects.md").read_text(), re.MULTILINE)
}
_SAID = re.compile(rb'"[A-Z]+ /\S* HTTP')


@pytest.fixture(scope="module")
def server():
    with running("moto") as server:
        yield server


class Shop:
    def __init__(self, folder, server, layout="dated"):
        self.folder, self.server, self.layout = folder, server, layout
        self.prefix = f"{server.url}/{folder.name}"

    def run(self, **chunks):
        """The requests of a run over tables with so many chunks each, and their outcomes."""
        with duckdb.connect(self.folder / "shop.duckdb") as connection:
            for table, number in chunks.items():
                statement = f"create table if not exists {table} as select i as id from range({number * CHUNK}) t(i)"
                connection.execute(statement)
        tables = [{"table_name": table} for table in chunks]
        config = {
            "pipeline": "shop",
            "root": ".",
            "sources": {"shop": {"type": "duckdb", "path": "shop.duckdb"}},
            "output": {"base_path": self.prefix, "layout": self.layout},
            "storage": self.server.storage,
            "defaults": {"verify": "quick", "chunking": {"strategy": "rowid", "target_rows": CHUNK}},
            "tables": tables,
        }
        (self.folder / "shop.yml").write_text(json.dumps(config))
        before = self._requests()
        command = [sys.executable, "-m", "statekeeper", "run", "shop.yml", "--date", "2026-01-06", "--json"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=2400, check=False)
        assert done.returncode == 0, done.stderr
        outcomes = {table["outcome"] for table in json.loads(done.stdout)["tables"]}
        return self._requests() - before, outcomes

    def _requests(self):
        return len(_SAID.findall(self.server.log.read_bytes()))


def test_the_documented_numbers_are_those_of_the_servers_log(tmp_path, server):
    shop = Shop(tmp_path, server)
    one, _ = shop.run(one=1)
    nothing, outcomes = shop.run(one=1)
    assert outcomes == {"skipped"}
    skip = DOCUMENTED["a complete table that is skipped, with `verify: quick`"]
    a_run = nothing - skip
    assert a_run == pytest.approx(DOCUMENTED["a run, whatever its tables"], rel=0.2)
    assert one - a_run == pytest.approx(DOCUMENTED["a table that is extracted in one chunk"], rel=0.2)
    (tmp_path / "many").mkdir()
    many, _ = Shop(tmp_path / "many", server).run(many=21)
    assert (many - one) / 20 == pytest.approx(DOCUMENTED["each further chunk, up to 8 MiB"], rel=0.2)


@pytest.mark.parametrize("layout", ["dated", "hive"])
def test_each_further_table_that_is_skipped_costs_what_is_documented(tmp_path, server, layout):
    shop, tables = Shop(tmp_path, server, layout), {f"t{number}": 1 for number in range(5)}
    shop.run(**tables)
    one, _ = shop.run(t0=1)
    all_of_them, outcomes = shop.run(**tables)
    assert outcomes == {"skipped"}
    said = {"dated": "a complete table that is skipped, with `verify: quick`", "hive": "the same in the layout `hive`"}
    assert all_of_them - one == 4 * DOCUMENTED[said[layout]]


@pytest.mark.sweep
def test_a_thousand_tables_are_skipped_by_fewer_than_three_thousand_requests(tmp_path, server):
    shop, tables = Shop(tmp_path, server), {f"t{number}": 1 for number in range(1000)}
    extracted, _ = shop.run(**tables)
    skipped, outcomes = shop.run(**tables)
    assert outcomes == {"skipped"}
    print(f"1,000 tables: {extracted:,} requests to extract them, {skipped:,} to skip them")
    assert skipped < 3000
