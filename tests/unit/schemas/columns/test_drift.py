"""What is expected of a table's columns, whose word it is, and what another policy makes stale."""

from __future__ import annotations

from datetime import date

import pytest

from statekeeper.errors import FailureKind
from statekeeper.run.report import Outcome
from statekeeper.store.files.disk import LocalDisk
from tests.messages import says, text_of
from tests.unit.engines.counting_engine import CountingEngine
from tests.unit.small_shop import Heard, Shop

LATER = date(2026, 1, 7)
LATEST = date(2026, 1, 8)
TABLE = "create or replace table orders as select i as id, 'note ' || i as note from range(10) r(i)"
WITH_EXTRA = "alter table orders add column extra varchar"


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    shop.execute(TABLE)
    return shop


def _entry(policy="fail", **keys):
    return {"table_name": "orders", "on_drift": policy, **keys}


def _columns(shop, **choices):
    return list(shop.metadata(**choices).columns)


def _failed(report):
    return report["orders"].outcome is Outcome.FAILED and report["orders"].failure.kind is FailureKind.PLAN


def test_what_was_accepted_once_is_expected_from_then_on(shop):
    shop.run("orders")
    shop.execute(WITH_EXTRA)
    assert _failed(shop.run("orders", day=LATER))  # which is the default
    assert shop.run(_entry("evolve"), day=LATER)["orders"].outcome is Outcome.COMPLETED
    assert shop.run(_entry(), day=LATEST)["orders"].outcome is Outcome.COMPLETED
    assert shop.metadata(day=LATEST).validation.drift == ()


def test_what_was_left_out_is_left_out_until_the_policy_changes(shop):
    shop.run(_entry("ignore-new"))
    shop.execute(WITH_EXTRA)
    for day in (LATER, LATEST):
        assert shop.run(_entry("ignore-new"), day=day)["orders"].outcome is Outcome.COMPLETED
        assert _columns(shop, day=day) == ["id", "note"]


def test_another_policy_makes_stale_what_it_would_have_made_otherwise(shop):
    shop.run(_entry("ignore-new"))
    shop.execute(WITH_EXTRA)
    shop.run(_entry("ignore-new"), day=LATER)
    again = shop.run(_entry("evolve"), day=LATER)["orders"]
    assert again.outcome is Outcome.COMPLETED
    assert shop.state(day=LATER).history[-4].reason == text_of("run.configuration_changed", keys="on_drift")
    assert _columns(shop, day=LATER) == ["id", "note", "extra"]


def test_another_policy_makes_nothing_stale_where_nothing_differed(shop):
    shop.run(_entry("ignore-new"))
    for policy in ("evolve", "fail", "ignore-new"):
        assert shop.run(_entry(policy))["orders"].outcome is Outcome.SKIPPED


def test_another_query_is_no_drift(shop):
    shop.run(_entry())
    changed = shop.run(_entry(custom_query="select note, 1 as one from orders"), day=LATER)["orders"]
    assert changed.outcome is Outcome.COMPLETED
    assert _columns(shop, day=LATER) == ["note", "one"]


def test_a_changed_schema_is_no_drift(shop):
    rules = {"id": {"type": "decimal"}, "note": {"type": "str", "nullable": True}}
    shop.run(_entry(columns=rules))
    assert shop.run(_entry(), day=LATER)["orders"].outcome is Outcome.COMPLETED
    assert shop.metadata(day=LATER).validation.drift == ()


def test_a_forced_extraction_is_compared_with_the_one_that_it_replaces(shop):
    shop.run(_entry())
    shop.execute(WITH_EXTRA)
    assert _failed(shop.run(_entry(), is_forced=True))
    assert _columns(shop) == ["id", "note"]


def test_a_damaged_record_of_another_run_stops_only_what_has_no_schema(shop):
    rules = {"id": {"type": "int", "nullable": True}, "note": {"type": "str", "nullable": True}}
    shop.run(_entry())
    shop.layout().metadata.write_text("{")
    failed = shop.run(_entry(), day=LATER)["orders"]
    assert failed.failure.kind is FailureKind.STATE_DAMAGED
    assert "shop-20260106_metadata.json" in failed.failure.message
    assert shop.run(_entry(columns=rules), day=LATER)["orders"].outcome is Outcome.COMPLETED


def test_a_type_that_the_schema_takes_as_well_is_told_and_no_policy_is_asked(shop):
    rules = {"id": {"type": "int", "nullable": True}, "note": {"type": "str", "nullable": True}}
    shop.run(_entry(columns=rules))
    shop.execute("alter table orders alter column id type integer")
    heard = Heard()
    assert shop.run(_entry(columns=rules), day=LATER, reporter=heard)["orders"].outcome is Outcome.COMPLETED
    told = "column id is retyped from BIGINT (int64 in the file) to INTEGER (int32 in the file): admitted"
    assert [str(change) for change in shop.metadata(day=LATER).validation.drift] == [told]
    assert told in heard.warnings
    assert shop.run(_entry("evolve", columns=rules), day=LATER)["orders"].outcome is Outcome.SKIPPED


def test_a_lost_column_that_must_have_a_value_stops_an_evolving_table(shop):
    rules = {
        "id": {"type": "int", "nullable": True},
        "note": {"type": "str", "nullable": True},
        "gone": {"type": "int"},
    }
    failure = shop.run(_entry("evolve", columns=rules))["orders"].failure
    assert says(
        failure.message, "schemas.column_is_lost", column="gone", expected="int", why="the table has no such column"
    )


MODELS = """
from typing import Self
from pydantic import AfterValidator, BaseModel, model_validator
from typing import Annotated

def _present(value):
    assert value is not None, "must be there"
    return value

class Whole(BaseModel):
    id: int
    note: str
    gone: str | None
    kind: str = "plain"

    @model_validator(mode="after")
    def _look(self) -> Self:
        if self.gone is not None or self.kind != "plain" or self.id == 3:
            raise ValueError("not like this")
        return self

class Demanding(BaseModel):
    id: int
    note: str
    gone: Annotated[str | None, AfterValidator(_present)]
"""


def test_rows_without_a_lost_column_are_validated_as_the_model_would(shop):
    (shop.folder / "models.py").write_text(MODELS)
    model = f"{shop.folder}/models.py"
    report = shop.run(_entry("evolve", schema=f"{model}:Whole", on_violation="warn"))["orders"]
    assert report.outcome is Outcome.COMPLETED, report.failure
    assert shop.metadata().validation.violations == 1  # the row with id 3, and no other
    refused = shop.run(_entry("evolve", schema=f"{model}:Demanding"))["orders"].failure
    assert says(refused.message, "schemas.column_is_lost", column="gone")


class Died(BaseException):
    """The process dies here."""


def test_a_plan_that_is_taken_up_again_decides_nothing_anew(shop):
    """The columns are the plan's, whatever the newest extraction has by now."""

    class Dying(LocalDisk):
        def rename(self, source, dest, *, role):
            if role == "publish":
                raise Died
            super().rename(source, dest, role=role)

    shop.run(_entry())
    shop.execute(WITH_EXTRA)
    with pytest.raises(Died):
        shop.run(_entry("ignore-new"), day=LATER, disk=Dying())
    plan_id = shop.state(day=LATER).plan_id
    shop.run(_entry("evolve"), day=LATEST)
    engine = CountingEngine()
    shop.run(_entry("ignore-new"), day=LATER, make_engine=lambda _p: engine)
    assert shop.state(day=LATER).published.plan_id == plan_id
    assert "make_plan" not in engine.done
    assert _columns(shop, day=LATER) == ["id", "note"]
