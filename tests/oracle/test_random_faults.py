"""Runs with faults at random moments: each ends complete and true, or failed with the fault's own cause.

A seed draws how the table is cut, how many sessions read it, what goes wrong and when, and whether rows change
meanwhile; a moment is a job of the engine's, or a statement of the server's. Sessions are threads of this process, so
that a run takes a fraction of a second. Several sessions race, so a seed repeats what was drawn and not every step.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from statekeeper.engines.inline import InlineEngine
from statekeeper.engines.protocol import Job, Result
from statekeeper.engines.waiting import WaitKind
from statekeeper.errors import FailureKind
from statekeeper.run.report import Outcome, TableReport
from statekeeper.run.runner import Runner
from statekeeper.runtime.progress import NullReporter
from tests.oracle.pipelines import Lake, serving
from tests.oracle_server import OracleServer

RUNS = 200
BLOCK = 10
SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "600")) / 3
MEMORY = Path("/dev/shm")

START = datetime(2026, 1, 1)  # noqa: DTZ001 - a DATE has no zone
COLUMNS = [("ID", "NUMBER(9)"), ("NAME", "VARCHAR2(40)"), ("AMOUNT", "NUMBER(12,2)"), ("AT", "DATE")]
ROWS = [(number, f"name {number}", number / 4, START + timedelta(minutes=number)) for number in range(600)]
CHUNKINGS = (
    {"target_rows": 100},
    {"target_rows": 200},
    {"strategy": "key", "column": "id", "target_rows": 100},
    {"strategy": "key", "column": "id", "target_rows": 60},
)
ATTEMPTS = 8  # more than two temporary faults can use up together
FEW_ATTEMPTS = 2  # if a fault is permanent
CHUNK = r'AS "NAME".*ORDERS'
FULL_CHUNK = CHUNK + ".*:upper"  # the last of a plan may be empty, and then there is nothing to lie about
LAST_JOB = 12  # about as many jobs as a run has before its data is checked
ENDED = (28, 2392, 2396, 3113, 3135, 12152)
PASSING = (54, 60, 1033, 4021, 4031, 30036)
LASTING = {
    600: FailureKind.SOURCE,
    904: FailureKind.SOURCE,
    942: FailureKind.SOURCE,
    1031: FailureKind.SOURCE,
    1476: FailureKind.DATA,
    1722: FailureKind.DATA,
}
FULL = (18, 2391, 12516, 12520)
REFUSED = (1017, 1045, 28000, 28001)
SNAPSHOT_GONE = (1466, 1555, 8103, 8180)

Act = Callable[[], object]
Row = tuple[object, ...]
ANY = None


@dataclass(frozen=True)
class Trouble:
    """A fault: `acts` by the number of the job, and the causes of failure (kind and codes) that it explains."""

    name: str
    acts: tuple[tuple[int, Act], ...]
    causes: dict[FailureKind, frozenset[str | None] | None]
    must_fail: bool = False
    must_pass: bool = False
    attempts: int = ATTEMPTS
    is_lie: bool = False

    def explains(self, report: TableReport) -> bool:
        failure = report.failure
        if failure is None or failure.kind not in self.causes:
            return False
        codes = self.causes[failure.kind]
        return codes is ANY or failure.code in codes


def ora(*codes: int) -> frozenset[str | None]:
    return frozenset(f"ORA-{code:05}" for code in codes)


GONE = frozenset({"DPY-4011", "DPY-1001"})


@dataclass(frozen=True)
class Dice:
    """Draws faults for one server."""

    random: Random
    server: OracleServer
    may_restart: bool
    past: dict[int, list[Row]] = field(default_factory=dict)
    """The table at SCNs that were requested before the server lost them."""

    def trouble(self) -> Trouble:
        return self.random.choice(self.kinds)()

    @property
    def kinds(self) -> tuple[Callable[[], Trouble], ...]:
        return (
            self.dropped, self.delayed, self.killed, self.cut, self.session_ended, self.passing, self.lasting,
            self.never_ending, self.sessions_full, self.login_full, self.login_refused, self.lying,
            self.lying_anywhere, self.snapshot_expired, self.snapshot_lost, self.altered,
        )  # fmt: skip

    def at(self) -> int:
        return self.random.randrange(LAST_JOB)

    def statement(self) -> dict[str, object]:
        """A chunk's query, or whatever is asked."""
        if self.random.random() < 0.6:
            return {"match": CHUNK, "skip": self.random.randrange(6)}
        return {"match": "", "skip": self.random.randrange(50)}

    def fault(self, kind: str, **options: object) -> tuple[tuple[int, Act], ...]:
        return ((0, lambda: self.server.fault(kind, **options)),)

    def rows(self) -> int | None:
        return self.random.choice((None, 0, 1, 30, 59))

    def few_rows(self) -> int | None:
        """So many as every chunk but a plan's last has."""
        return self.random.choice((None, 0, 1, 30))

    def dropped(self) -> Trouble:
        acts = self.fault("drop", after_rows=self.rows(), times=self.random.randint(1, 3), **self.statement())
        return Trouble("dropped socket", acts, {FailureKind.TRANSIENT: GONE}, must_pass=True)

    def delayed(self) -> Trouble:
        acts = self.fault("delay", seconds=0.05, times=3, each_fetch=self.random.random() < 0.5, **self.statement())
        return Trouble("delay", acts, {}, must_pass=True)

    def killed(self) -> Trouble:
        code = self.random.choice((28, 2396, 3113, 3135))
        acts = tuple((self.at(), lambda: self.server.kill_sessions(code)) for _ in range(self.random.randint(1, 3)))
        return Trouble(f"killed by {code}", acts, {FailureKind.TRANSIENT: ora(code) | GONE}, must_pass=True)

    def cut(self) -> Trouble:
        acts = tuple((self.at(), lambda: self.server.kill_sessions(cut=True)) for _ in range(self.random.randint(1, 3)))
        return Trouble("cut sockets", acts, {FailureKind.TRANSIENT: GONE}, must_pass=True)

    def session_ended(self) -> Trouble:
        code, times = self.random.choice(ENDED), self.random.randint(1, 3)
        acts = self.fault("error", code=code, after_rows=self.rows(), times=times, **self.statement())
        return Trouble(f"session ended by {code}", acts, {FailureKind.TRANSIENT: ora(code) | GONE}, must_pass=True)

    def passing(self) -> Trouble:
        code, times = self.random.choice(PASSING), self.random.randint(1, 3)
        acts = self.fault("error", code=code, after_rows=self.rows(), times=times, **self.statement())
        return Trouble(f"passing {code}", acts, {FailureKind.TRANSIENT: ora(code)}, must_pass=True)

    def never_ending(self) -> Trouble:
        code = self.random.choice((*ENDED, *PASSING))
        acts = self.fault("error", code=code, after_rows=self.few_rows(), times=None, match=FULL_CHUNK)
        causes = {FailureKind.TRANSIENT: ora(code) | GONE}
        return Trouble(f"{code} for ever", acts, causes, must_fail=True, attempts=FEW_ATTEMPTS)

    def lasting(self) -> Trouble:
        code, skip = self.random.choice(tuple(LASTING)), self.random.randrange(4)
        acts = self.fault("error", code=code, after_rows=self.few_rows(), match=FULL_CHUNK, skip=skip)
        return Trouble(f"lasting {code}", acts, {LASTING[code]: ora(code)}, must_fail=True)

    def sessions_full(self) -> Trouble:
        code, limit, at = self.random.choice(FULL), self.random.randint(0, 2), self.at()
        acts = [
            (at, lambda: self.server.session_limit(limit, code)),
            (at, lambda: self.server.kill_sessions(cut=True)),
        ]
        if ends := self.random.random() < 0.7:
            acts.append((at + self.random.randint(1, 6), lambda: self.server.session_limit(None)))
        causes = {FailureKind.TRANSIENT: ora(code) | GONE}
        return Trouble(f"{limit} sessions or {code}", tuple(acts), causes, must_pass=ends)

    def login_full(self) -> Trouble:
        code, times, at = self.random.choice(FULL), self.random.randint(1, 3), self.at()
        acts = self._at_login(at, code=code, times=times)
        return Trouble(f"login answered {code}", acts, {FailureKind.TRANSIENT: ora(code) | GONE}, must_pass=True)

    def login_refused(self) -> Trouble:
        code, at = self.random.choice(REFUSED), self.at()
        acts = self._at_login(at, code=code, times=None)
        return Trouble(f"login refused by {code}", acts, {FailureKind.LOGIN_REFUSED: ora(code)}, must_fail=True)

    def _at_login(self, at: int, **options: object) -> tuple[tuple[int, Act], ...]:
        return (
            (at, lambda: self.server.fault("refuse_login", **options)),
            (at, lambda: self.server.kill_sessions(cut=True)),
        )

    def lying(self) -> Trouble:
        kind = self.random.choice(("omit_row", "repeat_row"))
        skip, row = self.random.randrange(4), self.random.randrange(20)
        acts = self.fault(kind, match=FULL_CHUNK, skip=skip, row=row)
        return Trouble(kind, acts, {FailureKind.DATA: ANY}, must_fail=True, is_lie=True)

    def lying_anywhere(self) -> Trouble:
        """A dictionary or a plan with a row missing or repeated: the run must not be complete and wrong."""
        kind = self.random.choice(("omit_row", "repeat_row"))
        acts = self.fault(kind, match="^SELECT", skip=self.random.randrange(60), row=self.random.randrange(3))
        return Trouble(f"{kind} anywhere", acts, dict.fromkeys(FailureKind, ANY), is_lie=True)

    def snapshot_expired(self) -> Trouble:
        at = self.at()
        acts = ((at, self.remember), (at, self.server.expire_snapshots))
        return Trouble("snapshots expired", acts, self._snapshot_lost(1555), must_pass=self.may_restart)

    def snapshot_lost(self) -> Trouble:
        code, skip = self.random.choice(SNAPSHOT_GONE), self.random.randrange(4)
        acts = self.fault("error", code=code, after_rows=self.few_rows(), match=FULL_CHUNK, skip=skip)
        causes, restarts = self._snapshot_lost(code), self.may_restart
        return Trouble(f"snapshot lost by {code}", acts, causes, must_pass=restarts, must_fail=not restarts)

    def altered(self) -> Trouble:
        moved = self.random.random() < 0.5
        at = self.at()
        acts = ((at, self.remember), (at, lambda: self.server.change_ddl("SALES", "ORDERS", moved=moved)))
        causes = {FailureKind.SNAPSHOT_LOST: ora(1466) | {None}}
        return Trouble("moved" if moved else "altered", acts, causes, must_pass=self.may_restart)

    def remember(self) -> None:
        for scn in {one["scn"] for one in self.server.log() if one["scn"]} - self.past.keys():
            self.past[scn] = self.server.rows("SALES", "ORDERS", scn=scn)

    def _snapshot_lost(self, code: int) -> dict[FailureKind, frozenset[str | None] | None]:
        return {FailureKind.SNAPSHOT_LOST: ora(code)}

    def changes(self) -> list[tuple[int, Act]]:
        """Rows that come, change and go during a run."""
        first = self.random.randrange(10_000, 900_000)
        low = self.random.randrange(550)
        new = [(first + number, "new", number, START) for number in range(5)]
        return [
            (self.at(), lambda: self.server.insert("SALES", "ORDERS", new)),
            (self.at(), lambda: self.server.sql(f"UPDATE SALES.ORDERS SET NAME = 'at {first}' WHERE ID >= {low}")),
            (self.at(), lambda: self.server.sql(f"DELETE FROM SALES.ORDERS WHERE ID BETWEEN {low} AND {low + 4}")),
        ]


