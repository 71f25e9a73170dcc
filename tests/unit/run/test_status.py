import os
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from statekeeper.config.identity import ConfigIdentity
from statekeeper.errors import FailureKind, StateDamaged, UsageError
from statekeeper.model.manifest import FoundBy, RunManifest, RunProcess, RunStatus, TableFailure, TableStatus
from statekeeper.model.state import Failure, Owner, State
from statekeeper.run.find_run import find_run
from statekeeper.run.status import read_status
from statekeeper.store import layout
from statekeeper.store.process import Liveness, this_process
from tests.messages import Message, message, raises_message, text_of
from tests.unit.run.run_on_disk import DAY, NOON, OWNER, PLAN_ID, RunOnDisk


@pytest.fixture
def run(tmp_path: Path) -> RunOnDisk:
    return RunOnDisk(tmp_path)


def _status(run: RunOnDisk, *, alive: bool = False) -> RunStatus:
    answer = Liveness.ALIVE if alive else Liveness.DEAD
    return read_status(run.base_path, run.run_id, liveness_of=lambda _: answer)


def _only(status: RunStatus) -> TableStatus:
    (table,) = status.tables
    return table


def test_table_without_a_state_file_is_pending(run: RunOnDisk) -> None:
    run.write_manifest("A", "B")
    status = _status(run)
    assert status.state == "pending"
    assert [table.state for table in status.tables] == ["pending", "pending"]
    assert status.tables[0].chunks.total == 0


def test_complete_table_shows_what_was_published(run: RunOnDisk) -> None:
    run.write_manifest("A")
    run.write_state("A", State.COMPLETE)
    status = _status(run, alive=True)
    assert status.state == "complete"
    table = _only(status)
    assert (table.records, table.bytes, table.attempts, table.duration_seconds) == (107, 4096, 2, 90.0)
    assert (table.chunks.done, table.chunks.total) == (12, 12)
    assert table.output_path == "data/shop/A/202601/06/demo-20260106.parquet"
    assert table.failure is None


def test_done_chunks_are_counted_by_the_receipts_of_the_current_plan(run: RunOnDisk) -> None:
    run.write_manifest("A")
    run.write_state("A", State.EXTRACTING)
    receipts = run.files("A").staging(PLAN_ID).receipts
    receipts.mkdir(parents=True)
    for name in ("chunk-00000.json", "chunk-00011.json", "count.json", ".chunk-00001.json.tmp", "chunk-00002.json.x"):
        (receipts / name).touch()
    (receipts / "01").mkdir()
    (receipts / "01" / "chunk-00007.a1.json").touch()
    (receipts / "01" / "chunk-00007.b2.json").touch()
    garbage = run.files("A").staging("f" * 32).receipts
    garbage.mkdir(parents=True)
    (garbage / "chunk-00005.json").touch()
    table = _only(_status(run))
    assert (table.chunks.done, table.chunks.total) == (3, 12)
    assert table.duration_seconds is None


def test_extracting_table_whose_staging_is_gone_has_no_chunks_done(run: RunOnDisk) -> None:
    run.write_manifest("A")
    run.write_state("A", State.EXTRACTING)
    assert _only(_status(run)).chunks.done == 0


def test_failed_table_shows_its_failure(run: RunOnDisk) -> None:
    run.write_manifest("A", "B")
    run.write_state("A", State.FAILED)
    run.write_state("B", State.COMPLETE)
    status = _status(run)
    assert status.state == "failed"
    failure = status.tables[0].failure
    assert failure is not None
    assert (failure.kind, failure.code, failure.message, failure.hint) == (
        "source",
        "ORA-00942",
        "no such table",
        "make it",
    )


@pytest.mark.parametrize("content", [b"", b'{"format": "statekeeper.state"', b"{}", b"[1]"])
def test_damaged_state_file_is_shown_and_kept(run: RunOnDisk, content: bytes) -> None:
    run.write_manifest("A", "B")
    run.write_state("B", State.COMPLETE)
    run.files("A").folder.mkdir(parents=True)
    run.files("A").state.write_bytes(content)
    status = _status(run)
    assert status.state == "failed"
    table = status.tables[0]
    assert table.state == "damaged"
    assert table.failure is not None
    assert table.failure.kind == "state_damaged"
    assert str(run.files("A").state) in table.failure.message
    assert run.files("A").state.read_bytes() == content


