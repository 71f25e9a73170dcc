"""Hooks, timeouts and session budgets of the config, in runs of real processes."""

from __future__ import annotations

import json
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.messages import says

from .listener import listening
from .pipeline import CHUNKS, CONFIG, QUICK_CONFIG, QUICK_ROWS, Workplace, group_of, no_process_left, stopped_in_mid_run

_HOOKS = """\
states:
  on_enter:
    complete:
      - command: sh -c 'echo "$0|$1|$STATEKEEPER_STATE|$STATEKEEPER_OUTPUT_PATH" >> hooks.txt' {table} {records}
      - webhook: ${HOOK_URL}
    failed:
      - command: sh -c 'echo "$0|$1|$STATEKEEPER_STATE|$STATEKEEPER_FAILURE_KIND" >> hooks.txt' {table} {records}
      - webhook: ${HOOK_URL}
"""
_BAD_HOOKS = """\
states:
  on_enter:
    complete:
      - {command: sh -c 'echo the reason; exit 3'}
      - {command: sleep 60, timeout: 300ms}
      - {command: no-such-program-at-all}
    failed:
      - {command: sh -c 'exit 4'}
"""


def test_hooks_receive_the_outcome_of_each_table(tmp_path):
    config = QUICK_CONFIG + "  - {table_name: missing}\n" + _HOOKS
    work = Workplace.make(tmp_path / "work", rows=QUICK_ROWS, config=config)
    with listening() as listener:
        run = work.run("run", "nightly.yml", env={"HOOK_URL": f"{listener.address}/hook"})
    assert run.returncode == 1
    assert "WARN" not in run.stderr, run.stderr
    told = [line.split("|") for line in (work.folder / "hooks.txt").read_text().splitlines()]
    output = f"202601/06/{work.run_id}.parquet"
    assert sorted(told) == [
        ["shop.empty", "0", "complete", f"data/shop/empty/{output}"],
        ["shop.large", str(QUICK_ROWS), "complete", f"data/shop/large/{output}"],
        ["shop.missing", "", "failed", "source"],
        ["shop.small", "100", "complete", f"data/shop/small/{output}"],
    ]
    heard = {body["table"]: body for _, body in listener.heard}
    assert len(listener.heard) == len(heard) == 4
    assert {name: body["records"] for name, body in heard.items()} == {
        "shop.empty": 0,
        "shop.large": QUICK_ROWS,
        "shop.missing": None,
        "shop.small": 100,
    }
    failed = heard["shop.missing"]
    assert (failed["state"], failed["failure_kind"], failed["run_id"]) == ("failed", "source", work.run_id)
    assert failed["failure"] == work.tables()["missing"]["failure"]["message"]
    assert "shop.missing" in failed["text"]
    # A run that skips enters no state: nobody is told twice.
    with listening() as listener:
        again = work.run("run", "nightly.yml", "--table", "small", env={"HOOK_URL": f"{listener.address}/hook"})
    assert (again.returncode, listener.heard) == (0, [])


def test_a_failing_hook_changes_neither_state_nor_exit_code(tmp_path):
    config = QUICK_CONFIG + "  - {table_name: missing}\n" + _BAD_HOOKS
    work = Workplace.make(tmp_path / "work", rows=QUICK_ROWS, config=config)
    run = work.run("run", "nightly.yml", "--table", "small")
    assert run.returncode == 0, run.stderr
    for what in ("ended with 3; its output: the reason", "was killed after 0.3 seconds", "could not be started"):
        assert what in run.stderr
    assert work.state("small")["state"] == "complete"
    assert [entry["trigger"] for entry in work.state("small")["history"]] == ["start", "extracted", "passed"]
    failed = work.run("run", "nightly.yml", "--table", "missing")
    assert failed.returncode == 1
    assert says(failed.stderr, "runtime.command_ended_with", code=4)
    assert work.tables()["missing"]["failure"]["kind"] == "source"
    work.assert_equals_source("small")


def test_a_state_that_lasts_too_long_fails_and_the_next_run_uses_its_receipts(tmp_path):
    config = CONFIG.replace("target_rows: 100000", "target_rows: 20480")
    timeout = "states: {extracting: {timeout: 4s}}\n"
    work = Workplace.make(tmp_path / "work", rows=CHUNKS * 20_480, config=config + timeout)
    run = stopped_in_mid_run(work, "large")
    with no_process_left(run):
        workers = [each for each in group_of(run) if each.pid != run.pid]
        run.send_signal(signal.SIGCONT)  # its workers stay stopped: a source that does not answer
        time.sleep(4)
        for worker in workers:
            worker.resume()  # too late; and a clean end is quicker than to be killed
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 1, errors
    failure = work.tables()["large"]["failure"]
    assert failure["kind"] == "timeout"
    assert says(failure["message"], "run.state_took_too_long", state="extracting", limit="0:00:04")
    assert "states.extracting.timeout" in failure["hint"]
    done = {path.name: path.read_bytes() for path in work.receipts()}
    assert 2 <= len(done) < CHUNKS
    (work.folder / "queries.jsonl").unlink()

    work.configure(config)
    resumed = work.run("resume", "--table", "large")

    assert resumed.returncode == 0, resumed.stderr
    assert len(work.chunk_reads()) == CHUNKS - len(done)
    md5s = {file["md5"] for file in work.metadata()["files"]}
    assert {json.loads(content)["md5"] for content in done.values()} <= md5s
    work.assert_equals_source("large")
    work.assert_no_staging()


def test_the_session_budget_holds_over_all_workers(tmp_path):
    config = CONFIG.replace("path: shop.duckdb", "path: shop.duckdb, max_sessions: 1").replace(
        "workers: 2", "workers: 4"
    )
    work = Workplace.make(tmp_path / "work", rows=400_000, config=config.replace("rows: 100000", "rows: 20480"))
    run = work.start("run", "nightly.yml")
    most = seen = 0
    with no_process_left(run):
        while run.poll() is None:
            first = _with_database_open(run, work)
            # Twice, since a process may have closed it while the next was looked at.
            together = first & _with_database_open(run, work) if len(first) > 1 else first
            most, seen = max(most, len(together)), seen + bool(first)
        _, errors = run.communicate()
    assert run.returncode == 0, errors
    assert most == 1
    assert seen > 5
    work.assert_equals_source()


def _with_database_open(run, work):
    """The processes of a run that have the database file open."""
    database = work.folder / "shop.duckdb"
    found = set()
    for process in group_of(run):
        with suppress(FileNotFoundError, ProcessLookupError):
            for descriptor in list(Path(f"/proc/{process.pid}/fd").iterdir()):
                with suppress(FileNotFoundError):
                    if descriptor.samefile(database):
                        found.add(process.pid)
    return found
