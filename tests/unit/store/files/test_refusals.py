"""Whatever the system refuses, in whichever phase: a storage failure with a path, and the next run completes."""

from __future__ import annotations

import errno
import gc
import logging
import shutil

import pytest

from statekeeper.errors import FailureKind, StorageError
from statekeeper.run.report import Outcome
from statekeeper.store.files.disk import LocalDisk, WholeFileDisk
from tests.unit.small_shop import Shop
from tests.unit.store.files.refusing_system import RefusingSystem

CODES = (errno.EIO, errno.EACCES, errno.ENOSPC)
TABLE = {
    "table_name": "orders",
    "columns": {"id": {"type": "int", "ge": 3}, "name": {"type": "str"}},
    "on_violation": "quarantine",
    "chunking": {"strategy": "key", "key": "id", "target_rows": 4},
    "unique": [["id"]],
}


ONE_IN = 16
"""The default suite refuses one in so many kinds of calls, `make sweep` all of them, with and without rename."""


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    Shop(folder).execute("CREATE TABLE orders AS SELECT i::BIGINT AS id, 'name ' || i AS name FROM range(8) AS r(i)")
    return folder / "shop.duckdb"


def make_shop(folder, database):
    folder.mkdir()
    shutil.copy(database, folder)
    return Shop(folder)


def run(shop, disk):
    retry = {"attempts": 1, "initial_delay": "1ms"}
    return shop.run(TABLE, disk=disk, defaults={"retry": retry})["orders"]


def chosen(calls):
    """The first and the last call of each kind."""
    places = {}
    for number, call in enumerate(calls):
        places.setdefault(call, []).append(number)
    return sorted({number for numbers in places.values() for number in (numbers[0], numbers[-1])})


@pytest.mark.parametrize(
    ("disk", "one_in"),
    [
        pytest.param(LocalDisk(), ONE_IN, id="some"),
        pytest.param(LocalDisk(), 1, id="rename", marks=pytest.mark.sweep),
        pytest.param(WholeFileDisk(), 1, id="whole", marks=pytest.mark.sweep),
    ],
)
def test_call_that_the_system_refuses_is_a_storage_failure_and_the_next_run_completes(
    tmp_path, database, caplog, disk, one_in
):
    with pytest.MonkeyPatch.context() as patched:
        shop = make_shop(tmp_path / "whole", database)
        system = RefusingSystem(shop.folder / "data", patched)
        report = run(shop, disk)
    assert report.outcome is Outcome.COMPLETED, report.failure
    wrong = []
    for number in chosen(system.calls)[::one_in]:
        name, where = system.calls[number]
        told = refused(make_shop(tmp_path / str(number), database), disk, number, caplog)
        if told:
            wrong.append(f"{number}: {name} {where}: {told}")
    assert not wrong, "\n".join(wrong)


def refused(shop, disk, number, caplog):
    """What is wrong with a run of which one call is refused, in words; None where nothing is."""
    caplog.clear()
    data = str(shop.folder / "data")
    with pytest.MonkeyPatch.context() as patched, caplog.at_level(logging.WARNING):
        RefusingSystem(shop.folder / "data", patched, refused=number, code=CODES[number % len(CODES)])
        try:
            failure = run(shop, disk).failure
        except StorageError as error:
            failure = error
        gc.collect()  # a writer that is given up must not be heard of again
    if failure is not None and (failure.kind is not FailureKind.STORAGE or data not in failure.message):
        return f"not a storage failure with its path: {failure.kind}: {failure.message}"
    if "unforeseen" in caplog.text or "Traceback" in caplog.text:
        return caplog.text
    again = run(shop, disk)
    if again.outcome not in {Outcome.COMPLETED, Outcome.SKIPPED} or shop.rows() != 5:
        return f"the next run: {again.outcome} {again.failure}"
    return None