def test_state_file_of_another_table_is_damage(run: RunOnDisk) -> None:
    run.write_manifest("A")
    run.files("A").folder.mkdir(parents=True)
    run.files("A").state.write_bytes(run.record("B", State.COMPLETE).to_bytes())
    table = _only(_status(run))
    assert table.state == "damaged"
    assert table.failure is not None
    assert "shop.HR.B" in table.failure.message


def test_unreadable_state_file_is_shown(run: RunOnDisk) -> None:
    run.write_manifest("A")
    run.files("A").state.mkdir(parents=True)
    table = _only(_status(run))
    assert table.state == "damaged"
    assert table.failure is not None
    assert table.failure.kind == "state_damaged"


@pytest.mark.parametrize(
    ("states", "ended", "expected"),
    [
        ((State.EXTRACTING, State.COMPLETE), False, "running"),
        ((State.PENDING, State.FAILED), False, "running"),
        # A notebook's process lives on after its run has ended: what it left undone is not being worked on ...
        ((State.COMPLETE, None), True, "incomplete"),
        ((State.FAILED, State.COMPLETE), True, "failed"),
        # ... while before its end, tables that were not begun are still to come.
        ((State.COMPLETE, None), False, "running"),
        ((State.COMPLETE, State.COMPLETE), False, "complete"),
    ],
)
def test_run_with_a_living_owner(run: RunOnDisk, states: tuple[State | None, ...], ended: bool, expected: str) -> None:
    _write(run, states, ended=ended)
    assert _status(run, alive=True).state == expected


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((State.EXTRACTING, State.COMPLETE), "incomplete"),
        ((State.EXTRACTING, State.FAILED), "failed"),
        ((State.COMPLETE, None), "incomplete"),
        ((None, None), "pending"),
    ],
)
def test_run_whose_owner_is_dead(run: RunOnDisk, states: tuple[State | None, ...], expected: str) -> None:
    _write(run, states)
    assert _status(run).state == expected


def _write(run: RunOnDisk, states: tuple[State | None, ...], *, ended: bool = False) -> None:
    names = [f"T{index}" for index in range(len(states))]
    run.write_manifest(*names, ended=ended)
    for name, state in zip(names, states, strict=True):
        if state is not None:
            run.write_state(name, state)


@pytest.mark.parametrize(
    ("chosen", "alive", "expected"),
    [
        (["DONE"], False, 0),
        (["DONE"], True, 0),
        (["DONE", "BEGUN"], True, 3),
        # It failed in a run before this one, perhaps, which has not come to it yet.
        (["BROKEN"], True, 3),
        (["BROKEN"], False, 1),
        (["BEGUN"], False, 1),
        (["NEW"], False, 1),
        (["UNREACHED", "DONE"], False, 4),
        (["DONE", "BEGUN", "BROKEN", "NEW", "UNREACHED"], False, 4),
    ],
)
def test_exit_code_covers_only_the_selected_tables(
    run: RunOnDisk, chosen: list[str], alive: bool, expected: int
) -> None:
    run.write_manifest("DONE", "BEGUN", "BROKEN", "NEW", "UNREACHED")
    run.write_state("DONE", State.COMPLETE)
    run.write_state("BEGUN", State.EXTRACTING)
    run.write_state("BROKEN", State.FAILED)
    _write_failure(run, "UNREACHED", FailureKind.LOGIN_REFUSED)
    status = _status(run, alive=alive)
    assert status.only(tuple(table for table in status.tables if table.table_name in chosen)).exit_code == expected


def test_own_process_is_alive_and_one_on_another_machine_is_unknown(run: RunOnDisk) -> None:
    run.write_manifest("A")
    run.write_state("A", State.EXTRACTING, owner=this_process())
    assert read_status(run.base_path, run.run_id).state == "running"
    run.write_state("A", State.EXTRACTING, owner=OWNER)
    assert read_status(run.base_path, run.run_id).state == "incomplete"


def test_each_owner_is_looked_up_once(run: RunOnDisk) -> None:
    names = [f"T{index}" for index in range(20)]
    run.write_manifest(*names)
    for name in names:
        run.write_state(name, State.EXTRACTING)
    asked: list[Owner] = []

    def dead(owner: Owner) -> Liveness:
        asked.append(owner)
        return Liveness.DEAD

    read_status(run.base_path, run.run_id, liveness_of=dead)
    assert asked == [OWNER]


def test_reading_the_status_changes_nothing(run: RunOnDisk) -> None:
    run.write_manifest("A", "B")
    run.write_state("A", State.EXTRACTING)
    before = {path: path.stat().st_mtime_ns for path in run.cwd.rglob("*")}
    _status(run)
    assert {path: path.stat().st_mtime_ns for path in run.cwd.rglob("*")} == before


