"""The next run finds damage, says what it found, and extracts that table again, and no other."""

from __future__ import annotations

import json

import pytest

from tests.messages import message, says

from .pipeline import QUICK_CONFIG, QUICK_ROWS, Workplace


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """A pipeline whose run is complete; tests take copies."""
    work = Workplace.make(tmp_path_factory.mktemp("complete") / "work", rows=QUICK_ROWS, config=QUICK_CONFIG)
    assert work.run("run", "nightly.yml").returncode == 0
    return work


@pytest.fixture
def work(complete, tmp_path):
    return complete.copy_to(tmp_path / "work")


def _first_part(work):
    return min(work.dataset().glob("part-*.parquet"))


def _flip_a_byte(work):
    part = _first_part(work)
    content = bytearray(part.read_bytes())
    content[100] ^= 0x01  # in a data page: the footer still reads
    part.write_bytes(content)
    return message("parquet.other_md5", file=part.name)


def _truncate_a_part(work):
    part = _first_part(work)
    size = part.stat().st_size
    part.write_bytes(part.read_bytes()[:-1])
    return message("parquet.other_size", file=part.name, found=size - 1, expected=size)


def _delete_a_part(work):
    part = _first_part(work)
    part.unlink()
    return message("parquet.file_is_missing", file=part.name)


def _delete_metadata(work):
    (work.day() / f"{work.run_id}_metadata.json").unlink()
    return message("parquet.file_is_missing", file="..._metadata.json")


def _add_a_foreign_file(work):
    (work.dataset() / "other.parquet").write_bytes(_first_part(work).read_bytes())
    return message("verify.foreign_file", file="other.parquet")


def _edit_the_tables_config(work):
    rules = (
        "{id: {type: int, nullable: true}, amount: {type: decimal, max_digits: 18, decimal_places: 2, nullable: true}"
    )
    for column in ("digest", "other"):
        rules += f", {column}: {{type: str, nullable: true}}"
    rules += ", at: {type: datetime, nullable: true}}"
    work.configure(QUICK_CONFIG.replace("{table_name: large}", f"{{table_name: large, columns: {rules}}}"))
    return message("run.configuration_changed", keys="schema")


@pytest.mark.parametrize(
    "damage",
    [
        _flip_a_byte,
        _truncate_a_part,
        _delete_a_part,
        _delete_metadata,
        _add_a_foreign_file,
        _edit_the_tables_config,
    ],
    ids=lambda damage: damage.__name__.strip("_").replace("_", "-"),
)
def test_the_next_run_finds_damage_and_restarts_only_that_table(work, damage):
    others = work.fingerprint("small", "empty")
    plan_before = work.state()["published"]["plan_id"]
    reason = damage(work)
    run = work.run("run", "nightly.yml")
    assert run.returncode == 0, run.stderr
    said = [line for line in run.stderr.splitlines() if "shop.large: pending: " in line]
    assert len(said) == 1, run.stderr
    assert says(said[0], reason)
    assert "shop.small: skipped" in run.stderr
    assert "shop.empty: skipped" in run.stderr
    assert work.fingerprint("small", "empty") == others
    assert work.tables_read() == {"large"}
    assert work.state()["published"]["plan_id"] != plan_before
    work.assert_equals_source()
    work.assert_no_staging()
    again = work.run("run", "nightly.yml", "--json")
    assert {table["outcome"] for table in json.loads(again.stdout)["tables"]} == {"skipped"}


BAD_STATES = {
    "torn": (lambda state: state[: len(state) // 2], message("model.not_whole_json")),
    "blank": (lambda _state: b"", message("model.not_whole_json", bytes=0)),
    "stranger": (
        lambda _state: b'{"name": "somebody\'s own notes"}',
        message("model.not_a_document", format="statekeeper.state"),
    ),
    "future": (
        lambda state: state.replace(b'"version": 1', b'"version": 2'),
        message("model.newer_version", version=2, newest=1),
    ),
    "edited": (lambda state: state.replace(b'"complete"', b'"pending"'), message("model.other_checksum")),
}
_BAD_STATES_CONFIG = QUICK_CONFIG.replace(
    "  - {table_name: large}\n", "".join(f"  - {{table_name: {name}}}\n" for name in BAD_STATES)
)


def test_a_bad_state_file_stops_its_own_extraction_and_is_kept(tmp_path):
    work = Workplace.make(tmp_path / "work", rows=10, config=_BAD_STATES_CONFIG)
    work.sql(*(f"create table {name} as select * from large" for name in BAD_STATES))
    good = [argument for name in (*BAD_STATES, "small") for argument in ("--table", name)]
    assert work.run("run", "nightly.yml", *good).returncode == 0
    evidence = {}
    for name, (damage, _) in BAD_STATES.items():
        path = work.day(name) / f"{work.run_id}_state.json"
        before = path.read_bytes()
        evidence[path] = damage(before)
        assert evidence[path] != before
        path.write_bytes(evidence[path])
    untouched = work.fingerprint(*BAD_STATES)

    run = work.run("run", "nightly.yml", "--json")

    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    reports = {report["table"]["table_name"]: report for report in json.loads(run.stdout)["tables"]}
    for name, (_, words) in BAD_STATES.items():
        assert reports[name]["outcome"] == "failed"
        failure = reports[name]["failure"]
        assert failure["kind"] == "state_damaged"
        assert says(failure["message"], words)
        assert f"{work.run_id}_state.json" in failure["message"]
        assert failure["hint"]
        assert f"shop.{name}: failed: {failure['message']}" in run.stderr
    assert (reports["small"]["outcome"], reports["empty"]["outcome"]) == ("skipped", "completed")
    work.assert_equals_source("empty")
    assert {path: path.read_bytes() for path in evidence} == evidence
    assert work.fingerprint(*BAD_STATES) == untouched
    shown = work.tables()
    assert {name: shown[name]["state"] for name in BAD_STATES} == dict.fromkeys(BAD_STATES, "damaged")
    assert work.status()["state"] == "failed"
