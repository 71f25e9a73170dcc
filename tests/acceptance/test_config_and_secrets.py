"""All mistakes of a wrong config are reported, each with its place; a secret of a right config is found nowhere."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.messages import says

from .listener import listening
from .pipeline import QUICK_CONFIG, QUICK_ROWS, Workplace

_WRONG = """\
pipeline: nightly
sources:
  shop: {type: duckdb, pth: shop.duckdb}
output: {compression: zip}
execution: {workers: many}
defaults:
  retry: {initial_delay: 2 fortnights}
tables:
  - {table_name: large, source_name: shopp}
  - {schema_name: hr}
"""
_MISTAKES = (
    ("3:24", "sources.shop.pth"),
    ("4:23", "output.compression"),
    ("5:22", "execution.workers"),
    ("7:26", "defaults.retry.initial_delay"),
    ("9:38", "tables[0].source_name"),
    ("10:5", "tables[1].table_name"),
)


@pytest.mark.parametrize("command", ["run", "check", "plan"])
def test_six_mistakes_are_six_located_messages(tmp_path, command):
    (tmp_path / "nightly.yml").write_text(_WRONG)
    wrong = Workplace(tmp_path).run(command, "nightly.yml")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
    for place, path in _MISTAKES:
        assert any(f"nightly.yml:{place}: {path}" in line for line in wrong.stderr.splitlines()), (path, wrong.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["nightly.yml"]


_ON_ENTER = """\
states:
  on_enter:
    extracting: [{webhook: "${HOOK_URL}", timeout: 500ms}]
    failed: [{webhook: "${HOOK_URL}", timeout: 500ms}]
    complete: [{webhook: "${HOOK_URL}", timeout: 500ms}]
"""
_TRACES = ("s3cr3t", "t0k3n")


def _assert_no_secret(text, where):
    for trace in _TRACES:
        assert trace not in text, f"{where} has the secret: ...{text[max(0, text.find(trace) - 100) :][:200]}"


class _Watch:
    """Reads the arguments of every process of a command while it runs."""

    def __init__(self, process):
        self.seen: dict[int, str] = {}
        self._process = process
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self):
        while self._process.poll() is None:
            time.sleep(0.01)
            for each in psutil.pids():
                try:
                    if os.getpgid(each) == self._process.pid:
                        words = Path(f"/proc/{each}/cmdline").read_bytes().decode(errors="replace")
                        self.seen[each] = self.seen.get(each, "") + words
                except (ProcessLookupError, FileNotFoundError):
                    continue

    def join(self):
        self._thread.join()


_QUERY = "?token=s3cr3t-t0k3n%20and%20more"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    config = QUICK_CONFIG + "  - {table_name: missing}\n" + _ON_ENTER
    return Workplace.make(tmp_path_factory.mktemp("template") / "work", rows=QUICK_ROWS, config=config)


@pytest.mark.parametrize(
    ("answer", "after", "arguments", "debug"),
    [
        (200, 0.0, ("--log-format", "json"), "0"),
        (500, 0.0, ("--json",), "1"),
        (200, 2.0, ("--log-format", "json"), "1"),
    ],
    ids=["answered", "refused", "too-slow"],
)
def test_a_secret_is_found_nowhere(template, tmp_path, answer, after, arguments, debug):
    work = template.copy_to(tmp_path / "work")
    with listening(answer=answer, after_seconds=after) as listener:
        env = {"HOOK_URL": f"{listener.address}/hooks/s3cr3t-t0k3n{_QUERY}", "STATEKEEPER_DEBUG": debug}
        process = work.start("run", "nightly.yml", *arguments, env=env)
        watch = _Watch(process)
        output, errors = process.communicate(timeout=60)
        watch.join()
    assert process.returncode == 1, errors
    assert any("s3cr3t-t0k3n" in path for path, _ in listener.heard), "the secret was not even used"
    if answer != 200 or after:
        assert says(errors, "runtime.hook_failed", hook="webhook")
    _assert_no_secret(output, "standard output")
    _assert_no_secret(errors, "standard error")
    assert len(watch.seen) > 2
    for arguments_seen in watch.seen.values():
        _assert_no_secret(arguments_seen, "the process list")
    shown = work.run("status", "--json", env=env)
    _assert_no_secret(shown.stdout + shown.stderr, "the status")
    files = [path for path in work.folder.rglob("*") if path.is_file()]
    assert any("_state.json" in path.name for path in files)
    assert any(path.parent.name == "_runs" for path in files)
    for path in files:
        _assert_no_secret(path.read_bytes().decode(errors="replace"), path)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host/s3cr3t-t0k3n",  # no mistake in the file, but one in the value
        "http://[s3cr3t-t0k3n",
        "http://127.0.0.1:t0k3n/s3cr3t",  # passes as an address, and cannot be used
        "http://user:s3cr3t-t0k3n@127.0.0.1:1/",  # nobody listens there
    ],
)
def test_a_secret_that_cannot_be_used_is_not_shown_either(template, tmp_path, address):
    work = template.copy_to(tmp_path / "work")
    env = {"HOOK_URL": address, "STATEKEEPER_DEBUG": "1"}
    run = work.run("run", "nightly.yml", "--table", "small", env=env)
    assert run.returncode in {0, 2}
    assert "HOOK_URL" in run.stderr or "webhook on entering" in run.stderr
    _assert_no_secret(run.stdout + run.stderr, "the output")
    for path in (path for path in work.folder.rglob("*") if path.is_file()):
        _assert_no_secret(path.read_bytes().decode(errors="replace"), path)