def test_damaged_manifest_is_an_error(run: RunOnDisk) -> None:
    run.write_manifest("A")
    layout.manifest_file(run.base_path, run.run_id).write_text("{")
    with pytest.raises(StateDamaged):
        _status(run)


def _identity(path: Path) -> ConfigIdentity:
    return ConfigIdentity.of(path, environ={})


def test_last_run_of_the_directory_is_found(run: RunOnDisk) -> None:
    run.write_manifest("A")
    found = find_run(run.cwd, config=None, base_path=None, run_id=None)
    assert (found.base_path, found.run_id) == (run.base_path, run.run_id)


def test_another_run_under_the_same_base_path_is_found_by_its_id(run: RunOnDisk) -> None:
    RunOnDisk(run.cwd, run_id="demo-20260105").write_manifest("A")
    run.write_manifest("A")
    found = find_run(run.cwd, config=None, base_path=None, run_id="demo-20260105")
    assert found.run_id == "demo-20260105"


def test_newest_run_of_a_config_is_found(run: RunOnDisk) -> None:
    config = run.cwd / "demo.yml"
    for age, (run_id, path) in enumerate([("new-other", "/other.yml"), ("new", str(config)), ("old", str(config))]):
        RunOnDisk(run.cwd, run_id=run_id).write_manifest("A", config_path=path)
        manifest = layout.manifest_file(run.base_path, run_id)
        os.utime(manifest, (1_000_000 - age, 1_000_000 - age))
    assert find_run(run.cwd, config=_identity(config), base_path=run.base_path, run_id=None).run_id == "new"


@pytest.mark.parametrize("started_by", ["real path", "link", "dots"])
@pytest.mark.parametrize("asked_by", ["real path", "link", "dots", "relative"])
def test_run_of_a_config_is_found_by_any_path_to_the_config(
    run: RunOnDisk, monkeypatch: pytest.MonkeyPatch, started_by: str, asked_by: str
) -> None:
    folder = run.cwd / "configs"
    folder.mkdir()
    (folder / "demo.yml").touch()
    (run.cwd / "link.yml").symlink_to(folder / "demo.yml")
    monkeypatch.chdir(folder)
    paths = {
        "real path": folder / "demo.yml",
        "link": run.cwd / "link.yml",
        "dots": folder / ".." / "configs" / "demo.yml",
        "relative": Path("demo.yml"),
    }
    run.write_manifest("A", config_path=str(paths[started_by]))
    found = find_run(run.cwd, config=_identity(paths[asked_by]), base_path=run.base_path)
    assert found.run_id == run.run_id


def test_of_runs_written_in_the_same_second_the_later_date_is_the_newest(run: RunOnDisk) -> None:
    config = run.cwd / "demo.yml"
    for day in ("20260107", "20260108", "20260106"):
        RunOnDisk(run.cwd, run_id=f"demo-{day}").write_manifest("A", config_path=str(config))
        os.utime(layout.manifest_file(run.base_path, f"demo-{day}"), (1_000_000, 1_000_000))
    assert find_run(run.cwd, config=_identity(config), base_path=run.base_path).run_id == "demo-20260108"


def test_run_of_a_date_is_the_one_with_the_default_id_else_the_newest(run: RunOnDisk) -> None:
    config = run.cwd / "demo.yml"
    run_ids = ["again", "demo-20260106"]
    for age, run_id in enumerate(run_ids):
        RunOnDisk(run.cwd, run_id=run_id).write_manifest("A", config_path=str(config))
        os.utime(layout.manifest_file(run.base_path, run_id), (1_000_000 - age, 1_000_000 - age))

    def found(day: date | None) -> str:
        return find_run(run.cwd, config=_identity(config), base_path=run.base_path, day=day).run_id

    assert (found(None), found(DAY)) == ("again", "demo-20260106")
    layout.manifest_file(run.base_path, "demo-20260106").unlink()
    assert found(DAY) == "again"
    with raises_message(UsageError, "run.no_run_of_the_config", wanted="run of 2026-01-07") as caught:
        found(date(2026, 1, 7))
    assert f"`statekeeper run {config} --date 2026-01-07`" in (caught.value.hint or "")


def test_run_of_a_date_without_a_config_belongs_to_the_config_of_the_last_run(run: RunOnDisk) -> None:
    RunOnDisk(run.cwd, run_id="other").write_manifest("A", config_path="/other.yml")
    run.write_manifest("A", config_path="/demo.yml")
    assert find_run(run.cwd, config=None, base_path=None, day=DAY).run_id == run.run_id
    run.write_manifest("A")  # in Python
    RunOnDisk(run.cwd, run_id="extract").write_manifest("A")
    assert find_run(run.cwd, config=None, base_path=None, day=DAY).run_id == "demo-20260106"