@dataclass
class Threads:
    """An engine of threads with a session each; `acts` are called before the jobs with their numbers."""

    workers: int
    acts: list[tuple[int, Act]]
    jobs: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    free: asyncio.Queue[InlineEngine] = field(default_factory=asyncio.Queue)

    def __post_init__(self) -> None:
        for _ in range(self.workers):
            self.free.put_nowait(InlineEngine(memory_limit="64MiB"))

    async def run(self, job: Job[Result]) -> Result:
        engine = await self.free.get()
        work = asyncio.create_task(asyncio.to_thread(self._work, engine, job))
        try:
            return await asyncio.shield(work)
        finally:
            while not work.done():  # a thread goes on when its caller is cancelled, and has the session meanwhile
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([work])
            work.exception()  # nobody else retrieves it if the caller was cancelled
            self.free.put_nowait(engine)

    def expect_chunks(self) -> None:
        """Does nothing: threads start at once."""

    @property
    def in_flight(self) -> int:
        return self.workers

    def why_waiting(self, job: Job[Result]) -> tuple[WaitKind, str]:
        return WaitKind.SESSION, "one of the engine's sessions"

    def _work(self, engine: InlineEngine, job: Job[Result]) -> Result:
        with self.lock:
            for number, act in self.acts:
                if number == self.jobs:
                    act()
            self.jobs += 1
        return asyncio.run(engine.run(job))

    async def close(self) -> None:
        for _ in range(self.workers):
            await (await self.free.get()).close()

    def kill(self) -> None:
        """Does nothing: there is no other process."""


