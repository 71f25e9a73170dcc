"""Keys in whole runs: unique columns, and references between tables that are extracted at the same time."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.config.sections.output import LockKind
from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import ConfigError, FailureKind
from statekeeper.model.state import State
from statekeeper.run.preview import preview_tables
from statekeeper.run.report import Outcome
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.locks.lock import acquire
from statekeeper.store.process import this_process
from tests.messages import message, says, text_of
from tests.unit.small_shop import Heard, Shop

CUT = {"chunking": {"strategy": "rowid", "target_rows": 100}}
CUSTOMERS = {"table_name": "customers", "unique": ["id"], **CUT}
ORDERS = {
    "table_name": "orders",
    "unique": ["id", ["customer", "no"]],
    "references": [{"columns": "customer", "table": "customers", "to": "id"}],
    **CUT,
}


class KeyShop(Shop):
    def runner(self, *tables, **choices):
        source = {"type": "duckdb", "path": str(self.folder / "shop.duckdb"), "snapshot_scope": "run"}
        choices.setdefault("sources", {"shop": source})
        return super().runner(*tables, **choices)

    def only(self, *names, of, **choices):
        """The reports of a run of some tables of a configuration, as `--table` has it."""
        runner = self.runner(*of, **choices)
        chosen = tuple(config for config in runner.pipeline.tables if config.table.table_name in names)
        return {each.table.table_name: each for each in runner.run(chosen).tables}

    def violations(self, table="orders"):
        return json.loads(self.layout(table).violations.read_text())


@pytest.fixture
def shop(tmp_path):
    shop = KeyShop(tmp_path)
    shop.execute(
        "create table customers as select i as id from range(300) r(i)",
        "create table orders as select i as id, i % 300 as customer, i // 300 as no, "
        "case when i > 0 then i - 1 end as replaces from range(900) r(i)",
    )
    return shop


class Engine(InlineEngine):
    """Awaits what `before` gives for a job, by table and name of the work."""

    def __init__(self, before):
        super().__init__(memory_limit="100MB")
        self.before = before
        self.done = []

    async def run(self, job):
        self.done.append((job.table, job.work.__name__))
        act = self.before.get((job.table, job.work.__name__))
        if act is not None:
            await act()
        return await super().run(job)


def engine(before=None):
    return lambda _pipeline: Engine(before or {})


def failing(*, times=1):
    left = [ZeroDivisionError("a defect")] * times

    async def act():
        if left:
            raise left.pop()

    return act


def outcomes(reports):
    return {name: report.outcome for name, report in reports.items()}


def complete(*names):
    return dict.fromkeys(names, Outcome.COMPLETED)


class TestUnique:
    def test_columns_that_are_unique_pass_and_are_counted_among_the_checks(self, shop):
        assert outcomes(shop.run(ORDERS | {"references": None})) == complete("orders")
        assert shop.metadata().validation.checks == 2
        assert not shop.layout().violations.exists()

    def test_rows_that_share_values_are_violations_and_nothing_is_published(self, shop):
        shop.execute("insert into orders select 5, 100000, 0, null union all select 1000, 7, 0, null")
        report = shop.run(ORDERS | {"references": None})["orders"]
        assert (report.failure.kind, report.failure.failed_in) == (FailureKind.VALIDATION, State.VALIDATING)
        assert says(
            report.failure.message,
            "schemas.rows_break",
            rows=4,
            total=902,
            what="a key: id unique (2), customer, no unique (2)",
        )
        found = shop.violations()
        assert (found["violating_rows"], found["key_violating_rows"]) == (0, 4)
        by_id, by_pair = found["violations"]
        assert (by_id["column"], by_id["columns"], by_id["count"]) == ("id", ["id"], 2)
        assert [sample["values"]["customer"] for sample in by_id["samples"]] == ["5", "100000"]
        assert by_pair["columns"] == ["customer", "no"]
        assert by_pair["samples"][0]["message"] == text_of("validate.shared_values", values="customer=7, no=0", rows=2)

    @pytest.mark.parametrize(
        ("kind", "value", "shown"), [("decimal(12, 3)", "1.500", "1.5"), ("varchar", "a.0", "a.0")]
    )
    def test_decimals_are_shown_without_trailing_zeros_and_text_as_it_is(self, shop, kind, value, shown):
        shop.execute(f"create table prices as select '{value}'::{kind} as price from range(2)")
        shop.run({"table_name": "prices", "unique": ["price"]})
        (violation,) = shop.violations("prices")["violations"]
        assert violation["samples"][0]["message"] == text_of("validate.shared_values", values=f"price={shown}", rows=2)
        assert not shop.layout().output.exists()

    def test_with_warn_duplicate_rows_are_published_with_a_warning(self, shop):
        shop.execute("insert into orders select 5, 100000, 0, null")
        heard = Heard()
        report = shop.run(ORDERS | {"references": None, "on_violation": "warn"}, reporter=heard)["orders"]
        assert report.outcome is Outcome.COMPLETED
        assert shop.rows() == 901
        assert (shop.metadata().validation.key_violations, shop.metadata().validation.violations) == (2, 0)
        assert says(heard.warnings[0], "schemas.rows_break", rows=2, total=901, what="a key")

    def test_a_missing_key_column_fails_the_plan(self, shop):
        report = shop.run({"table_name": "orders", "unique": [["id", "nope"]]})["orders"]
        assert (report.failure.kind, report.failure.failed_in) == (FailureKind.PLAN, State.PENDING)
        assert says(report.failure.message, "sources.no_column", name="nope")

    def test_a_changed_key_makes_a_table_stale(self, shop):
        shop.run({"table_name": "orders"})
        heard = Heard()
        assert outcomes(shop.run({"table_name": "orders", "unique": ["id"]}, reporter=heard)) == complete("orders")
        assert heard.states[0][2] == text_of("run.configuration_changed", keys="keys")
        assert outcomes(shop.run({"table_name": "orders", "unique": ["id"]})) == {"orders": Outcome.SKIPPED}


class TestReferences:
    def test_rows_that_refer_to_existing_rows_pass(self, shop):
        assert outcomes(shop.run(ORDERS, CUSTOMERS)) == complete("orders", "customers")
        assert {shop.metadata(table).snapshot.token for table in ("orders", "customers")} == {
            shop.metadata().snapshot.token
        }

    def test_rows_that_refer_to_missing_rows_are_violations(self, shop):
        shop.execute("insert into orders select 1000, 300, 0, null union all select 1001, null, 0, null")
        reports = shop.run(ORDERS, CUSTOMERS)
        assert reports["customers"].outcome is Outcome.COMPLETED
        assert says(
            reports["orders"].failure.message,
            "schemas.rows_break",
            rows=1,
            total=902,
            what="a key: customer references (1)",
        )
        (violation,) = shop.violations()["violations"]
        assert violation["expected_text"] == text_of("validate.a_row_of", target="shop.customers (id)")
        assert violation["samples"][0]["message"] == text_of(
            "validate.no_such_row", values="customer=300", target="shop.customers (id)"
        )

    def test_a_table_may_refer_to_itself_and_two_to_each_other(self, shop):
        shop.execute("alter table customers add column last integer", "update customers set last = id")
        last = {"columns": "last", "table": "shop.orders", "to": "id"}
        first = {"columns": "replaces", "table": "orders", "to": "id"}
        tables = (ORDERS | {"references": [*ORDERS["references"], first]}, CUSTOMERS | {"references": [last]})
        one_at_a_time = {"active_tables": 1}
        assert outcomes(shop.run(*tables, execution=one_at_a_time)) == complete("orders", "customers")

    def test_in_a_circle_only_the_table_with_the_wrong_row_fails(self, shop):
        shop.execute("alter table customers add column last integer", "update customers set last = id * 100")
        last = {"columns": "last", "table": "orders", "to": "id"}
        for _ in range(2):  # once extracted, it stays so: the outcome is the same the second time
            reports = shop.run(ORDERS, CUSTOMERS | {"references": [last]})
            assert reports["orders"].is_good
            assert reports["customers"].failure.kind is FailureKind.VALIDATION
        assert shop.violations("customers")["violations"][0]["count"] == 300 - 9

    def test_a_reference_with_several_columns_ignores_rows_with_a_null(self, shop):
        shop.execute(
            "create table lines as select id, customer, no from orders", "insert into lines values (1, null, 99)"
        )
        lines = {"table_name": "lines", "references": [{"columns": ["customer", "no"], "table": "orders"}]}
        assert outcomes(shop.run(lines, ORDERS, CUSTOMERS)) == complete("lines", "orders", "customers")
        shop.execute("insert into lines values (1, 1, 99)")
        reports = shop.run(lines, ORDERS, CUSTOMERS, is_forced=True)
        assert "customer, no references (1)" in reports["lines"].failure.message

    def test_tables_that_wait_do_not_keep_others_from_starting(self, shop):
        names = [f"child_{number}" for number in range(6)]
        shop.execute(*(f"create table {name} as select id from customers" for name in names))
        children = [{"table_name": name, "references": [{"columns": "id", "table": "customers"}]} for name in names]
        reports = shop.run(*children, CUSTOMERS, execution={"active_tables": 2})
        assert outcomes(reports) == complete(*names, "customers")

    def test_a_reference_to_another_source_is_checked(self, shop):
        other = Shop(shop.folder / "other")
        other.folder.mkdir()
        other.execute("create table customers as select i as id from range(299) r(i)")
        sources = {
            name: {"type": "duckdb", "path": f"{folder}/shop.duckdb", "snapshot_scope": "run"}
            for name, folder in (("shop", shop.folder), ("crm", other.folder))
        }
        tables = (ORDERS | {"source_name": "shop"}, {"source_name": "crm", "table_name": "customers"})
        reports = shop.run(*tables, sources=sources)
        assert says(
            json.dumps(shop.violations()), "validate.no_such_row", values="customer=299", target="crm.customers (id)"
        )
        assert reports["customers"].outcome is Outcome.COMPLETED


class TestParents:
    def test_a_failed_parent_fails_its_child_with_the_cause_and_both_continue_later(self, shop):
        before = {("shop.customers", "extract_chunk"): failing()}
        reports = shop.run(ORDERS, CUSTOMERS, make_engine=engine(before))
        assert outcomes(reports) == dict.fromkeys(("orders", "customers"), Outcome.FAILED)
        failure = reports["orders"].failure
        assert (failure.kind, failure.failed_in) == (FailureKind.PARENT_MISSING, State.VALIDATING)
        assert says(
            failure.message,
            "validate.no_rows_of_the_parent",
            table="shop.orders",
            parent="shop.customers",
            why="it failed (...",
        )
        assert "a defect" in failure.message
        plan = shop.state().plan_id
        again = Engine({})
        assert outcomes(shop.run(ORDERS, CUSTOMERS, make_engine=lambda _p: again)) == complete("orders", "customers")
        assert shop.state().published.plan_id == plan
        assert ("shop.orders", "extract_chunk") not in again.done, "what was extracted is not read again"

    def test_a_parent_that_is_left_out_counts_once_it_is_complete(self, shop):
        tables = (ORDERS, CUSTOMERS)
        failure = shop.only("orders", of=tables)["orders"].failure
        assert failure.kind is FailureKind.PARENT_MISSING
        assert says(failure.message, "validate.never_begun")
        assert outcomes(shop.only("customers", of=tables)) == complete("customers")
        assert outcomes(shop.only("orders", of=tables)) == complete("orders")

    def test_a_skipped_parent_is_read_from_its_published_files(self, shop):
        tables = (ORDERS, CUSTOMERS)
        shop.only("customers", of=tables)
        reports = shop.run(*tables)
        assert outcomes(reports) == {"orders": Outcome.COMPLETED, "customers": Outcome.SKIPPED}

    def test_a_parent_whose_published_files_are_damaged_does_not_count(self, shop):
        tables = (ORDERS, CUSTOMERS)
        shop.only("customers", of=tables)
        next(shop.layout("customers").output.iterdir()).write_bytes(b"PAR1")
        failure = shop.only("orders", of=tables)["orders"].failure
        assert failure.kind is FailureKind.PARENT_MISSING
        assert says(failure.message, "validate.published_rows_are_damaged")

    def test_a_parent_that_another_run_holds_fails_its_child(self, shop):
        layout = shop.layout("customers")
        layout.folder.mkdir(parents=True)
        with acquire(LocalDisk(), layout, kind=LockKind.FLOCK, owner=this_process(), ttl=timedelta(minutes=1)):
            reports = shop.run(ORDERS, CUSTOMERS)
        assert outcomes(reports) == {"orders": Outcome.FAILED, "customers": Outcome.HELD}
        assert reports["orders"].failure.kind is FailureKind.PARENT_MISSING

    def test_a_parent_that_is_complete_at_another_snapshot_does_not_count(self, shop):
        tables = (ORDERS, CUSTOMERS)
        shop.run(*tables)
        shop.execute("insert into customers values (1000)", "checkpoint")
        before = {("shop.customers", "make_plan"): failing()}
        reports = shop.run(*tables, is_forced=True, make_engine=engine(before))
        assert "it failed" in reports["orders"].failure.message
        assert shop.rows("orders") == 900, "readers keep what was published"

    def test_a_parent_that_breaks_its_own_schema_still_counts_as_extracted(self, shop):
        broken = CUSTOMERS | {"columns": {"id": {"type": "int", "lt": 299}}}
        for tables in ((ORDERS, broken), (broken, ORDERS)):
            reports = shop.run(*tables)
            assert reports["orders"].is_good
            assert reports["customers"].failure.kind is FailureKind.VALIDATION

    @pytest.mark.parametrize("is_parent_first", [True, False])
    def test_a_quarantined_row_of_the_parent_never_counts(self, shop, is_parent_first):
        sifted = CUSTOMERS | {"columns": {"id": {"type": "int", "lt": 299}}, "on_violation": "quarantine"}
        tables = (ORDERS, sifted)
        if is_parent_first:
            assert outcomes(shop.only("customers", of=tables)) == complete("customers")
        reports = shop.run(*tables)
        assert reports["customers"].is_good
        assert says(
            reports["orders"].failure.message,
            "schemas.rows_break",
            rows=3,
            total=900,
            what="a key: customer references (3)",
        )
        assert says(reports["orders"].failure.hint, "validate.schema_or_key")
        assert says(
            json.dumps(shop.violations()), "validate.no_such_row", values="customer=299", target="shop.customers (id)"
        )

    def test_parts_removed_while_they_are_read_are_read_from_the_published_files(self, shop):
        is_read = asyncio.Event()

        async def until_the_parent_is_swept():
            is_read.set()
            while shop.layout("customers").staging_root.exists():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)

        before = {
            ("shop.customers", "check_keys"): is_read.wait,
            ("shop.orders", "check_keys"): until_the_parent_is_swept,
        }
        worker = Engine(before)
        assert outcomes(shop.run(ORDERS, CUSTOMERS, make_engine=lambda _p: worker)) == complete("orders", "customers")
        assert worker.done.count(("shop.orders", "check_keys")) == 2

    def test_after_a_death_during_the_checks_no_chunk_is_read_again(self, shop):
        class Died(BaseException):
            """The process dies here."""

        class Disk(LocalDisk):
            def rename(self, source, dest, *, role):
                if role == "intent":
                    raise Died
                super().rename(source, dest, role=role)

        with pytest.raises(Died):
            shop.run(ORDERS, CUSTOMERS, disk=Disk())
        assert shop.state("customers").state is shop.state("orders").state is State.VALIDATING
        again = Engine({})
        assert outcomes(shop.run(ORDERS, CUSTOMERS, make_engine=lambda _p: again)) == complete("orders", "customers")
        assert not {"make_plan", "extract_chunk", "take_run_snapshot"} & {name for _, name in again.done}

    def test_a_column_that_the_parent_lacks_fails_the_plan(self, shop):
        orders = ORDERS | {"references": [{"columns": "customer", "table": "customers", "to": "nope"}]}
        report = shop.run(orders, CUSTOMERS)["orders"]
        assert (report.failure.kind, report.failure.failed_in) == (FailureKind.PLAN, State.PENDING)
        assert says(report.failure.message, "sources.no_column", what="references: shop.customers", name="nope")

    def test_a_changed_query_of_the_parent_makes_the_child_stale(self, shop):
        shop.run(ORDERS, CUSTOMERS)
        fewer = {"table_name": "customers", "custom_query": "select id from customers where id < 299"}
        reports = shop.run(ORDERS, fewer)
        assert "customer references (3)" in reports["orders"].failure.message


def test_the_plan_says_what_will_be_checked(shop):
    runner = shop.runner(ORDERS, CUSTOMERS)
    (orders, _) = preview_tables(runner, runner.pipeline.tables).tables
    assert orders.notes[1:] == (
        text_of("plan.key_must_be_unique", columns="id"),
        text_of("plan.key_must_be_unique", columns="customer, no"),
        text_of("plan.reference_is_checked_later", reference="customer references shop.customers (id)"),
    )


SOURCES = {"run": {"type": "duckdb", "path": "a", "snapshot_scope": "run"}, "own": {"type": "duckdb", "path": "b"}}


@pytest.mark.parametrize(
    ("reference", "parent", "words"),
    [
        ({"table": "customers"}, {"source_name": "own"}, message("config.reference_needs_one_snapshot", source="own")),
        ({"table": "customers"}, {"source_name": "own"}, message("config.set_snapshot_scope", source="own")),
        ({"table": "custmers"}, {}, message("config.expected", expected="another table...")),
        ({"table": "custmers"}, {}, message("config.did_you_mean", key="customers")),
        ({"table": "customers", "to": ["a", "b"]}, {}, message("config.as_many_columns", count=1)),
        ({"table": "customers", "columns": ["a", "a"]}, {}, message("config.columns_that_differ")),
        (
            {"table": "customers"},
            {"incremental_column": "at", "is_full_extract": False},
            message("config.reference_needs_all_rows", parent="run.customers"),
        ),
        ({"table": "TWICE"}, {}, message("config.write_one_of", tables="run.a.twice, run.b.twice")),
    ],
)
def test_an_impossible_reference_is_refused_with_its_line(reference, parent, words):
    child = {"source_name": "run", "table_name": "orders", "references": [{"columns": "c"} | reference]}
    twice = [
        {"source_name": "run", "schema_name": schema, "table_name": "twice", "path_name": schema} for schema in "ab"
    ]
    tables = [child, {"source_name": "run", "table_name": "customers"} | parent, *twice]
    with pytest.raises(ConfigError) as caught:
        pipeline_of({"sources": SOURCES, "tables": tables})
    assert says(caught.value, words)
    assert "tables[0].references[0]" in caught.value.message