@pytest.mark.parametrize(
    ("config", "run_id", "told", "hint"),
    [
        (None, "demo-20260199", message("run.no_such_run", run="demo-20260199"), "demo-20260106"),
        ("x.yml", None, message("run.no_run_of_the_config", config="...x.yml", wanted="run"), "statekeeper run"),
    ],
)
def test_unknown_run_is_a_usage_error_that_names_others(
    run: RunOnDisk, config: str | None, run_id: str | None, told: Message, hint: str
) -> None:
    run.write_manifest("A")
    config_path = run.cwd / config if config else None
    with raises_message(UsageError, told) as caught:
        find_run(
            run.cwd,
            config=_identity(config_path) if config_path else None,
            base_path=run.base_path if config else None,
            run_id=run_id,
        )
    assert hint in (caught.value.hint or "")


def test_directory_without_a_run_is_a_usage_error(tmp_path: Path) -> None:
    with raises_message(UsageError, "run.no_run_is_known_here") as caught:
        find_run(tmp_path, config=None, base_path=None, run_id=None)
    assert caught.value.hint == text_of(
        "run.name_its_config", how="`statekeeper init --help` says how to write one from a database"
    )


def test_unreadable_pointer_is_a_usage_error(run: RunOnDisk) -> None:
    run.write_manifest("A")
    (run.cwd / layout.LAST_RUN).write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        find_run(run.cwd, config=None, base_path=None, run_id=None)


