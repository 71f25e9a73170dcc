"""Links that somebody has planted below base_path lead nowhere, and who may read what a run writes."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from statekeeper.config.sections.output import WritesKind
from statekeeper.errors import StorageError
from statekeeper.run.report import Outcome
from statekeeper.run.status import read_status
from statekeeper.run.verify import verify_tables
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.links import refuse_links
from statekeeper.store.files.probe import disk_under
from statekeeper.store.files.slots import second_slot
from statekeeper.store.layout import manifest_file, manifest_lock, runs_folder
from tests.crash.nameless_disk import NamelessDisk
from tests.messages import raises_message, says
from tests.unit.small_shop import DAY, Shop

ROWS, BAD = 100, 5
TABLE = {
    "table_name": "orders",
    "columns": {"id": {"type": "int"}, "amount": {"type": "int", "ge": 0}},
    "on_violation": "quarantine",
    "chunking": {"strategy": "rowid", "target_rows": 50},
}
LEASE = {"lock": "lease", "lease_ttl": "300ms"}


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path / "work")
    shop.folder.mkdir()
    shop.execute(f"create table orders as select i as id, i - {BAD} as amount from range({ROWS}) r(i)")
    return shop


@pytest.fixture
def precious(tmp_path):
    """A folder of somebody's, and what is in it."""
    folder = tmp_path / "precious"
    (folder / "sub").mkdir(parents=True)
    for name in ("notes.txt", "part-00000-0123abcd.parquet", "sub/more.txt"):
        (folder / name).write_text("precious " * 100)
    return folder


def _snapshot(folder: Path):
    return {path: (path.lstat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in folder.rglob("*")}


def _names_of_files(shop):
    layout = shop.layout()
    lease = layout.lock.with_name(f"{layout.lock.name}.1")
    return {"lease": lease, "slot": second_slot(layout.state)} | {
        name: getattr(layout, name) for name in ("lock", "state", "metadata", "violations", "output")
    }


def _names_of_folders(shop):
    layout = shop.layout()
    day = layout.folder
    above = {"day": day, "month": day.parent, "table": day.parent.parent, "source": day.parent.parent.parent}
    names = ("output", "staging_root", "quarantine_folder", "violating_rows_folder")
    return above | {name: getattr(layout, name) for name in names}


def _plant(link: Path, target: Path):
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)


@pytest.mark.parametrize("name", ["lease", "slot", "lock", "state", "metadata", "violations", "output"])
@pytest.mark.parametrize("is_dangling", [False, True], ids=["file", "dangling"])
def test_a_link_in_place_of_a_file_fails_the_table_and_its_target_stays(shop, precious, name, is_dangling):
    link = _names_of_files(shop)[name]
    target = precious / ("absent" if is_dangling else "notes.txt")
    _plant(link, target)
    before = _snapshot(precious)
    disk = NamelessDisk() if name == "slot" else None
    output = {"base_path": str(shop.folder / "data")} | (LEASE if name == "lease" else {})
    report = shop.run(TABLE, disk=disk, output=output)["orders"]
    assert report.outcome is Outcome.FAILED
    assert str(link) in report.failure.message
    assert link.is_symlink()
    assert _snapshot(precious) == before


@pytest.mark.parametrize(
    "name",
    ["day", "month", "table", "source", "output", "staging_root", "quarantine_folder", "violating_rows_folder"],
)
@pytest.mark.parametrize("is_forced", [False, True])
def test_a_link_in_place_of_a_folder_fails_the_table_and_its_target_stays(shop, precious, name, is_forced):
    link = _names_of_folders(shop)[name]
    if is_forced and link.exists():
        shop.run(TABLE)
    if link.exists():
        link.rename(precious.parent / "before")
    _plant(link, precious)
    before = _snapshot(precious)
    report = shop.run(TABLE, is_forced=is_forced)["orders"]
    assert report.outcome is Outcome.FAILED
    assert str(link) in report.failure.message
    assert says(report.failure.message, "store.symbolic_link")
    assert _snapshot(precious) == before


def test_a_link_that_is_planted_during_the_extraction_is_not_followed_either(shop, precious):
    class Planting(LocalDisk):
        def sync_folder(self, path, *, role):
            super().sync_folder(path, role=role)
            if role == "receipt" and not shop.layout().output.is_symlink():
                shop.layout().output.symlink_to(precious)

    before = _snapshot(precious)
    report = shop.run(TABLE, disk=Planting())["orders"]
    assert report.outcome is Outcome.FAILED
    assert str(shop.layout().output) in report.failure.message
    assert _snapshot(precious) == before


@pytest.mark.parametrize("of", ["runs", "manifest", "manifest lock"])
def test_a_link_in_place_of_what_a_run_writes_refuses_the_run(shop, precious, of):
    base_path, run_id = shop.folder / "data", f"shop-{DAY:%Y%m%d}"
    paths = {"runs": runs_folder(base_path), "manifest": manifest_file(base_path, run_id)}
    link = (paths | {"manifest lock": manifest_lock(base_path, run_id)})[of]
    _plant(link, precious if of == "runs" else precious / "notes.txt")
    before = _snapshot(precious)
    with raises_message(StorageError, "store.symbolic_link"):
        shop.run(TABLE)
    if of == "runs":
        with raises_message(StorageError, "store.symbolic_link"):
            disk_under(base_path, WritesKind.AUTO)
    assert _snapshot(precious) == before


