"""Anything in place of a document, random bytes or a special file: that table fails and says so, the others continue,
and `reset --table` repairs it. Nothing waits for a pipe, reads a device, or ends with a traceback.
"""

from __future__ import annotations

import json
import os
import stat

import pytest

from .pipeline import Workplace

_SPOILERS = {
    "empty": lambda path: path.write_bytes(b""),
    "half_a_pair": lambda path: path.write_bytes(b'{"x": "\\ud800"}'),
    "deep": lambda path: path.write_bytes(b"[" * 100_000),
    "not_text": lambda path: path.write_bytes(b"\xff\xfe\x00\xd8"),
    "foreign": lambda path: path.write_bytes(b'{"format": "another.program", "version": 1}'),
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "link": lambda path: path.symlink_to("/etc/hostname"),
    "device": lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5)),  # /dev/zero: it never ends
}
_DOCUMENTS = {"state": "_state.json", "metadata": "_metadata.json", "lock": ".lock"}
_TABLES = [f"{document}_{spoiler}" for document in _DOCUMENTS for spoiler in _SPOILERS]


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    """A complete run of many tables, each with another document spoiled in another way, and one healthy table."""
    tables = "".join(f"  - {{table_name: {name}}}\n" for name in [*_TABLES, "healthy"])
    config = (
        "pipeline: nightly\nextraction_date: 2026-01-06\nsources:\n  shop: {type: duckdb, path: shop.duckdb}\n"
        f"output: {{base_path: data, lock: flock}}\nexecution: {{workers: 1}}\ntables:\n{tables}"
    )
    work = Workplace.make(tmp_path_factory.mktemp("spoiled") / "work", rows=0, config=config)
    work.sql(*(f"create table {name} as select 7 as id" for name in [*_TABLES, "healthy"]))
    assert work.run("run", "nightly.yml").returncode == 0
    for document, end in _DOCUMENTS.items():
        for name, spoil in _SPOILERS.items():
            path = work.day(f"{document}_{name}") / f"{work.run_id}{end}"
            path.unlink()
            try:
                spoil(path)
            except PermissionError as error:
                pytest.skip(f"this user cannot make a device: {error}")
    return work


def _answer(work, *arguments):
    """What a command reported about each table; it ended by itself, without a traceback."""
    ended = work.run(*arguments, "--json")
    assert "Traceback" not in ended.stderr + ended.stdout
    assert "unforeseen" not in ended.stderr + ended.stdout
    assert "defect of statekeeper" not in ended.stderr + ended.stdout
    return {
        table.get("table_name") or table["table"]["table_name"]: table for table in json.loads(ended.stdout)["tables"]
    }


def test_reading_commands_name_spoiled_documents(spoiled):
    status = _answer(spoiled, "status", "nightly.yml")
    assert {name for name, table in status.items() if table["state"] != "complete"} == {
        name for name in _TABLES if name.startswith("state_")
    }
    verified = _answer(spoiled, "verify", "nightly.yml")
    failed = {name for name, table in verified.items() if table["outcome"] == "failed"}
    # A link is refused wherever it lies, also where nothing is locked.
    assert failed == {*(name for name in _TABLES if not name.startswith("lock_")), "lock_link"}
    ended = spoiled.run("plan", "nightly.yml", "--json")
    assert "Traceback" not in ended.stderr + ended.stdout
    assert "unforeseen" not in ended.stderr + ended.stdout


def test_a_run_skips_tables_with_spoiled_documents_and_reset_repairs_them(spoiled):
    report = _answer(spoiled, "run", "nightly.yml")
    assert report["healthy"]["outcome"] == "skipped"
    for name in _TABLES:
        outcome, reason = report[name]["outcome"], report[name]["reason"]
        document, _, spoiler = name.partition("_")
        if outcome == "failed":
            assert f"{spoiled.run_id}{_DOCUMENTS[document]}" in reason, (name, reason)
        elif document == "lock":  # what a lock file says is only for people, and a torn one says nothing
            assert outcome == "skipped", (name, reason)
            assert spoiler not in {"pipe", "folder", "link", "device"}, name
        else:  # a commit record that is damaged is written anew with its table
            assert (document, outcome) == ("metadata", "completed"), (name, reason)
    failed = [name for name in _TABLES if report[name]["outcome"] == "failed"]
    assert {name for name in failed if name.startswith("state_")} == {n for n in _TABLES if n.startswith("state_")}
    states = [name for name in failed if name.startswith("state_")]
    reset = spoiled.run("reset", "nightly.yml", *(word for name in states for word in ("--table", name)))
    assert "Traceback" not in reset.stderr + reset.stdout
    again = _answer(spoiled, "run", "nightly.yml", *(word for name in states for word in ("--table", name)))
    assert {name: table["reason"] for name, table in again.items() if table["outcome"] != "completed"} == {}
    for name in states:
        evidence = list(spoiled.day(name).glob("*_state.json.damaged-*"))
        assert len(evidence) == 1, name