_PROGRAM = """
import sys, time
began = time.process_time()
from statekeeper.cli.app import run_command
code = run_command(["status", *sys.argv[1:]])
loaded = {"pyarrow", "duckdb", "pyspark", "oracledb"} & set(sys.modules)
print(f"{time.process_time():.3f}", ",".join(sorted(loaded)) or "-", file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_status_of_a_thousand_tables_is_quick_and_loads_no_driver(run: RunOnDisk, options: list[str]) -> None:
    names = [f"T{index:04}" for index in range(1000)]
    run.write_manifest(*names, ended=True)
    for name in names:
        run.write_state(name, State.COMPLETE)
    command = [sys.executable, "-c", _PROGRAM, *options]
    began = time.monotonic()
    done = subprocess.run(command, cwd=run.cwd, capture_output=True, text=True, check=True)
    wall = time.monotonic() - began
    seconds, loaded = done.stderr.split()
    print(f"status of 1,000 tables: {seconds} s of process time, {wall:.2f} s of wall time")
    assert loaded == "-"
    assert done.stdout.count("T0999") >= 1
    assert float(seconds) < 2.0  # about 0.6; twice as much is still said to be quick on a busy machine


def _write_failure(run: RunOnDisk, name: str, kind: FailureKind) -> None:
    run.write_state(name, State.FAILED)
    record = run.record(name, State.FAILED)
    assert record.failure is not None
    failure = record.failure.model_copy(update={"kind": kind})
    run.files(name).state.write_bytes(record.model_copy(update={"failure": failure}).to_bytes())


def _failed(run: RunOnDisk, name: str, found_by: FoundBy, *, plan_id: str | None = None) -> None:
    """What the manifest has of a table whose own state says nothing of it."""
    failure = Failure(kind=FailureKind.CONFIG, message="the model is broken", failed_in=State.COMPLETE)
    found = TableFailure(table=run.table(name), found_by=found_by, at=NOON, failure=failure, plan_id=plan_id)
    path = layout.manifest_file(run.base_path, run.run_id)
    manifest = RunManifest.from_bytes(path.read_bytes(), where="manifest").with_failure(found)
    path.write_bytes(manifest.to_bytes())


@pytest.mark.parametrize("state", [State.COMPLETE, State.EXTRACTING, State.FAILED, None])
def test_failure_that_a_run_could_not_write_into_the_state_is_shown(run: RunOnDisk, state: State | None) -> None:
    run.write_manifest("A", ended=True)
    if state is not None:
        run.write_state("A", state)
    _failed(run, "A", FoundBy.RUN)
    status = _status(run)
    table = _only(status)
    assert (status.state, table.state, table.failure and table.failure.message) == (
        "failed", "failed", "the model is broken",
    )  # fmt: skip
    assert status.exit_code == 1


def test_an_earlier_failure_is_not_shown_while_the_table_is_at_work_again(run: RunOnDisk) -> None:
    run.write_manifest("A")
    run.write_state("A", State.EXTRACTING)
    _failed(run, "A", FoundBy.RUN)
    assert (_only(_status(run, alive=True)).state, _status(run, alive=True).state) == ("extracting", "running")


@pytest.mark.parametrize(
    ("plan_id", "state", "shown"),
    [(PLAN_ID, State.COMPLETE, "failed"), ("f" * 32, State.COMPLETE, "complete"), (PLAN_ID, State.FAILED, "failed")],
)
def test_findings_of_verify_are_shown_only_for_the_data_it_checked(
    run: RunOnDisk, plan_id: str, state: State, shown: str
) -> None:
    run.write_manifest("A", ended=True)
    run.write_state("A", state)
    _failed(run, "A", FoundBy.VERIFY, plan_id=plan_id)
    table = _only(_status(run))
    assert table.state == shown
    assert (table.failure is not None and table.failure.message == "the model is broken") is (
        plan_id == PLAN_ID and state is State.COMPLETE
    )


def test_process_without_a_started_table_makes_the_run_running_and_is_named(run: RunOnDisk) -> None:
    run.write_manifest("A")
    path = layout.manifest_file(run.base_path, run.run_id)
    manifest = RunManifest.from_bytes(path.read_bytes(), where="manifest")
    process = RunProcess(owner=OWNER, since=NOON)
    path.write_bytes(manifest.model_copy(update={"processes": (process,)}).to_bytes())
    status = _status(run, alive=True)
    assert (status.state, status.exit_code) == ("running", 3)
    assert [(each.host, each.pid, each.since, each.liveness) for each in status.processes] == [
        ("elsewhere", 4711, NOON, "alive")
    ]
    status = _status(run)
    assert (status.state, status.processes[0].liveness) == ("pending", "dead")
    run.write_state("A", State.COMPLETE)
    assert (_status(run).state, _status(run).processes) == ("complete", ())


_KINDS = {
    "invalid": FailureKind.VALIDATION,
    "lost": FailureKind.SNAPSHOT_LOST,
    "lost of the run": FailureKind.SNAPSHOT_LOST,
}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([State.COMPLETE], ["verify demo.yml --date 2026-01-06"]),
        ([State.COMPLETE, State.EXTRACTING], ["resume demo.yml --date 2026-01-06"]),
        ([State.COMPLETE, State.FAILED], ["resume demo.yml --date 2026-01-06"]),
        (["torn"], ["reset demo.yml --date 2026-01-06 --table shop.HR.A", "resume demo.yml --date 2026-01-06"]),
        (["invalid"], ["run demo.yml --date 2026-01-06 --table shop.HR.A --force-reprocess"]),
        (
            ["invalid", State.FAILED],
            [
                "resume demo.yml --date 2026-01-06",
                "run demo.yml --date 2026-01-06 --table shop.HR.A --force-reprocess",
            ],
        ),
        (["lost"], ["run demo.yml --date 2026-01-06 --table shop.HR.A --force-reprocess"]),
        (["lost of the run"], ["run demo.yml --date 2026-01-06 --force-reprocess"]),
        (["invalid"] * 4, ["reset demo.yml --date 2026-01-06 --failed", "resume demo.yml --date 2026-01-06"]),
    ],
)
def test_next_steps_follow_from_the_states_of_the_tables(
    run: RunOnDisk, states: list[State | str], expected: list[str]
) -> None:
    names = "ABCD"[: len(states)]
    run.write_manifest(*names, ended=True, config_path=str(run.cwd / "demo.yml"))
    for name, state in zip(names, states, strict=True):
        run.write_state(name, state if isinstance(state, State) else State.FAILED)
        if state == "torn":
            run.files(name).state.write_bytes(b"{")
        if state == "lost of the run":
            layout.run_snapshots_folder(run.base_path, run.run_id, "shop").mkdir(parents=True)
        if kind := _KINDS.get(state):
            _write_failure(run, name, kind)
    status = read_status(run.base_path, run.run_id, working_folder=run.cwd, liveness_of=lambda _: Liveness.DEAD)
    assert [step.command for step in status.next_steps] == [f"statekeeper {each}" for each in expected]


def test_run_id_with_another_date_is_a_usage_error(run: RunOnDisk) -> None:
    run.write_manifest("A")
    with raises_message(UsageError, "run.run_is_of_another_date", date="2026-01-06", asked="2026-01-07"):
        find_run(run.cwd, config=None, base_path=None, day=date(2026, 1, 7), run_id=run.run_id)