@pytest.fixture(scope="module")
def server():
    with serving("SALES") as server:
        make_table(server)
        yield server


def make_table(server: OracleServer) -> None:
    """A new server for every few runs, so that deleted rows are back."""
    server.create_table("SALES", "ORDERS", COLUMNS, ROWS, primary_key=["ID"])


@pytest.fixture
def folder(tmp_path):
    """A folder in memory if the system has one: the speed of a disk does not matter here."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(prefix="statekeeper-faults-", dir=MEMORY))
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("first", range(0, RUNS, BLOCK), ids=lambda first: f"seeds {first} to {first + BLOCK - 1}")
def test_a_run_with_faults_is_complete_and_true_or_failed_with_their_cause(server, folder, first, record_property):
    server.sql("DROP TABLE SALES.ORDERS")
    make_table(server)
    ends = Counter(one_run(seed, server, folder / str(seed)) for seed in range(first, first + BLOCK))
    record_property("random faults", dict(ends))
    assert sum(ends.values()) == BLOCK


@pytest.mark.soak
def test_more_and_more_runs_with_faults(server, folder):
    seed = int(os.environ.get("SOAK_SEED") or time.time()) * 1000
    until = time.monotonic() + SOAK_SECONDS
    ends: Counter[str] = Counter()
    while time.monotonic() < until:
        if seed % BLOCK == 0:
            server.sql("DROP TABLE SALES.ORDERS")
            make_table(server)
        ends[one_run(seed, server, folder / "run")] += 1
        shutil.rmtree(folder / "run")
        seed += 1
    print(f"\n{sum(ends.values())} runs with faults: {dict(ends)}")
    assert ends


def drawn(dice: Dice) -> list[Trouble]:
    """The faults of a run: mostly one, sometimes two, but never two wrong counts, which might cancel each other out."""
    troubles = [dice.trouble() for _ in range(dice.random.choice((1, 1, 2)))]
    return troubles[:1] if all(trouble.is_lie for trouble in troubles) else troubles


def test_the_seeds_draw_every_fault_of_the_server_and_each_alone(server):
    alone: set[str] = set()
    for seed in range(RUNS):
        random = Random(seed)
        troubles = drawn(Dice(random, server, random.random() < 0.8))
        alone |= {trouble.name.rstrip("0123456789") for trouble in troubles if len(troubles) == 1}
    every = {trouble().name.rstrip("0123456789") for trouble in Dice(Random(0), server, may_restart=True).kinds}
    every -= {"moved", "omit_row", "repeat_row", "omit_row anywhere", "repeat_row anywhere"}
    several = {"moved", "altered", "omit_row", "repeat_row", "omit_row anywhere", "repeat_row anywhere"}
    limits = {name for name in every | alone if " sessions or " in name or name.endswith(" for ever")}
    assert any(" sessions or " in name for name in alone)
    assert any(name.endswith(" for ever") for name in alone)
    assert (every - limits) | several <= alone


def one_run(seed: int, server: OracleServer, cwd: Path) -> str:
    """Run the faults of a seed, check the result, and return how the run ended."""
    random = Random(seed)
    may_restart = random.random() < 0.8
    dice = Dice(random, server, may_restart)
    troubles = drawn(dice)
    changes = dice.changes() if random.random() < 0.5 else []
    acts = [*changes, *(act for trouble in troubles for act in trouble.acts)]
    workers, chunking = random.randint(1, 3), random.choice(CHUNKINGS)
    story = f"seed {seed}: {' and '.join(trouble.name for trouble in troubles)}; {workers} sessions, {chunking}"
    story += f", {'restarts' if may_restart else 'fails'} without its snapshot{', rows change' if changes else ''}"
    print(story)

    cwd.mkdir()
    attempts = min(trouble.attempts for trouble in troubles)
    lake = configured(Lake(cwd, server), chunking, attempts=attempts, may_restart=may_restart)
    server.clear_log()
    fired = len(server.fired())
    report = run(lake, workers, acts)
    has_fired = len(server.fired()) > fired
    refused = [logon for logon in server.logons() if logon["error"] in REFUSED]
    server.clear_faults()
    server.session_limit(None)

    story += f"\nended {report.outcome}: {report.failure or report.reason}"
    if report.outcome is Outcome.COMPLETED:
        assert not (has_fired and len(troubles) == 1 and troubles[0].must_fail), story
        assert_true(lake, dice.past, story)
        return "complete"
    assert report.outcome is Outcome.FAILED, story
    assert len(refused) <= workers, f"{story}\nand {len(refused)} logins were refused: accounts lock"
    assert not lake.output("ORDERS").exists(), story
    assert any(trouble.explains(report) for trouble in troubles), story
    assert not all(trouble.must_pass for trouble in troubles), story
    again = run(lake, workers, [])
    if any(trouble.explains(again) for trouble in troubles):
        again = run(lake, workers, [])  # a lie told, or a snapshot lost, before the first failure is felt after it
    assert again.outcome is Outcome.COMPLETED, f"{story}\nand without faults: {again.failure}"
    assert_true(lake, dice.past, story)
    return "failed, then complete"


def configured(lake: Lake, chunking: dict[str, object], *, attempts: int, may_restart: bool) -> Lake:
    entry = {
        "schema_name": "SALES",
        "table_name": "ORDERS",
        "chunking": chunking,
        "on_snapshot_lost": "restart" if may_restart else "fail",
    }
    retry = {"attempts": attempts, "initial_delay": "5ms", "max_delay": "20ms"}
    lake.configure(entry, defaults={"retry": retry})
    return lake


def run(lake: Lake, workers: int, acts: list[tuple[int, Act]]) -> TableReport:
    extractor = lake.extractor
    runner = Runner(
        pipeline=extractor.pipeline,
        identity=extractor.identity,
        reporter=NullReporter(),
        make_engine=lambda _pipeline: Threads(workers, acts),
    )
    (table,) = runner.run(extractor.pipeline.tables).tables
    return table


def assert_true(lake: Lake, past: dict[int, list[Row]], story: str) -> None:
    """What is published is the table as of the SCN that its metadata names."""
    scn = int(lake.metadata("ORDERS")["snapshot"]["token"])
    published = lake.published("ORDERS")
    rows = zip(*(column.to_pylist() for column in published.select([name for name, _ in COLUMNS]).columns), strict=True)
    difference = Counter(rows)
    difference.subtract(Counter(past[scn] if scn in past else lake.server.rows("SALES", "ORDERS", scn=scn)))
    wrong = {row: count for row, count in difference.items() if count}
    assert not wrong, f"{story}\nwrong rows at SCN {scn}: {dict(list(wrong.items())[:5])}"