def test_base_path_itself_may_be_a_link(shop, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (shop.folder / "data").symlink_to(tmp_path / "elsewhere")
    assert shop.run(TABLE)["orders"].outcome is Outcome.COMPLETED
    assert shop.run(TABLE, is_forced=True)["orders"].outcome is Outcome.COMPLETED
    assert shop.rows() == ROWS - BAD


def test_the_status_of_a_table_whose_state_is_a_link_says_so(shop, precious):
    shop.run(TABLE)
    shop.layout().state.unlink()
    shop.layout().state.symlink_to(precious / "notes.txt")
    status = read_status(shop.folder / "data", f"shop-{DAY:%Y%m%d}")
    assert says(status.tables[0].failure.message, "store.symbolic_link")


@pytest.mark.parametrize("of", ["the dataset", "a part"])
def test_a_link_in_the_place_of_what_is_published_is_never_verified_as_it(shop, precious, of):
    shop.run(TABLE)
    link = shop.layout().output if of == "the dataset" else min(shop.layout().output.iterdir())
    link.rename(precious / link.name)
    link.symlink_to(precious / link.name)
    before = _snapshot(precious)
    runner = shop.runner(TABLE)
    (verified,) = verify_tables(runner, runner.pipeline.tables).tables
    assert verified.outcome is Outcome.FAILED
    assert link.name in verified.failure.message
    shop.run(TABLE)
    assert _snapshot(precious) == before


def _a_link(place, precious):
    place.symlink_to(precious)


def _a_folder_that_others_may_write_in(place, precious):
    del precious
    place.mkdir()
    place.chmod(0o777)
    (place / "theirs").write_text("theirs")


def _a_file(place, precious):
    del precious
    place.write_text("theirs")


@pytest.mark.parametrize("plant", [_a_link, _a_folder_that_others_may_write_in, _a_file])
def test_files_planted_beside_base_path_are_not_used(shop, precious, plant):
    place = shop.layout().swap.parent
    plant(place, precious)
    before = _snapshot(precious), _snapshot(place)
    for is_forced in (False, True):
        assert shop.run(TABLE, is_forced=is_forced)["orders"].outcome is Outcome.COMPLETED
    assert (_snapshot(precious), _snapshot(place)) == before
    assert shop.rows() == ROWS - BAD
    assert not shop.layout().staging_root.exists()


def test_below_a_folder_that_is_missing_nothing_is_looked_for(tmp_path, monkeypatch):
    """On a volume each look is a request that takes long."""
    looked = []
    lstat = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: (looked.append(path.relative_to(tmp_path)), lstat(path))[1])
    (tmp_path / "there").mkdir()
    names = ("there/one", "missing/source/table", "missing/source/other", "missing-too/x")
    refuse_links(tmp_path, *(tmp_path / name for name in names))
    assert sorted(map(str, looked)) == ["missing", "missing-too", "there", "there/one"]
    (tmp_path / "missing").mkdir()
    (tmp_path / "missing" / "source").symlink_to(tmp_path)
    with raises_message(StorageError, "store.symbolic_link"):
        refuse_links(tmp_path, *(tmp_path / name for name in names))


def test_a_removed_folder_takes_nothing_with_it_through_a_link_of_its_name(tmp_path, precious):
    (tmp_path / "link").symlink_to(precious)
    before = _snapshot(precious)
    with raises_message(OSError, "store.symbolic_link"):
        LocalDisk().remove_folder(tmp_path / "link", role="sweep")
    assert _snapshot(precious) == before


@pytest.fixture
def umask():
    """One that lets a group write."""
    before = os.umask(0o002)
    yield 0o002
    os.umask(before)


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("disk", [None, NamelessDisk()], ids=["rename", "whole"])
@pytest.mark.parametrize("chunk_rows", [50, ROWS], ids=["folder", "file"])
def test_what_is_published_has_the_permissions_of_the_umask_and_all_else_is_private(shop, umask, disk, chunk_rows):
    table = {**TABLE, "chunking": {"strategy": "rowid", "target_rows": chunk_rows}}
    output = {"base_path": str(shop.folder / "data")}
    seen = []

    class Watching(type(disk) if disk else LocalDisk):
        def sync_folder(self, path, *, role):
            super().sync_folder(path, role=role)
            if role == "receipt":
                seen.append(_mode(shop.layout().staging_root))

    assert shop.run(table, disk=Watching(), output=output)["orders"].outcome is Outcome.COMPLETED
    layout = shop.layout()
    published = [layout.metadata, layout.output, *(layout.output.iterdir() if layout.output.is_dir() else [])]
    for path in published:
        assert _mode(path) == (0o775 if path.is_dir() else 0o664), path
    private = [layout.state, layout.lock, layout.violations, layout.quarantine_folder]
    private += [manifest_file(shop.folder / "data", f"shop-{DAY:%Y%m%d}")]
    for path in filter(os.path.exists, private):
        assert _mode(path) & 0o077 == 0, path
    assert set(seen) == {0o700}


def test_a_lock_file_that_is_a_second_name_of_another_file_is_not_emptied(shop, precious):
    layout = replace(shop.layout())
    layout.folder.mkdir(parents=True)
    os.link(precious / "notes.txt", layout.lock)
    before = (precious / "notes.txt").read_text()
    report = shop.run(TABLE)["orders"]
    assert report.outcome is Outcome.FAILED
    assert str(layout.lock) in report.failure.message
    assert (precious / "notes.txt").read_text() == before
