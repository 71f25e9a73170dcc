"""The command line on a mounted file system that has no rename, no link, no append and no seeking: a real one, by FUSE.

Where the machine has no FUSE these are skipped; what they show is shown without a mount, too (tests/crash).
"""

from __future__ import annotations

import errno
import os
import signal
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta

import duckdb
import pandas as pd
import pytest

from statekeeper.config.sections.output import LockKind, WritesKind
from statekeeper.errors import LockHeld, StateDamaged
from statekeeper.model.receipt import Receipt
from statekeeper.model.table import Layout
from statekeeper.store.files.disk import Writes
from statekeeper.store.files.probe import disk_under
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.locks.lock import acquire
from statekeeper.store.process import this_process
from tests.acceptance.pipeline import CONFIG, Workplace, no_process_left, wait_until
from tests.volume.requests import IS_POSSIBLE, NotAllowed, mounted

_ROWS = 200_000

pytestmark = pytest.mark.skipif(not IS_POSSIBLE, reason="needs FUSE: /dev/fuse and libfuse")


@pytest.fixture(params=list(Layout))
def work(tmp_path, request):
    """A working directory whose `data` is mounted."""
    config = CONFIG.replace("target_rows: 100000", "target_rows: 20480").replace("data}", "data, lease_ttl: 2s}")
    work = Workplace.make(tmp_path / "work", rows=_ROWS, config=config, layout=request.param)
    with _volume(work.folder / "data", tmp_path / "files"):
        yield work


@contextmanager
def _volume(mountpoint, files, *options):
    """A volume, mounted while the block runs; without one the test is skipped."""
    with ExitStack() as stack:
        try:
            stack.enter_context(mounted(mountpoint, files, *options))
        except NotAllowed:
            pytest.skip("this machine does not let us mount")
        yield


def _read(work, table):
    """What readers of the metadata see: the number of rows, and of distinct ids."""
    output = work.files(table).dataset_named(work.metadata(table)["output_path"])
    files = f"{output}/*.parquet" if output.is_dir() else str(output)
    with duckdb.connect() as connection:
        return connection.execute("select count(*), count(distinct id) from read_parquet(?)", [files]).fetchone()


def _recorded(work):
    """The receipts that the parent has recorded, except for one during which it may have been killed."""
    found = []
    for path in work.receipts():
        if path.name.count(".") == 1:
            with suppress(StateDamaged):
                found.append(Receipt.from_bytes(path.read_bytes(), where=str(path)))
    return found


def test_the_mount_refuses_what_a_volume_refuses(work):
    file = work.folder / "data" / "file"
    file.write_bytes(b"whole")
    file.write_bytes(b"anew")
    for refused, code in (
        (lambda: file.rename(file.with_name("other")), errno.ENOSYS),
        (lambda: file.with_name("link").hardlink_to(file), errno.EPERM),
        (lambda: os.utime(file), errno.ENOSYS),
        (lambda: file.open("ab", buffering=0).write(b"more"), errno.ESPIPE),
    ):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is what is asked for
            refused()
        assert caught.value.errno == code
    assert file.read_bytes() == b"anew"
    assert disk_under(work.folder / "data", WritesKind.AUTO).writes is Writes.WHOLE


def test_a_killed_run_is_resumed_skipped_verified_and_forced(work):
    process = work.start("run", "nightly.yml")
    with no_process_left(process):
        wait_until(lambda: len(work.receipts()) >= 2 or process.poll() is not None, what="receipts")
        os.killpg(process.pid, signal.SIGKILL)
    done = _recorded(work)
    resumed = work.run("resume")
    assert resumed.returncode == 0, resumed.stderr
    work.assert_equals_source()
    work.assert_no_staging()
    assert {receipt.md5 for receipt in done} <= {file["md5"] for file in work.metadata()["files"]}
    assert {table["state"] for table in work.tables().values()} == {"complete"}
    first = work.files().dataset_named(work.metadata()["output_path"])
    before = work.fingerprint("large", "small", "empty")
    assert "3 skipped" in work.run("run", "nightly.yml").stdout
    assert work.run("verify").returncode == 0
    assert work.fingerprint("large", "small", "empty") == before
    work.sql("insert into large select * replace (id + 1000000 as id) from large limit 10")
    assert work.run("run", "nightly.yml", "--force-reprocess").returncode == 0
    assert _read(work, "large") == (_ROWS + 10, _ROWS + 10)
    assert not first.exists()  # its successor has another name, and it was swept
    work.assert_no_staging()
    if work.layout is Layout.HIVE:
        assert len(pd.read_parquet(work.files().table_folder)) == _ROWS + 10


def test_a_lease_works_where_utime_has_no_effect_and_the_parent_folder_cannot_be_opened(tmp_path):
    top = tmp_path / "Volumes"
    with _volume(top, tmp_path / "files", "--swallow-times", "--closed", "/main/erp"):
        base_path = top / "main" / "erp" / "volume"
        base_path.mkdir(parents=True)
        before = base_path.stat().st_mtime_ns
        os.utime(base_path, (1, 1))
        assert base_path.stat().st_mtime_ns == before
        with pytest.raises(OSError, match=os.strerror(errno.ENOTSUP)):
            os.listdir(base_path.parent)  # noqa: PTH208
        layout = ExtractionLayout(folder=base_path / "shop" / "orders", run_id="r", base_path=base_path)
        disk = disk_under(base_path, WritesKind.AUTO)
        taken = {"kind": LockKind.AUTO, "owner": this_process(), "ttl": timedelta(seconds=2)}
        with acquire(disk, layout, **taken) as lock:
            with pytest.raises(LockHeld):
                acquire(disk, layout, **taken)
            lock.check()
