"""Names: no path of one run is a path of another, and rows that are not published are hidden from readers."""

from __future__ import annotations

import re
from datetime import date
from fnmatch import fnmatch
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from statekeeper.errors import UsageError
from statekeeper.model.table import TableRef
from statekeeper.store.files.slots import second_slot
from statekeeper.store.files.temps import temp_file
from statekeeper.store.layout import (
    ExtractionLayout,
    activity_folder,
    check_run_id,
    kept_part_name,
    manifest_file,
    manifest_lock,
    rejected_part_name,
    rejects_name,
    run_snapshots_folder,
    spark_exchange,
    staged_part_name,
)

BASE = Path("/lake")
PLANS = ("0123abcd" + "0" * 24, "quarantine", "ffffffff" * 4)
EPOCHS = (0, 1, 12)

ENDS = "_quarantine _violations _state _metadata .lock .0123abcd .generation-0123abcd .parquet .tmp .next .staging"
pieces = st.sampled_from([*ENDS.split(), "n", "N", ".1", ".json", "_snapshots", "/", "..", "%2F", ".", "_", "é", "\n"])
run_ids = st.lists(pieces, min_size=1, max_size=4).map("".join)


def _paths(run_id: str) -> set[Path]:
    """Every path that a run of this id writes to, of one table at one date."""
    table = TableRef(source_name="shop", table_name="orders", path_name="orders")
    layout = ExtractionLayout.of(base_path=BASE, table=table, extraction_date=date(2026, 1, 6), run_id=run_id)
    documents = [layout.state, layout.metadata, layout.violations]
    leases = [layout.lock.with_name(f"{layout.lock.name}.{epoch}") for epoch in EPOCHS]
    temps = [temp_file(path, str(epoch)) for path in (*documents, *leases) for epoch in EPOCHS]
    slots = [second_slot(path) for path in (*documents, *leases)]
    of_plans = [
        path(plan)
        for plan in PLANS
        for path in (layout.generation, layout.quarantine, layout.violating_rows, layout.aside)
    ]
    assert layout.swap is not None
    of_run = [manifest_file(BASE, run_id), manifest_lock(BASE, run_id), activity_folder(BASE, run_id), layout.swap]
    of_run += [spark_exchange(BASE, run_id, "token"), temp_file(manifest_file(BASE, run_id), "0")]
    of_run += [run_snapshots_folder(BASE, run_id, "shop"), run_snapshots_folder(BASE, run_id, "shop").parent]
    damaged = layout.state.with_name(f"{layout.state.name}.damaged-20260106T120000")
    return {*layout.names, layout.foreign_files, damaged, *leases, *temps, *slots, *of_plans, *of_run}


@given(run_ids, run_ids)
def test_no_path_of_one_run_is_a_path_of_another_and_each_kind_has_its_own(one, other):
    assume(one != other)
    for run_id in (one, other):
        try:
            check_run_id(run_id)
        except UsageError:
            assume(False)
    assert not _paths(one) & _paths(other)
    assert len({len(_paths(run_id)) for run_id in (one, other)}) == 1, "two kinds of files have one name"


@given(run_ids)
def test_no_name_of_a_run_leads_out_of_its_folder(run_id):
    for path in _paths(run_id):
        assert path.is_relative_to(BASE) or path.is_relative_to("/.lake.swap")
        assert ".." not in path.parts


@pytest.mark.parametrize(
    "run_id",
    ["n_quarantine", "n_violations", "n_quarantine.0123abcd", "n.generation-0123abcd", "x" * 300, "/" * 100],
)
def test_a_run_id_that_could_collide_is_refused(run_id):
    with pytest.raises(UsageError, match="run id"):
        check_run_id(run_id)


@pytest.mark.parametrize("run_id", ["prod-20260106", "daily.20260106", "quarantine", "a/b", "n_state", "n.0123abcd"])
def test_other_run_ids_are_not_refused(run_id):
    check_run_id(run_id)


def test_rows_that_are_not_published_are_hidden_from_globs_and_from_readers_of_folders():
    layout = ExtractionLayout(folder=Path("06"), run_id="n")
    staged = [staged_part_name(0, "a"), kept_part_name(0, "a"), rejected_part_name(0, "a"), rejects_name("a")]
    hidden = [layout.staging("p").parts / name for name in staged]
    hidden += [layout.quarantine("p"), layout.violating_rows("p")]
    for path in hidden:
        assert not fnmatch(path.name, "*.parquet")
        assert any(re.match(r"[._]", part) for part in path.parts)


@pytest.mark.parametrize("base_path", ["/", "data", "../data", "."])
def test_the_folder_beside_base_path_is_outside_of_it(base_path):
    table = TableRef(source_name="shop", table_name="orders", path_name="orders")
    layout = ExtractionLayout.of(base_path=Path(base_path), table=table, extraction_date=date(2026, 1, 6), run_id="n")
    if base_path == "/":
        assert layout.swap is None
    else:
        assert layout.swap is not None
        base = Path(base_path).absolute().resolve()
        assert not layout.swap.resolve().is_relative_to(base)
        assert layout.swap.resolve().parent.parent == base.parent
