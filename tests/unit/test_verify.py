"""Every way in which published data may no longer be what was published."""

from __future__ import annotations

import json

import pytest

from statekeeper.config.resolved import Verify
from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.errors import Interrupted
from statekeeper.parquet.integrity import find_part_damage
from statekeeper.verify import VerifySpec, verify_published
from tests.messages import message, says
from tests.unit.small_shop import Shop

TABLES = (
    {"table_name": "orders", "chunking": {"strategy": "rowid", "target_rows": 100}},
    {"table_name": "customers"},
)
CONTEXT = ProcessContext(Sessions("100MB"), memory_limit="100MB", is_stopping=lambda: False, report=lambda _rows: None)


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute(
        "create table orders as select i as id from range(300) r(i)", "create table customers as select 1 as id"
    )
    shop.run(*TABLES)
    return shop


def _wrong(shop, table="orders", *, verify=Verify.FULL, with_state=True):
    published = shop.state(table).published if with_state else None
    return verify_published(VerifySpec(shop.layout(table), published, verify), CONTEXT).damage


def _edit_metadata(shop, **changes):
    path = shop.layout().metadata
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("verify", list(Verify))
@pytest.mark.parametrize("table", ["orders", "customers"])
def test_freshly_published_data_has_no_damage(shop, table, verify):
    assert _wrong(shop, table, verify=verify) is None
    assert _wrong(shop, table, verify=verify, with_state=False) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"record_count": 1}, message("verify.other_record_count")),
        ({"checksum": "0" * 32}, message("verify.other_checksum")),
        ({"extraction_complete": False}, message("verify.not_complete")),
        ({"record_count": "seven"}, message("model.metadata_cannot_be_read")),
        ({"plan_id": "0" * 32}, message("parquet.part_of_another_plan", plan="0" * 32)),
    ],
)
def test_edited_metadata_is_found_by_its_md5_and_by_its_content(shop, changes, words):
    _edit_metadata(shop, **changes)
    assert says(_wrong(shop), "verify.not_what_was_written")
    assert says(_wrong(shop, with_state=False), words)


def test_a_folder_instead_of_a_file_is_damage_and_the_reverse(shop):
    orders, customers = shop.layout("orders").output, shop.layout("customers").output
    orders.rename(orders.with_name("aside"))
    customers.rename(orders)
    orders.with_name("aside").rename(customers)
    assert says(_wrong(shop, "orders"), "verify.other_kind", found="file", expected="folder")
    assert says(_wrong(shop, "customers"), "verify.other_kind", found="folder", expected="file")


def test_a_part_of_another_plan_is_damage(shop):
    before = shop.layout("customers").output.read_bytes()
    shop.run(*TABLES, is_forced=True)
    file = shop.metadata("customers").files[0]
    shop.layout("customers").output.write_bytes(before)
    assert len(before) == file.bytes
    assert says(_wrong(shop, "customers"), "parquet.other_md5", expected=file.md5)
    assert says(_wrong(shop, "customers", verify=Verify.QUICK), "parquet.part_of_another_plan")


def test_an_unreadable_footer_is_damage_even_in_a_quick_verification(shop):
    part = next(shop.layout().output.iterdir())
    part.write_bytes(b"x" * part.stat().st_size)
    assert says(_wrong(shop, verify=Verify.QUICK), "parquet.no_readable_footer")


def test_a_verification_can_be_stopped_between_two_files(shop):
    stopping = ProcessContext(Sessions("1MB"), memory_limit="1MB", is_stopping=lambda: True, report=print)
    with pytest.raises(Interrupted):
        verify_published(VerifySpec(shop.layout(), None, Verify.FULL), stopping)


def test_a_part_with_another_row_count_is_damage(shop):
    file = shop.metadata("customers").files[0].model_copy(update={"rows": 2})
    plan_id = shop.state("customers").published.plan_id
    found = find_part_damage(shop.layout("customers").output, file, plan_id=plan_id, verify=Verify.FULL)
    assert says(found, "parquet.other_number_of_rows", found=1, expected=2)
