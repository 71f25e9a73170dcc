"""Trials: a copy of the repository, in which a module is changed and tests are run, again and again.

A developer's own files are never changed, so an interruption leaves nothing mutated. A trial is a fork of this process,
which has imported what takes long; it ends when its time or its memory is over.
"""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from tests.mutants.survivors import REPOSITORY

WORK = REPOSITORY / "build" / "mutants"
_MEMORY = 8 << 30
_LEAST_SHARE = 0.02
_SLOW_TO_IMPORT = (
    *("duckdb", "hypothesis.strategies", "pyarrow.compute", "pyarrow.parquet", "pydantic", "pytest", "rich.table"),
    *("transitions", "yaml", "asyncio"),
)
_OWN = ("statekeeper", "data_extractor", "tests")


class Outcome(StrEnum):
    """How a trial ended."""

    KILLED = "killed"
    TOO_SLOW = "too slow"
    """It was ended, since it took much longer than the tests take: killed, too."""
    SURVIVED = "survived"


@dataclass(frozen=True)
class Limits:
    """What a trial may take at most, in seconds: of a processor, and by the clock.

    The clock ends only those that wait: on a busy machine a trial that computes gets little of a processor.
    """

    processor: float
    clock: float


def prepare() -> None:
    """Import what the tests take long to import, and nothing of ours: each trial imports its own copy of that."""
    for name in _SLOW_TO_IMPORT:
        importlib.import_module(name)
    import hypothesis

    every = list(hypothesis.HealthCheck)
    hypothesis.settings.register_profile(
        "mutants", deadline=None, derandomize=True, database=None, suppress_health_check=every
    )


class Tree:
    """A copy of the repository; `number` tells several apart."""

    def __init__(self, number: int) -> None:
        self.folder = WORK / f"tree-{number}"
        self._log = WORK / f"trial-{number}.log"
        self._synchronise()

    @property
    def said(self) -> str:
        """What the last trial has written."""
        return self._log.read_text(errors="replace")

    def _synchronise(self) -> None:
        """Make the copy equal; files keep their times, so that compiled ones stay valid."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.check_output(command, cwd=REPOSITORY, text=True).rstrip("\0").split("\0")
        wanted = {name for name in listed if (REPOSITORY / name).is_file()}
        for path in [path for path in self.folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]:
            if path.relative_to(self.folder).as_posix() not in wanted:
                path.unlink()
        for name in wanted:
            self._copy(name)

    def _copy(self, name: str) -> None:
        source, dest = REPOSITORY / name, self.folder / name
        if not dest.exists() or _stamp(dest) != _stamp(source):
            dest.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, dest)

    def run_tests(self, tests: tuple[str, ...], limits: Limits, *, module: str = "", text: str = "") -> Trial:
        """Begin a run of the tests, with another text of one module if there is one."""
        if module:
            path = self.folder / module
            path.write_text(text)
            os.utime(path, (1, 1))  # no compiled file is of this time
        child = os.fork()
        if child == 0:
            self._be_the_trial(tests, limits, is_compiling=not module)
        return Trial(self, child, module, time.monotonic(), limits.clock)

    def restore(self, module: str) -> None:
        """Make a module what it is in the repository."""
        self._copy(module)

    def _be_the_trial(self, tests: tuple[str, ...], limits: Limits, *, is_compiling: bool) -> None:
        """Run the tests, in a fork, and end it."""
        code = 70
        try:
            os.setsid()
            _enter(self.folder, self._log, limits)
            if not is_compiling:
                sys.dont_write_bytecode = True
                os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            import pytest

            # Without conftest.py, which starts processes for tests that need workers: these need none.
            options = ["-q", "-x", "--noconftest", "-pno:cacheprovider", "--hypothesis-profile=mutants"]
            options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of plugins that are imported by now
            code = pytest.main([*options, *tests])
            sys.stdout.flush()
        except BaseException:  # noqa: BLE001 - nothing of a trial may go on as if it were this process
            traceback.print_exc()
        finally:
            os._exit(code)


@dataclass(frozen=True)
class Trial:
    """A run of tests that has begun."""

    tree: Tree
    process: int
    module: str
    began: float
    clock: float

    def outcome(self) -> Outcome | None:
        """How it ended; None while it goes on."""
        ended, status = os.waitpid(self.process, os.WNOHANG)
        is_late = not ended and self._only_waits()
        if not ended and not is_late:
            return None
        self.end()
        if self.module:
            self.tree.restore(self.module)
        if is_late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
            return Outcome.TOO_SLOW
        return Outcome.SURVIVED if status == 0 else Outcome.KILLED

    def _only_waits(self) -> bool:
        """Whether its time by the clock is over, and it has used next to nothing of a processor."""
        seconds = time.monotonic() - self.began
        if seconds < self.clock:
            return False
        spent = 0.0
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(self.process).cpu_times()
            spent = times.user + times.system + times.children_user + times.children_system
        return spent < seconds * _LEAST_SHARE

    def end(self) -> None:
        """End what is left of it, with every process that it has begun."""
        with suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.process, 0)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _enter(folder: Path, log: Path, limits: Limits) -> None:
    """Make a copy the place where this process reads and imports from."""
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(written, 1)
    os.dup2(written, 2)
    for name in [name for name in sys.modules if name.partition(".")[0] in _OWN]:
        del sys.modules[name]
    sys.path[:] = [str(folder), *(place for place in sys.path if place not in {"", str(REPOSITORY)})]
    os.environ["PYTHONPATH"] = str(folder)
    seconds = int(limits.processor) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
