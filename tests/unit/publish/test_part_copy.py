"""Copies of a publication: what a worker does with one, and how many of them share an engine with other work."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import signal
import threading
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from statekeeper.engines.choice import LOCAL
from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.engines.inline import InlineEngine
from statekeeper.engines.protocol import EngineSetup, Job, Urgency
from statekeeper.engines.queue import JobQueue
from statekeeper.errors import Interrupted, LockLost, StorageError, WorkerDied
from statekeeper.model.state import State
from statekeeper.publish.part_copy import CopiesSpec, CopySpec, FileProof, copy_part, copy_parts, grouped
from statekeeper.run.report import Outcome
from statekeeper.store.files.disk import Access, WholeFileDisk
from statekeeper.store.files.durable import NO_FENCE
from tests.messages import raises_message
from tests.unit.run.test_blocking import Pulse
from tests.unit.small_shop import Heard, Shop

CONTENT = bytes(range(256)) * 20_000
PROOF = FileProof(len(CONTENT), hashlib.md5(CONTENT).hexdigest())
PARTS = 90


def _context(is_stopping=lambda: False):
    return ProcessContext(Sessions("100MB"), memory_limit="100MB", is_stopping=is_stopping, report=lambda _rows: None)


class Counted(WholeFileDisk):
    """Remembers what was made, or opened for writing."""

    def __init__(self):
        self.written = []

    def create(self, path, **options):
        file = super().create(path, **options)
        self.written.append(path.name)
        return file

    def write_over(self, path, content, **options):
        self.written.append(path.name)
        super().write_over(path, content, **options)


class Taken:
    """The fence of an owner whose lock another has taken over."""

    epoch = 1

    def check(self):
        raise LockLost("taken over")


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "staged").write_bytes(CONTENT)
    (tmp_path / "dataset").mkdir()

    def spec(disk=None, fence=NO_FENCE):
        return CopySpec(
            source=tmp_path / "staged",
            dest=tmp_path / "dataset" / "part",
            expected=PROOF,
            rows=1,
            role="publish",
            access=Access.PUBLISHED,
            disk=disk or Counted(),
            fence=fence,
        )

    return spec


class TestOneCopy:
    @pytest.mark.parametrize("before", [None, b"", CONTENT[:1000], b"x" * len(CONTENT)])
    def test_writes_a_complete_file_over_nothing_or_a_torn_file(self, spec, before):
        one = spec()
        if before is not None:
            one.dest.write_bytes(before)
        assert copy_part(one, _context()) == PROOF
        assert one.dest.read_bytes() == CONTENT

    def test_does_not_open_a_file_for_writing_that_is_already_in_place(self, spec):
        copy_part(spec(), _context())
        second, late = spec(), spec(fence=Taken())
        assert copy_part(second, _context()) == PROOF
        with pytest.raises(LockLost):
            copy_part(late, _context())
        assert second.disk.written == late.disk.written == []

    def test_without_the_lock_nothing_is_written(self, spec):
        one = spec(fence=Taken())
        one.dest.write_bytes(b"of the next owner")
        with pytest.raises(LockLost):
            copy_part(one, _context())
        assert one.dest.read_bytes() == b"of the next owner"
        assert one.disk.written == []

    def test_creates_no_folder(self, spec):
        one = spec()
        one.dest.parent.rmdir()
        with pytest.raises(StorageError):
            copy_part(one, _context())
        assert not one.dest.parent.exists()

    def test_a_copy_that_reads_back_wrong_is_a_retryable_error(self, spec):
        class Forgetful(Counted):
            def sync_file(self, file, *, role):
                super().sync_file(file, role=role)
                os.ftruncate(file.fileno(), 10)

        with raises_message(WorkerDied, "publish.copy_is_not_the_part"):
            copy_part(spec(Forgetful()), _context())

    def test_a_stopped_copy_leaves_no_partial_file(self, spec):
        """What is closed half written would be, on an object store, the object."""
        one = spec()
        with pytest.raises(Interrupted):
            copy_part(one, _context(is_stopping=one.dest.exists))
        assert one.dest.read_bytes() == CONTENT


class TestSomeTogether:
    """On a volume the requests of a small file take longer than its bytes."""

    def _spec(self, spec, disk, names="abcd"):
        return CopiesSpec(tuple(replace(spec(disk), dest=spec().dest.with_name(name)) for name in names))

    def test_several_files_are_copied_concurrently(self, spec):
        together = threading.Barrier(4, timeout=20)

        class Waiting(Counted):
            def sync_file(self, file, **options):
                together.wait()
                super().sync_file(file, **options)

        copies = self._spec(spec, Waiting())
        assert copy_parts(copies, _context()).files == (PROOF,) * 4
        assert all(copy.dest.read_bytes() == CONTENT for copy in copies.copies)

    def test_the_first_failure_is_raised_after_the_others_have_ended(self, spec):
        class Refusing(Counted):
            def create(self, path, **options):
                if path.name == "b":
                    raise OSError(errno.EIO, os.strerror(errno.EIO), path)
                return super().create(path, **options)

        copies = self._spec(spec, Refusing())
        with pytest.raises(StorageError, match="Input/output error"):
            copy_parts(copies, _context())
        assert sorted(path.name for path in spec().dest.parent.iterdir()) == ["a", "c", "d"]
        again = self._spec(spec, Counted())
        assert copy_parts(again, _context()).files == (PROOF,) * 4
        assert again.copies[0].disk.written == ["b"]

    def test_files_are_created_one_at_a_time_and_none_after_a_request_to_stop(self, spec):
        """Whoever waits for the system to make a name hears nothing meanwhile."""
        making, is_told = [], threading.Event()

        class Slow(Counted):
            def create(self, path, **options):
                making.append(path.name)
                assert len(making) == len(self.written) + 1, "two are made at once"
                is_told.set()
                time.sleep(0.05)
                return super().create(path, **options)

        copies = self._spec(spec, Slow())
        with pytest.raises(Interrupted):
            copy_parts(copies, _context(is_stopping=is_told.is_set))
        assert len(making) == 1
        (made,) = spec().dest.parent.iterdir()
        assert made.read_bytes() == CONTENT, "no half file is left"

    @pytest.mark.parametrize(
        ("megabytes", "together"),
        [([1] * 6, [4, 2]), ([40, 40, 1], [1, 1, 1]), ([20, 20, 1], [2, 1]), ([1, 100, 1, 1], [2, 2]), ([], [])],
    )
    def test_groups_are_few_and_small(self, spec, megabytes, together):
        copies = tuple(replace(spec(), expected=FileProof(size << 20, "")) for size in megabytes)
        parted = grouped(copies)
        assert [len(each.copies) for each in parted] == together
        assert tuple(copy for each in parted for copy in each.copies) == copies


def test_chunks_go_before_copies_of_another_table_except_for_one_start_in_as_many_as_workers():
    queue, workers = JobQueue(4), 4
    copies = [Job("wide", copy_part, number, urgency=Urgency.CHUNK, size=100_000) for number in range(PARTS)]
    chunks = [Job("other", len, number, urgency=Urgency.CHUNK, size=1_000_000) for number in range(60)]
    for job in (*copies, *chunks):
        queue.add(job)
    started = [queue.take({}).job.table for _ in range(80)]
    assert [started[:80].count(name) for name in ("other", "wide")] == [60, 20]
    assert started[: 4 * workers].count("wide") == 4


def _wide(shop, *, rows, parts=PARTS):
    """A table whose rows are not to be compressed, a part for every so many of them."""
    shop.execute(
        f"create table wide as select i as id, md5(i::varchar) || md5((-i - 1)::varchar) as text "
        f"from range({parts * rows}) r(i)",
        f"create table other as select i as id from range({40 * rows}) r(i)",
    )
    return [{"table_name": name, "chunking": {"strategy": "rowid", "target_rows": rows}} for name in ("wide", "other")]


def _whole(shop, **choices):
    return {"disk": WholeFileDisk(), "output": {"base_path": str(shop.folder / "data")}, **choices}


def _read_or_written():
    """The bytes that this process has read and written so far, from files, pipes and whatever else."""
    return sum(map(int, re.findall(r"^[rw]char: (\d+)", Path("/proc/self/io").read_text(), re.MULTILINE)))


class Order:
    """An engine that lets the chunks of `other` begin when the copies of `wide` do, and tells what was begun when."""

    def __init__(self, engine):
        self._engine = engine
        self._is_copying = asyncio.Event()
        self.begun = []

    async def run(self, job):
        name, table = job.work.__name__, job.table.removeprefix("shop.")
        if (name, table) == ("copy_parts", "wide"):
            self._is_copying.set()
        if (name, table) == ("extract_chunk", "other"):
            await self._is_copying.wait()
        told = job.on_start

        def on_start():
            self.begun.append((name, table))
            if told:
                told()

        object.__setattr__(job, "on_start", on_start)
        return await self._engine.run(job)

    def __getattr__(self, name):
        return getattr(self._engine, name)


class SlowCopies(WholeFileDisk):
    """Takes its time over each file that is published."""

    def create(self, path, *, role, **options):
        if role == "publish":
            time.sleep(0.03)
        return super().create(path, role=role, **options)


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


class TestManyCopies:
    def test_copies_block_neither_the_event_loop_nor_chunks_of_other_tables(self, shop):
        tables, pulse, engines, spent = _wide(shop, rows=2048), Pulse(), [], []

        def make_engine(pipeline):
            engine = Order(LOCAL.start(EngineSetup(pipeline, "many")))
            engines.append(engine)
            spent.append(_read_or_written())
            return pulse.beside(engine)

        shop.run("other", day=date(2026, 1, 5), **_whole(shop, execution={"workers": 1}))  # what is imported late is
        choices = _whole(shop, disk=SlowCopies(), make_engine=make_engine, execution={"workers": 4})
        reports = shop.run(*tables, **choices)
        moved = _read_or_written() - spent[0]
        assert {report.outcome for report in reports.values()} == {Outcome.COMPLETED}
        published = sum(file.bytes for file in shop.metadata("wide").files)
        assert len(shop.metadata("wide").files) >= PARTS
        assert moved < published / 2, "parts went through the parent's process"
        assert pulse.of_work < 0.1
        begun = engines[0].begun
        chunks = [place for place, what in enumerate(begun) if what == ("extract_chunk", "other")]
        copies = [place for place, what in enumerate(begun) if what == ("copy_parts", "wide")]
        meanwhile = [place for place in copies if place < chunks[-1]]
        assert len(chunks) >= 40
        assert len(meanwhile) < len(chunks) / 2, "copies took the places of another table's chunks"

    def test_a_worker_killed_during_a_copy_costs_one_retry(self, shop):
        heard, marker = Heard(), shop.folder / "killed"
        choices = _whole(shop, disk=DeadlyCopy(marker), reporter=heard, execution={"workers": 2})
        choices["make_engine"] = lambda pipeline: LOCAL.start(EngineSetup(pipeline, "killed"))
        table = {**_wide(shop, rows=2048, parts=6)[0], "retry": {"initial_delay": "10ms"}}
        assert shop.run(table, **choices)["wide"].outcome is Outcome.COMPLETED
        assert marker.exists()
        assert [text for text in heard.warnings if re.match(r"attempt 1 at the \d copies to part-.* by signal 9", text)]
        assert shop.rows("wide") == 6 * 2048

    def test_a_publication_ends_before_the_commit_record_if_the_lock_is_lost(self, shop):
        table = _wide(shop, rows=2048, parts=6)[0]

        class Overtaken(InlineEngine):
            async def run(self, job):
                if job.work is copy_parts and any(each.dest.name.startswith("part-00003") for each in job.spec.copies):
                    lock = shop.layout("wide").lock
                    lock.with_name(f"{lock.name}.2").write_bytes(lock.with_name(f"{lock.name}.1").read_bytes())
                return await super().run(job)

        report = shop.run(table, **_whole(shop, make_engine=lambda _p: Overtaken(memory_limit="100MB")))["wide"]
        assert report.outcome is not Outcome.COMPLETED
        assert not shop.layout("wide").metadata.exists()
        assert not (shop.layout("wide").output / shop.state("wide").intent.metadata.files[3].name).exists()
        assert shop.state("wide").state is State.VALIDATING


class DeadlyCopy(WholeFileDisk):
    """Kills the process that is the first to publish a file, in the middle of it."""

    def __init__(self, marker):
        self._marker = marker

    def create(self, path, *, role, **options):
        file = super().create(path, role=role, **options)
        if role == "publish" and not self._marker.exists():
            self._marker.write_text(str(os.getpid()))
            file.write(CONTENT[:100])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return file
