"""Running again is always safe: what is complete is verified and skipped, what is damaged or stale is made anew."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from statekeeper.databricks import DatabricksDataExtractor, StatefulDatabricksDataExtractor
from statekeeper.extractor import DataExtractor, StatefulDataExtractor
from statekeeper.model.metadata import parse_metadata
from statekeeper.model.record import StateRecord
from statekeeper.model.state import State
from statekeeper.model.table import TableRef
from statekeeper.run.report import Outcome
from statekeeper.runtime.progress import NullReporter
from statekeeper.store.documents import load_metadata
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.layout import ExtractionLayout

DAY = "2026-01-06"
ROWS = 1_000
CLUSTER = {"DATABRICKS_RUNTIME_VERSION": "17.3"}
CONFIG = """\
pipeline: shop
extraction_date: 2026-01-06
sources:
  shop: {type: duckdb, path: shop.duckdb}
output: {base_path: data}
execution: {workers: 2}
defaults:
  chunking: {strategy: rowid, target_rows: 250}
tables:
  - {table_name: orders}
  - {table_name: customers, chunking: {strategy: none}}
  - {table_name: nothing}
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A working directory with a database of three tables and a pipeline over them."""
    monkeypatch.chdir(tmp_path)
    with duckdb.connect("shop.duckdb") as connection:
        connection.execute(f"create table orders as select i as id, i / 4 as amount from range({ROWS}) as r(i)")
        connection.execute("create table customers as select i as id, 'name ' || i as name from range(10) as r(i)")
        connection.execute("create table nothing (id integer, note varchar)")
    Path("shop.yml").write_text(CONFIG)
    return tmp_path


def _extractor():
    return StatefulDataExtractor.from_config("shop.yml", reporter=NullReporter())


def _run(**options):
    return {table.table.table_name: table for table in _extractor().run(**options).tables}


def _layout(table="orders"):
    ref = TableRef(source_name="shop", table_name=table, path_name=table)
    return ExtractionLayout.of(
        base_path=Path("data"), table=ref, extraction_date=date.fromisoformat(DAY), run_id="shop-20260106"
    )


def _state(table="orders"):
    path = _layout(table).state
    return StateRecord.from_bytes(path.read_bytes(), where=str(path))


def _first_part():
    return min(_layout().output.glob("part-*.parquet"))


class TestFileIntegrity:
    def _flip_a_byte(self):
        part = _first_part()
        data = bytearray(part.read_bytes())
        data[40] ^= 0xFF  # in a data page: the footer still reads
        part.write_bytes(data)

    def _truncate(self):
        part = _first_part()
        part.write_bytes(part.read_bytes()[:-10])

    def _delete_a_part(self):
        _first_part().unlink()

    def _delete_all(self):
        for part in _layout().output.iterdir():
            part.unlink()
        _layout().output.rmdir()

    def _delete_metadata(self):
        _layout().metadata.unlink()

    def _edit_metadata(self):
        text = _layout().metadata.read_text()
        _layout().metadata.write_text(text.replace(f'"record_count": {ROWS}', '"record_count": 1'))

    def _add_a_stranger(self):
        (_layout().output / "other.parquet").write_bytes(_first_part().read_bytes())

    @pytest.mark.parametrize(
        ("damage", "reason"),
        [
            ("_flip_a_byte", "has md5"),
            ("_truncate", "bytes and not"),
            ("_delete_a_part", "is missing"),
            ("_delete_all", "is missing"),
            ("_delete_metadata", "_metadata.json is missing"),
            ("_edit_metadata", "is not what was written"),
            ("_add_a_stranger", "not of this extraction: other.parquet"),
        ],
    )
    def test_damage_is_found_and_that_table_alone_is_extracted_again(self, shop, damage, reason):
        _run()
        getattr(self, damage)()
        reports = _run()
        assert reports["orders"].outcome is Outcome.COMPLETED
        assert reports["customers"].outcome is reports["nothing"].outcome is Outcome.SKIPPED
        restart = next(entry for entry in reversed(_state().history) if entry.trigger == "restart")
        assert reason in restart.reason
        assert pq.read_table(_layout().output).num_rows == ROWS
        assert _run()["orders"].outcome is Outcome.SKIPPED

    def test_a_strangers_file_is_kept_beside_the_new_dataset(self, shop):
        _run()
        (_layout().output / "notes.txt").write_text("mine")
        _run()
        assert [path.read_text() for path in _layout().foreign_files.iterdir()] == ["mine"]

    def test_files_that_readers_ignore_are_no_damage(self, shop):
        _run()
        for name in ("_SUCCESS", ".part.crc"):
            (_layout().output / name).touch()
        assert _run()["orders"].outcome is Outcome.SKIPPED

    def test_quick_verification_looks_at_sizes_and_footers_only(self, shop):
        Path("shop.yml").write_text(CONFIG.replace("defaults:", "defaults:\n  verify: quick"))
        _run()
        self._flip_a_byte()
        assert _run()["orders"].outcome is Outcome.SKIPPED
        self._truncate()
        assert _run()["orders"].outcome is Outcome.COMPLETED


class TestChecksums:
    def test_of_a_single_file_is_what_md5sum_prints(self, shop):
        _run()
        layout = _layout("customers")
        printed = subprocess.run(["md5sum", layout.output], capture_output=True, text=True, check=True).stdout
        assert parse_metadata(layout.metadata.read_bytes()).checksum == printed.split()[0]

    def test_of_several_parts_is_the_md5_of_what_md5sum_prints(self, shop):
        _run()
        command = "md5sum part-*.parquet"
        printed = subprocess.run(command, cwd=_layout().output, shell=True, capture_output=True, check=True).stdout
        metadata = parse_metadata(_layout().metadata.read_bytes())
        assert metadata.checksum == hashlib.md5(printed).hexdigest()
        assert len(metadata.files) == ROWS // 250

    def test_every_part_has_its_own_md5_and_size(self, shop):
        _run()
        for file in parse_metadata(_layout().metadata.read_bytes()).files:
            data = (_layout().output / file.name).read_bytes()
            assert (file.md5, file.bytes) == (hashlib.md5(data).hexdigest(), len(data))


class TestMetadata:
    KEYS = (
        "output_path",
        "record_count",
        "start_time",
        "end_time",
        "duration_seconds",
        "file_size_bytes",
        "checksum",
        "table_config",
        "extraction_complete",
        "run_id",
        "schema_version",
        "statekeeper_version",
        "snapshot",
        "files",
        "config_fingerprint",
        "validation",
    )
    TABLE_KEYS = (
        "source_name",
        "table_name",
        "schema_name",
        "incremental_column",
        "extraction_date",
        "is_full_extract",
        "custom_query",
        "flashback_enabled",
        "flashback_timestamp",
        "run_id",
    )

    def test_has_the_keys_that_its_readers_know(self, shop):
        _run()
        written = json.loads(_layout().metadata.read_text())
        assert set(self.KEYS) <= written.keys()
        assert set(self.TABLE_KEYS) <= written["table_config"].keys()
        assert (written["record_count"], written["extraction_complete"]) == (ROWS, True)
        assert written["file_size_bytes"] == sum(path.stat().st_size for path in _layout().output.iterdir())

    def test_is_loaded_as_it_was_saved(self, shop):
        _run()
        metadata = load_metadata(LocalDisk(), _layout().metadata)
        assert metadata.to_bytes() == _layout().metadata.read_bytes()

    def test_stands_in_the_footer_of_every_part(self, shop):
        _run()
        plan_id = _state().published.plan_id
        for part in _layout().output.glob("*.parquet"):
            footer = pq.read_metadata(part).metadata
            assert footer[b"statekeeper.plan_id"].decode() == plan_id
            assert json.loads(footer[b"statekeeper.chunk"])["kind"] == "rowid"


class TestSkipping:
    def test_a_second_run_reads_nothing_and_changes_nothing(self, shop):
        _run()
        before = {path: path.stat().st_mtime_ns for path in Path("data/shop").rglob("*") if path.is_file()}
        reports = _run()
        assert {report.outcome for report in reports.values()} == {Outcome.SKIPPED}
        after = {path: path.stat().st_mtime_ns for path in Path("data/shop").rglob("*") if path.is_file()}
        changed = {path.name for path in after if before.get(path) != after[path]}
        assert {name for name in changed if not name.endswith(".lock")} == set()

    def test_an_empty_table_is_a_file_with_the_right_columns(self, shop):
        _run()
        table = pq.read_table(_layout("nothing").output)
        assert (table.num_rows, table.column_names) == (0, ["id", "note"])

    def test_a_changed_configuration_restarts_only_its_table_and_says_what_changed(self, shop):
        _run()
        query = "table_name: customers, custom_query: select id from customers"
        Path("shop.yml").write_text(CONFIG.replace("table_name: customers", query))
        reports = _run()
        assert {name: report.outcome for name, report in reports.items()} == {
            "orders": Outcome.SKIPPED,
            "customers": Outcome.COMPLETED,
            "nothing": Outcome.SKIPPED,
        }
        assert "its configuration changed: query" in {entry.reason for entry in _state("customers").history}

    @pytest.mark.parametrize("change", ["execution: {workers: 1}", "execution: {workers: 2, memory_limit: 512MiB}"])
    def test_how_it_is_run_is_no_reason_to_run_it_again(self, shop, change):
        _run()
        Path("shop.yml").write_text(CONFIG.replace("execution: {workers: 2}", change))
        assert {report.outcome for report in _run().values()} == {Outcome.SKIPPED}

    def test_the_plain_classes_skip_as_well(self, shop):
        extractor = DataExtractor(
            sources={"shop": {"type": "duckdb", "path": "shop.duckdb"}},
            output_base_path="plain",
            reporter=NullReporter(),
        )
        request = {"source_name": "shop", "table_name": "customers", "extraction_date": DAY}
        assert extractor.extract_table(**request) is True
        output = Path("plain/shop/customers/202601/06/extract-20260106.parquet")
        written = output.stat().st_mtime_ns
        assert extractor.extract_table(**request) is True
        assert output.stat().st_mtime_ns == written
        assert extractor.extract_table(**request, force_reprocess=True) is True
        assert output.stat().st_mtime_ns > written


class TestForce:
    def test_replaces_data_with_the_present_rows(self, shop):
        _run()
        with duckdb.connect("shop.duckdb") as connection:
            connection.execute("insert into orders values (-1, 0)")
        assert _run()["orders"].outcome is Outcome.SKIPPED
        reports = _run(force_reprocess=True)
        assert {report.outcome for report in reports.values()} == {Outcome.COMPLETED}
        assert pq.read_table(_layout().output).num_rows == ROWS + 1
        assert len(list(_layout().output.iterdir())) == len(parse_metadata(_layout().metadata.read_bytes()).files)

    def test_a_forced_run_that_fails_leaves_the_old_data_in_place(self, shop):
        _run()
        before = {path.name: path.read_bytes() for path in _layout().output.iterdir()}
        with duckdb.connect("shop.duckdb") as connection:
            connection.execute("drop table orders")
        reports = _run(force_reprocess=True)
        assert reports["orders"].outcome is Outcome.FAILED
        assert {path.name: path.read_bytes() for path in _layout().output.iterdir()} == before
        assert parse_metadata(_layout().metadata.read_bytes()).record_count == ROWS


class TestParallelRecovery:
    def test_tables_that_failed_are_done_by_the_next_run_and_no_other(self, shop):
        with duckdb.connect("shop.duckdb") as connection:
            connection.execute("alter table customers rename to customers_not_yet")
        reports = _run()
        assert {name: report.outcome for name, report in reports.items()} == {
            "orders": Outcome.COMPLETED,
            "customers": Outcome.FAILED,
            "nothing": Outcome.COMPLETED,
        }
        assert _state("customers").state is State.FAILED
        with duckdb.connect("shop.duckdb") as connection:
            connection.execute("alter table customers_not_yet rename to customers")
        outcomes = {table.table.table_name: table.outcome for table in _extractor().resume().tables}
        assert outcomes == {"orders": Outcome.SKIPPED, "customers": Outcome.COMPLETED, "nothing": Outcome.SKIPPED}

    def test_the_manifest_of_plain_calls_has_the_tables_of_all_of_them(self, shop):
        extractor = DataExtractor(sources={"shop": {"type": "duckdb", "path": "shop.duckdb"}}, reporter=NullReporter())
        for name in ("orders", "customers"):
            extractor.extract_table(source_name="shop", table_name=name, extraction_date=DAY)
        manifest = json.loads(Path("data/_runs/extract-20260106.json").read_text())
        assert [table["table_name"] for table in manifest["tables"]] == ["orders", "customers"]

    def test_several_tables_are_extracted_at_once_by_the_plain_classes(self, shop):
        extractor = DataExtractor(
            sources={"shop": {"type": "duckdb", "path": "shop.duckdb"}},
            output_base_path="plain",
            reporter=NullReporter(),
        )
        tables = [
            {"source_name": "shop", "schema_name": "main", "table_name": name, "extraction_date": DAY}
            for name in ("orders", "customers", "absent")
        ]
        assert extractor.extract_tables_parallel(tables) == {
            "shop.main.orders": True,
            "shop.main.customers": True,
            "shop.main.absent": False,
        }

    def test_a_damaged_state_file_stops_its_table_and_is_kept(self, shop):
        _run()
        _layout().state.write_bytes(_layout().state.read_bytes()[:100])
        evidence = _layout().state.read_bytes()
        reports = _run()
        assert reports["orders"].outcome is Outcome.FAILED
        assert "not whole JSON" in reports["orders"].failure.message
        assert {reports["customers"].outcome, reports["nothing"].outcome} == {Outcome.SKIPPED}
        assert _layout().state.read_bytes() == evidence
        assert _extractor().reset(tables=["orders"]) == ("shop.orders",)
        assert _run()["orders"].outcome is Outcome.COMPLETED
        kept = list(_layout().folder.glob("*.damaged-*"))
        assert [path.read_bytes() for path in kept] == [evidence]


class TestPaths:
    def test_lie_where_the_layout_says(self, shop):
        _run()
        folder = Path("data/shop/orders/202601/06")
        assert {path.name for path in folder.iterdir()} == {
            "shop-20260106.parquet",
            "shop-20260106_metadata.json",
            "shop-20260106_state.json",
            "shop-20260106.lock",
        }
        assert json.loads((folder / "shop-20260106_metadata.json").read_text())["output_path"] == str(
            folder / "shop-20260106.parquet"
        )

    def test_do_not_depend_on_other_tables_or_on_their_order(self, shop):
        _run()
        Path("shop.yml").write_text(CONFIG.replace("  - {table_name: nothing}\n", ""))
        assert _run()["orders"].outcome is Outcome.SKIPPED

    def test_a_lake_that_was_moved_is_still_verified(self, shop):
        _run()
        Path("data").rename("lake")
        Path("shop.yml").write_text(CONFIG.replace("base_path: data", "base_path: lake"))
        assert {report.outcome for report in _run().values()} == {Outcome.SKIPPED}


def test_a_pipelines_extractor_also_extracts_single_tables(shop):
    with duckdb.connect("shop.duckdb") as connection:
        connection.execute("create table extra as select 1 as id")
    assert _extractor().extract_table(source_name="shop", table_name="extra", extraction_date=DAY)
    assert Path("data/shop/extra/202601/06/shop-20260106.parquet").is_file()
    assert _extractor().extract_tables_parallel([{"source_name": "shop", "table_name": "nope"}]) == {"shop.nope": False}


class TestDatabricksInheritance:
    def test_the_classes_are_the_plain_ones_and_more(self):
        assert issubclass(DatabricksDataExtractor, DataExtractor)
        assert issubclass(StatefulDatabricksDataExtractor, StatefulDataExtractor)

    def test_what_a_call_means_is_not_redefined(self):
        ours = ("extract_table", "extract_tables_parallel", "extract_run")
        assert [name for name in ours if name in vars(DatabricksDataExtractor)] == []
        ours = ("run", "resume", "status", "verify", "reset", "reset_failed", "preview")
        assert [name for name in ours if name in vars(StatefulDatabricksDataExtractor)] == []

    def test_the_older_import_paths_have_the_same_classes(self):
        from data_extractor import core, databricks

        assert databricks.DatabricksDataExtractor is DatabricksDataExtractor
        assert databricks.StatefulDatabricksDataExtractor is StatefulDatabricksDataExtractor
        assert core.DataExtractor is DataExtractor


class TestDatabricksIntegration:
    """What is on disk is the same, whichever class, engine and kind of file system made it."""

    @pytest.fixture
    def on_cluster(self, shop):
        """The pipeline as on a cluster: an absolute path, no rename; without its Spark, so that it is quick."""

        def extractor(**choices):
            Path("shop.yml").write_text(
                CONFIG.replace("base_path: data", f"base_path: {shop / 'data'}, writes: whole, lease_ttl: 2s")
            )
            return StatefulDatabricksDataExtractor.from_config(
                "shop.yml", environ=CLUSTER, use_existing_spark=False, reporter=NullReporter(), **choices
            )

        return extractor

    @pytest.fixture
    def on_one_machine(self, shop):
        """The same pipeline by the plain class, as the tests above have it."""

        def extractor():
            Path("shop.yml").write_text(CONFIG)
            return _extractor()

        return extractor

    def test_a_run_is_skipped_by_the_next_one_and_by_the_plain_class(self, on_cluster, on_one_machine):
        assert {table.outcome for table in on_cluster().run().tables} == {Outcome.COMPLETED}
        assert {table.outcome for table in on_cluster().run().tables} == {Outcome.SKIPPED}
        assert {table.outcome for table in on_one_machine().run().tables} == {Outcome.SKIPPED}
        assert on_cluster().status().state == "complete"
        assert {table.outcome for table in on_cluster().verify().tables} == {Outcome.SKIPPED}

    def test_a_run_of_the_plain_class_is_skipped_on_the_cluster(self, on_cluster, on_one_machine):
        on_one_machine().run()
        assert {table.outcome for table in on_cluster().run().tables} == {Outcome.SKIPPED}

    def test_a_forced_run_replaces_data_and_leaves_one_dataset(self, on_cluster):
        on_cluster().run()
        with duckdb.connect("shop.duckdb") as connection:
            connection.execute("insert into orders values (-1, 0)")
        report = on_cluster().run(tables=["orders"], force_reprocess=True)
        assert report.tables[0].records == ROWS + 1
        output = Path(report.tables[0].output_path)
        assert list(output.parent.glob("*.parquet")) == [output]
        assert sum(pq.read_metadata(part).num_rows for part in output.iterdir()) == ROWS + 1

    def test_damage_is_found_and_that_table_alone_is_extracted_again(self, on_cluster):
        on_cluster().run()
        _first_part().write_bytes(b"damage")
        outcomes = {table.table.table_name: table.outcome for table in on_cluster().run().tables}
        assert outcomes == {"orders": "completed", "customers": "skipped", "nothing": "skipped"}

    def test_tables_that_failed_are_done_by_resume(self, on_cluster):
        with duckdb.connect("shop.duckdb") as connection:
            connection.execute("alter table orders rename to elsewhere")
        assert on_cluster().run().exit_code == 1
        with duckdb.connect("shop.duckdb") as connection:
            connection.execute("alter table elsewhere rename to orders")
        assert on_cluster().resume().exit_code == 0

    def test_executors_of_the_existing_session_extract_and_leave_it_running(self, shop, monkeypatch):
        monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
        session_class = pytest.importorskip("pyspark.sql").SparkSession
        session = session_class.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
        try:
            extractor = DatabricksDataExtractor(
                sources={"shop": {"type": "duckdb", "path": str(shop / "shop.duckdb")}},
                output_base_path=shop / "lake",
                output={"writes": "whole"},
                environ=CLUSTER,
                spark=session,
                reporter=NullReporter(),
            )
            entries = [{"source_name": "shop", "table_name": name} for name in ("orders", "customers")]
            first = extractor.extract_run(entries, extraction_date=DAY)
            assert {table.outcome for table in first.tables} == {Outcome.COMPLETED}
            again = extractor.extract_run(entries, extraction_date=DAY)
            assert {table.outcome for table in again.tables} == {Outcome.SKIPPED}
            assert set(extractor.extract_tables_parallel(entries).values()) == {True}  # today, another run
            assert session.range(3).count() == 3
        finally:
            session.stop()
