"""Rows that break the schema, under each policy: where they are, that none is lost, and what makes it stale."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from statekeeper.errors import FailureKind
from statekeeper.model.state import State
from statekeeper.parquet.integrity import md5_of
from statekeeper.run.report import Outcome
from tests.messages import message, says, text_of
from tests.unit.engines.counting_engine import CountingEngine
from tests.unit.small_shop import Heard, Shop
from tests.unit.store.files.dying_disk import Died, DyingDisk

ROWS = 400
BAD = (7, 205, 399)
MODEL = """
from typing import Annotated, Self
from pydantic import AfterValidator, BaseModel, Field, model_validator

def _no_multiple_of_100(value: int) -> int:
    assert value % 100 or not value, "no multiple of 100"
    return value

class Order(BaseModel):
    id: Annotated[int, AfterValidator(_no_multiple_of_100)]
    amount: Annotated[int, Field(ge=0)]
    note: str | None

class Whole(Order):
    @model_validator(mode="after")
    def _look(self) -> Self:
        assert self.id != 250 or self.note, "order 250 needs a note"
        return self
"""
RULES = {"id": {"type": "int"}, "amount": {"type": "int", "ge": 0}, "note": {"type": "str", "nullable": True}}


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    _fill(shop, bad=BAD)
    (tmp_path / "models.py").write_text(MODEL)
    return shop


def _fill(shop, *, bad):
    listed = ", ".join(map(str, bad or (-1,)))
    shop.execute(
        "create or replace table orders as select i as id, case when i in "
        f"({listed}) then -i - 1 else i % 9 end as amount, 'note ' || i as note from range({ROWS}) r(i)"
    )


def _entry(policy="quarantine", **keys):
    return {
        "table_name": "orders",
        "columns": RULES,
        "on_violation": policy,
        "chunking": {"strategy": "rowid", "target_rows": 100},
        **keys,
    }


def _published_ids(shop):
    return sorted(pq.read_table(shop.layout().output, partitioning=None).column("id").to_pylist())


def _apart(shop):
    return pq.read_table(shop.quarantine()).to_pylist()


def _assert_adds_up(shop, bad):
    metadata = shop.metadata()
    told = metadata.validation
    assert _published_ids(shop) == sorted(set(range(ROWS)) - set(bad))
    assert (metadata.record_count, told.quarantined_rows) == (ROWS - len(bad), len(bad))
    assert told.extracted_rows == told.counted_rows == ROWS
    assert [row["id"] for row in _apart(shop)] == sorted(bad)
    path = shop.quarantine()
    assert told.quarantine.md5 == md5_of(path)
    assert {file.name: file.md5 for file in metadata.files} == {
        path.name: md5_of(path) for path in shop.layout().output.iterdir()
    }


def test_quarantined_rows_are_as_read_with_what_they_break_and_their_position(shop):
    heard = Heard()
    report = shop.run(_entry(), reporter=heard)["orders"]
    assert report.outcome is Outcome.COMPLETED, report.failure
    assert report.records == ROWS - len(BAD)
    _assert_adds_up(shop, BAD)
    first = _apart(shop)[0]
    plan8 = shop.metadata().plan_id[:8]
    assert first == {
        "id": 7,
        "amount": -8,
        "note": "note 7",
        "statekeeper_violations": [{"column": "amount", "constraint": "ge", "expected": ">= 0"}],
        "statekeeper_part": f"part-00000-{plan8}.parquet",
        "statekeeper_row": 7,
    }
    assert [(row["statekeeper_part"][5:10], row["statekeeper_row"]) for row in _apart(shop)] == [
        ("00000", 7), ("00002", 5), ("00003", 99),
    ]  # fmt: skip
    violations = json.loads(shop.layout().violations.read_text())
    assert violations["violating_rows"] == len(BAD)
    assert says("\n".join(heard.warnings), "schemas.rows_break", rows=3, total=400, what="the schema: amount ge (3)")
    file = f"_shop-20260106.quarantine/{plan8}.unpublished"
    assert report.remarks == (f"rows quarantined in {file}, since they break the schema: 3",)
    assert not shop.layout().staging_root.exists()


def test_only_parts_with_bad_rows_are_rewritten_and_lineage_is_kept(shop):
    shop.run(_entry())
    footers = [pq.read_metadata(path).metadata for path in sorted(shop.layout().output.iterdir())]
    assert [footer.get(b"statekeeper.quarantined_rows") for footer in footers] == [b"1", None, b"1", b"1"]
    assert {footer[b"statekeeper.plan_id"].decode() for footer in footers} == {shop.metadata().plan_id}
    chunks = [json.loads(footer[b"statekeeper.chunk"])["chunk_id"] for footer in footers]
    assert chunks == [0, 1, 2, 3]


@pytest.mark.parametrize(("name", "more"), [("Order", (100, 200, 300)), ("Whole", (100, 200, 250, 300))])
def test_every_bad_row_found_by_pydantic_row_by_row_is_quarantined(shop, name, more):
    shop.execute("update orders set note = null where id = 250")
    model = {"columns": None, "schema": f"{shop.folder}/models.py:{name}"}
    assert shop.run(_entry(**model))["orders"].outcome is Outcome.COMPLETED
    _assert_adds_up(shop, (*BAD, *more))
    by_id = {row["id"]: row["statekeeper_violations"] for row in _apart(shop)}
    assert by_id[200] == [
        {"column": "id", "constraint": "assertion_error", "expected": "Assertion failed, no multiple of 100"}
    ]
    if name == "Whole":
        assert by_id[250] == [
            {"column": None, "constraint": "assertion_error", "expected": "Assertion failed, order 250 needs a note"}
        ]


def test_a_row_that_breaks_several_rules_names_each_once(shop):
    shop.execute("update orders set amount = -1 where id = 100")
    shop.run(_entry(columns=None, schema=f"{shop.folder}/models.py:Order"))
    (broken,) = [row["statekeeper_violations"] for row in _apart(shop) if row["id"] == 100]
    assert sorted(one["column"] for one in broken) == ["amount", "id"]


def test_own_columns_of_the_table_keep_their_names(shop):
    shop.execute("alter table orders add column Statekeeper_Row integer default 5")
    rules = {**RULES, "Statekeeper_Row": {"type": "int", "nullable": True}}
    shop.run(_entry(columns=rules))
    assert {(row["Statekeeper_Row"], row["statekeeper_row_"]) for row in _apart(shop)} == {(5, 7), (5, 5), (5, 99)}


def test_a_later_extraction_without_bad_rows_removes_the_quarantine(shop):
    shop.run(_entry())
    _fill(shop, bad=())
    assert shop.run(_entry(), is_forced=True)["orders"].outcome is Outcome.COMPLETED
    assert shop.quarantine() is None
    assert not shop.layout().violations.exists()
    assert (shop.metadata().validation.quarantine, shop.rows()) == (None, ROWS)
    assert shop.run(_entry())["orders"].outcome is Outcome.SKIPPED


def test_a_later_extraction_with_other_bad_rows_replaces_it(shop):
    shop.run(_entry())
    _fill(shop, bad=(1, 2))
    shop.run(_entry(), is_forced=True)
    _assert_adds_up(shop, (1, 2))


@pytest.mark.parametrize("damage", ["gone", "cut", "edited", "other"])
def test_a_damaged_quarantine_is_found_before_a_skip_and_written_again(shop, damage):
    shop.run(_entry())
    assert shop.run(_entry())["orders"].outcome is Outcome.SKIPPED
    path = shop.quarantine()
    data = path.read_bytes()
    match damage:
        case "gone":
            path.unlink()
        case "cut":
            path.write_bytes(data[:-1])
        case "edited":
            path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
        case "other":
            path.write_bytes(next(shop.layout().output.iterdir()).read_bytes())
    assert shop.run(_entry())["orders"].outcome is Outcome.COMPLETED
    assert ".unpublished" in shop.state().history[-4].reason
    _assert_adds_up(shop, BAD)


def test_an_unexpected_quarantine_file_is_damage(shop):
    _fill(shop, bad=())
    shop.run(_entry())
    nobodys = shop.layout().quarantine("0" * 32)
    nobodys.parent.mkdir()
    nobodys.write_bytes(b"?")
    assert shop.run(_entry())["orders"].outcome is Outcome.COMPLETED
    assert shop.quarantine() is None


def test_a_changed_policy_extracts_again_only_tables_with_bad_rows(shop):
    shop.run(_entry("warn"))
    assert (shop.rows(), shop.metadata().validation.violations) == (ROWS, len(BAD))
    assert shop.run(_entry())["orders"].outcome is Outcome.COMPLETED
    assert shop.state().history[-4].reason == text_of("run.configuration_changed", keys="on_violation")
    _assert_adds_up(shop, BAD)
    assert shop.run(_entry("fail"))["orders"].outcome is Outcome.FAILED
    _assert_adds_up(shop, BAD)  # what was published stays
    _fill(shop, bad=())
    for policy in ("fail", "warn", "quarantine"):
        assert shop.run(_entry(policy), is_forced=policy == "fail")["orders"].outcome is not Outcome.FAILED
    assert shop.run(_entry("fail"))["orders"].outcome is Outcome.SKIPPED


def test_a_failed_validation_is_repeated_under_another_policy_without_reading_again(shop):
    failed = shop.run(_entry("fail"))["orders"]
    assert failed.failure.kind is FailureKind.VALIDATION
    assert says(failed.failure.hint, "validate.set_on_violation")
    assert "warn or quarantine" in failed.failure.hint
    engine = CountingEngine()
    assert shop.run(_entry(), make_engine=lambda _p: engine)["orders"].outcome is Outcome.COMPLETED
    assert "extract_chunk" not in engine.done
    _assert_adds_up(shop, BAD)


@pytest.mark.parametrize(
    ("bad", "bound", "said"),
    [
        (BAD, 2, message("validate.more_than_the_bound", bound=2)),
        (BAD, 3, None),
        (BAD, "0.7%", message("validate.more_than_the_bound", bound="0.7%")),
        (BAD, "0.75%", None),
        (range(ROWS), None, message("validate.every_row_breaks_the_schema")),
        (range(ROWS), "100%", None),
        (range(1, ROWS), None, None),
        ((), 0, None),
    ],
)
def test_more_rows_than_the_bound_fail_the_table_and_publish_nothing(shop, bad, bound, said):
    _fill(shop, bad=tuple(bad))
    report = shop.run(_entry(max_quarantined=bound))["orders"]
    if said is None:
        assert report.outcome is Outcome.COMPLETED, report.failure
        assert report.records == ROWS - len(bad)
        return
    assert report.failure.kind is FailureKind.VALIDATION
    assert says(report.failure.message, said)
    assert says(report.failure.hint, "validate.raise_max_quarantined", rows=len(bad))
    assert not shop.layout().output.exists()
    assert shop.quarantine() is None


@pytest.mark.parametrize("policy", ["fail", "warn"])
def test_violating_rows_are_copied_on_request_without_quarantine(shop, policy):
    shop.run(_entry(policy))
    assert shop.violating_rows() is None
    shop.run(_entry(policy, keep_violating_rows=True))
    assert [row["id"] for row in pq.read_table(shop.violating_rows()).to_pylist()] == list(BAD)
    assert shop.layout().output.exists() is (policy == "warn")
    assert shop.quarantine() is None
    if policy == "warn":
        assert (shop.rows(), shop.metadata().validation.quarantined_rows) == (ROWS, 0)
    _fill(shop, bad=())
    shop.run(_entry(policy, keep_violating_rows=True), is_forced=True)
    assert shop.violating_rows() is None
    assert shop.run(_entry(policy, keep_violating_rows=True))["orders"].outcome is Outcome.SKIPPED


@pytest.mark.parametrize("damaged", ["kept", "rejected", "sifted", "rejects", "chunk"])
def test_a_split_from_before_a_crash_is_used_again_unless_it_is_damaged(shop, damaged):
    with pytest.raises(Died):
        shop.run(_entry(), disk=DyingDisk("quarantine"))
    assert (shop.state().state, shop.state().intent is not None) == (State.VALIDATING, True)
    staging = shop.layout().staging(shop.state().plan_id)
    files = sorted([*staging.parts.iterdir(), *staging.receipts.iterdir()])
    victim = next(path for path in files if path.name.startswith(damaged) and "00001" not in path.name)
    kept = {path.name for path in files if path.name.startswith("kept-")}
    victim.write_bytes(b"PAR1")
    assert shop.run(_entry())["orders"].outcome is Outcome.COMPLETED
    _assert_adds_up(shop, BAD)
    assert len(kept) == 3


def test_after_a_crash_before_publication_nothing_is_split_again(shop):
    with pytest.raises(Died):
        shop.run(_entry(), disk=DyingDisk("publish"))
    staging = shop.layout().staging(shop.state().plan_id)
    before = {path.name: path.stat().st_ino for path in staging.parts.iterdir()}
    assert shop.run(_entry())["orders"].outcome is Outcome.COMPLETED
    published = {path.stat().st_ino for path in shop.layout().output.iterdir()}
    assert published <= set(before.values())


def test_after_a_crash_and_a_changed_policy_split_rows_are_published_after_all(shop):
    with pytest.raises(Died):
        shop.run(_entry(), disk=DyingDisk("publish"))
    again = shop.run(_entry("warn", keep_violating_rows=True))["orders"]
    assert again.outcome is Outcome.COMPLETED, again.failure
    assert shop.rows() == ROWS
    assert [row["id"] for row in pq.read_table(shop.violating_rows()).to_pylist()] == list(BAD)
    assert shop.quarantine() is None


def test_a_changed_policy_after_a_crash_never_mixes_files_of_both(shop):
    """The parts of both policies have the same names; the first publication was about to happen."""
    with pytest.raises(Died):
        shop.run(_entry(), disk=DyingDisk("publish"))
    assert shop.quarantine() is not None
    assert shop.run(_entry("warn"))["orders"].outcome is Outcome.COMPLETED
    assert shop.quarantine() is None
    assert (shop.rows(), shop.metadata().validation.violations) == (ROWS, len(BAD))
    assert len(list(shop.layout().output.iterdir())) == len(shop.metadata().files)
    assert shop.run(_entry("warn"))["orders"].outcome is Outcome.SKIPPED


def test_an_empty_table_has_no_quarantine(shop):
    shop.execute("delete from orders")
    assert shop.run(_entry())["orders"].outcome is Outcome.COMPLETED
    assert shop.metadata().validation.quarantine is None


def test_keys_are_checked_over_the_rows_that_are_published(shop):
    """A row that is quarantined breaks no key; of those that break one together none can be quarantined."""
    unique = {"unique": ["note"]}
    shop.execute("update orders set note = 'note 8' where id = 7")  # which is bad anyway
    assert shop.run(_entry(**unique))["orders"].outcome is Outcome.COMPLETED
    _assert_adds_up(shop, BAD)
    shop.execute("update orders set note = 'note 8' where id = 9")
    report = shop.run(_entry(**unique), is_forced=True)["orders"]
    assert report.failure.kind is FailureKind.VALIDATION
    assert says(
        report.failure.message, "schemas.rows_break", rows=3, total=400, what="the schema and 2 of 400 rows break a key"
    )
    assert says(report.failure.message, "validate.rows_of_a_key_are_not_quarantined")
    _assert_adds_up(shop, BAD)  # what was published stays


def test_one_bad_value_in_the_last_of_many_row_groups_is_quarantined(shop):
    rows = 60_000
    shop.execute(
        f"create or replace table orders as select i as id, case when i = {rows - 1} then -1 else 1 end as amount, "
        f"'note' as note from range({rows}) r(i)"
    )
    output = {"base_path": str(shop.folder / "data"), "row_group_rows": 5_000}
    entry = _entry(chunking={"strategy": "rowid", "target_rows": 20_480})
    assert shop.run(entry, output=output)["orders"].outcome is Outcome.COMPLETED
    (row,) = _apart(shop)
    assert (row["id"], row["amount"]) == (rows - 1, -1)
    told = shop.metadata().validation
    assert shop.rows() + told.quarantined_rows == told.extracted_rows == told.counted_rows == rows
    last = pq.read_metadata(max(shop.layout().output.iterdir()))
    assert last.num_row_groups > 1
    violations = json.loads(shop.layout().violations.read_text())
    assert violations["violations"][0]["samples"][0]["values"]["id"] == str(rows - 1)
