"""A pipeline whose output is in an object store: its runs and their history, by the commands and worker processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import duckdb
import obstore
import pytest

from tests.object_servers import SECRET, SERVERS, contents, running

ROWS, CHUNK = 4000, 500


@pytest.fixture(params=SERVERS)
def shop(tmp_path, request):
    with running(request.param) as server:
        yield Shop(tmp_path, server)


class Shop:
    def __init__(self, folder, server):
        self.folder, self.bucket, self.url = folder, server.bucket, f"{server.url}/team"
        section = {key: "${LAKE_SECRET}" if value == SECRET else value for key, value in server.storage.items()}
        (folder / "shop.yml").write_text(
            "pipeline: shop\nroot: .\nsources: {shop: {type: duckdb, path: shop.duckdb}}\n"
            f"output: {{base_path: '{self.url}', lease_ttl: 20s}}\nexecution: {{workers: 2}}\n"
            f"storage: {json.dumps(section)}\n"
            "tables:\n"
            "  - {table_name: customers, unique: [id], columns: {id: {type: int}}}\n"
            "  - table_name: orders\n"
            f"    chunking: {{strategy: rowid, target_rows: {CHUNK}}}\n"
            "    on_violation: quarantine\n"
            f"    columns: {{id: {{type: int, lt: {ROWS - 1}}}, name: {{type: str}}}}\n"
        )
        with duckdb.connect(folder / "shop.duckdb") as connection:
            connection.execute(f"create table orders as select i as id, 'n' || i as name from range({ROWS}) t(i)")
            connection.execute("create table customers as select i as id from range(7) t(i)")

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "statekeeper", *arguments],
            cwd=self.folder,
            env={**os.environ, "LAKE_SECRET": SECRET},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def do(self, *arguments):
        process = self.start(*arguments, "shop.yml", "--date", "2026-01-06", "--json")
        out, err = process.communicate(timeout=240)
        assert SECRET not in out + err
        assert process.returncode == 0, out + err
        return json.loads(out)

    def objects(self):
        return {each["path"] for page in obstore.list(self.bucket) for each in page}

    def document(self, key):
        return json.loads(bytes(obstore.get(self.bucket, key).bytes()))

    def record(self, table):
        """The commit record of a table."""
        (key,) = [key for key in self.objects() if f"/{table}/" in key and key.endswith("_metadata.json")]
        return self.document(key)

    def rows(self, table):
        """The ids that the commit record of a table names, sorted."""
        (key,) = [
            key for key in self.objects() if key.startswith(f"team/shop/{table}/") and key.endswith("_metadata.json")
        ]
        record = json.loads(bytes(obstore.get(self.bucket, key).bytes()))
        output = record["output_path"].removeprefix(self.url.removesuffix("team"))
        is_file = record["files"][0]["name"] == output.rpartition("/")[2]
        files = []
        for number, file in enumerate(record["files"]):
            path = self.folder / f"{table}-{number}.parquet"
            path.write_bytes(bytes(obstore.get(self.bucket, output if is_file else f"{output}/{file['name']}").bytes()))
            files.append(str(path))
        return [row for (row,) in duckdb.execute("select id from read_parquet(?) order by id", [files]).fetchall()]


def test_a_killed_run_is_resumed_verified_forced_and_remembered(shop):
    killed = shop.start("run", "shop.yml", "--date", "2026-01-06", "--no-progress")
    deadline = time.monotonic() + 120
    while not any("/receipts/chunk-" in key for key in shop.objects()):
        assert killed.poll() is None, killed.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    done = [shop.document(key) for key in shop.objects() if "/orders/" in key and "/receipts/chunk-" in key]

    resumed = shop.do("resume")
    assert {table["outcome"] for table in resumed["tables"]} <= {"completed", "skipped"}
    assert shop.rows("orders") == list(range(ROWS - 1))
    assert shop.rows("customers") == list(range(7))
    published = {file["md5"] for file in shop.record("orders")["files"]}
    last = ROWS // CHUNK - 1  # has the row for the quarantine, so that its part is written again
    assert {receipt["md5"] for receipt in done if receipt["chunk_id"] != last} <= published  # not read again
    assert not [key for key in shop.objects() if ".staging/" in key]
    assert resumed["base_path"] == shop.url

    assert {table["outcome"] for table in shop.do("run")["tables"]} == {"skipped"}
    shop.do("verify")
    before = {key for key in shop.objects() if key.endswith(".parquet")}
    assert {table["outcome"] for table in shop.do("run", "--force-reprocess")["tables"]} == {"completed"}
    after = {key for key in shop.objects() if key.endswith(".parquet")}
    assert not before & after  # each plan has a place of its own, and the old one is gone
    assert shop.rows("orders") == list(range(ROWS - 1))
    files = {str(path): path.read_bytes() for path in shop.folder.rglob("*") if path.is_file()}
    assert not [name for name, data in {**contents(shop.bucket), **files}.items() if SECRET.encode() in data]
    status = shop.do("status")
    assert status["state"] == "complete"
    assert all(table["output_path"].startswith(f"{shop.url}/shop/") for table in status["tables"])

    (damaged,) = [key for key in after if "/customers/" in key]
    obstore.put(shop.bucket, damaged, b"PAR1")
    assert {table["outcome"] for table in shop.do("run")["tables"]} == {"completed", "skipped"}
    assert shop.rows("customers") == list(range(7))
