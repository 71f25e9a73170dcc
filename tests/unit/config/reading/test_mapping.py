from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import SecretStr

from statekeeper.config.loader import pipeline_of
from statekeeper.config.resolved import check_run, run_id_of
from statekeeper.errors import ConfigError

SOURCES = {"shop": {"type": "duckdb", "path": Path("data/shop.duckdb")}}


def problems(mapping):
    with pytest.raises(ConfigError) as caught:
        pipeline_of(mapping)
    return caught.value.message.splitlines()


def test_a_mapping_takes_pythons_own_values():
    pipeline = pipeline_of(
        {
            "sources": SOURCES,
            "output": {"base_path": Path("out"), "lease_ttl": timedelta(seconds=90)},
            "extraction_date": date(2026, 1, 31),
            "tables": (
                {"table_name": "A", "columns": {"X": {"type": "decimal", "ge": Decimal("0.10"), "le": 0.3}}},
                {"table_name": "${B}", "retry": {"initial_delay": timedelta(microseconds=5)}},
            ),
        }
    )
    first, second = pipeline.tables
    assert (pipeline.name, pipeline.path, pipeline.extraction_date) == ("extract", None, "2026-01-31")
    assert pipeline.sources["shop"].path == "data/shop.duckdb"
    assert pipeline.output.lease_ttl == timedelta(seconds=90)
    assert (first.model.columns["X"].ge, first.model.columns["X"].le) == (Decimal("0.1"), Decimal("0.3"))
    assert second.table.table_name == "${B}", "text of Python is literal"
    assert second.retry.initial_delay == timedelta(microseconds=5)


def test_mistakes_are_shown_by_their_paths():
    found = problems(
        {
            "sources": SOURCES,
            "tables": [{"table_name": object()}, {"table_name": "A", 3: 4}, {"table_name": "A", "verify": "ful"}],
        }
    )
    assert found == [
        "tables[0].table_name: expected a value that a configuration can hold; found a object",
        "tables[1]: expected keys that are text; found 3",
        "tables[1].3: unknown key",
        "tables[2].verify: expected one of 'full' or 'quick'; found 'ful'. hint: did you mean 'full'?",
        (
            "tables[2].table_name: tables[1] writes to the same folder. "
            "hint: give one of them its own path_name, such as A_2"
        ),
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), timedelta(-1), b"x", "\ud800", 10**1000])
def test_a_value_that_no_configuration_can_hold_is_refused(value):
    (message,) = problems({"sources": SOURCES, "tables": [{"table_name": value}]})
    assert message.startswith("tables[0].table_name: expected a value that a configuration can hold")


def test_a_mapping_that_holds_itself_is_refused():
    mapping = {"sources": SOURCES, "tables": [{"table_name": "A"}]}
    mapping["defaults"] = mapping
    assert "defaults: this is nested deeper than 50 levels" in problems(mapping)


def test_a_secret_of_python_is_kept_and_never_shown():
    hook = {"webhook": SecretStr("https://x.org/hunter2")}
    mapping = {"sources": SOURCES, "tables": [{"table_name": "A"}], "states": {"on_enter": {"failed": [hook]}}}
    pipeline = pipeline_of(mapping)
    (kept,) = next(iter(pipeline.states.on_enter.values()))
    assert kept.webhook.get_secret_value() == "https://x.org/hunter2"
    assert "hunter2" not in repr(pipeline)
    (message,) = problems({**mapping, "pipeline": SecretStr(" "), "execution": {}})
    assert message == "pipeline: expected text that is not empty; found a secret"


def test_the_fingerprint_tells_mappings_apart():
    one, two = ({"sources": SOURCES, "tables": [{"table_name": name}]} for name in "AB")
    assert pipeline_of(one).fingerprint == pipeline_of(dict(one)).fingerprint
    assert pipeline_of(one).fingerprint != pipeline_of(two).fingerprint


def test_a_run_is_named_after_its_pipeline_and_date():
    assert run_id_of("prod", date(2026, 1, 31)) == "prod-20260131"


def test_seed_keys_must_agree_with_the_run():
    pipeline = pipeline_of(
        {
            "sources": SOURCES,
            "tables": [{"table_name": "A", "extraction_date": "2026-01-31", "run_id": "r"}, {"table_name": "B"}],
        }
    )
    check_run(pipeline, extraction_date=date(2026, 1, 31), run_id="r", today=date(2026, 2, 1))
    with pytest.raises(ConfigError) as caught:
        check_run(pipeline, extraction_date=date(2026, 2, 1), run_id="s", today=date(2026, 2, 1))
    assert caught.value.message.splitlines() == [
        "tables[0].extraction_date: expected the run's date 2026-02-01; found '2026-01-31'",
        "tables[0].run_id: expected the run's 's'; found 'r'",
    ]


@pytest.mark.parametrize(
    ("base_path", "minutes"),
    [
        ("/Volumes/main/raw/erp/data", 5),
        ("dbfs:/Volumes/main/raw/erp", 5),
        ("/dbfs/data", 5),
        ("data", 1),
        ("/data", 1),
    ],
)
def test_a_lease_lasts_longer_where_each_sign_of_life_is_a_request_to_an_object_store(tmp_path, base_path, minutes):
    sections = {"sources": {"shop": {"type": "duckdb", "path": "shop.duckdb"}}, "tables": [{"table_name": "orders"}]}
    by_default = pipeline_of({"output": {"base_path": base_path}, **sections}, root=tmp_path)
    assert by_default.output.lease_lifetime == timedelta(minutes=minutes)
    chosen = pipeline_of({"output": {"base_path": base_path, "lease_ttl": "90s"}, **sections}, root=tmp_path)
    assert chosen.output.lease_lifetime == timedelta(seconds=90)
