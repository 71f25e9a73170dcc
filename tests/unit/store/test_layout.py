"""Names: no path of one run is a path of another, and rows that are not published are hidden from readers."""

from __future__ import annotations

import re
from datetime import date
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from statekeeper.errors import UsageError
from statekeeper.model.table import Layout, TableRef
from statekeeper.store.files.slots import second_slot
from statekeeper.store.files.temps import temp_file
from statekeeper.store.layout import (
    ExtractionLayout,
    activity_folder,
    check_run_id,
    manifest_file,
    manifest_lock,
    run_snapshots_folder,
    spark_exchange,
)
from statekeeper.store.layouts import HiveLayout, layout_of
from statekeeper.store.staging import (
    beside_part,
    is_subfolder,
    kept_part_name,
    rejected_part_name,
    rejects_name,
    staged_part_name,
    subfolder_of,
    subfolders_for,
)

BASE = Path("/lake")
PLANS = ("0123abcd" + "0" * 24, "quarantine", "ffffffff" * 4)
EPOCHS = (0, 1, 12)

ENDS = "_quarantine _violations _state _metadata .lock .0123abcd .generation-0123abcd .parquet .tmp .next .staging"
pieces = st.sampled_from([*ENDS.split(), "n", "N", ".1", ".json", "_snapshots", "/", "..", "%2F", ".", "_", "é", "\n"])
run_ids = st.lists(pieces, min_size=1, max_size=4).map("".join)


def _layout(kind: Layout, run_id: str = "n", base_path: Path = BASE) -> ExtractionLayout:
    table = TableRef(source_name="shop", table_name="orders", path_name="orders")
    return layout_of(kind, base_path=base_path, table=table, extraction_date=date(2026, 1, 6), run_id=run_id)


def _of_date(layout: ExtractionLayout) -> set[Path]:
    """In the layout `hive`, what all runs of a date have in common: `store.place` lets only one have it."""
    if isinstance(layout, HiveLayout):
        leases = [layout.lock.with_name(f"{layout.lock.name}.{epoch}") for epoch in EPOCHS]
        temps = [temp_file(path, str(epoch)) for path in leases for epoch in EPOCHS]
        return {layout.output, layout.lock, *map(layout.generation, PLANS), *leases, *map(second_slot, leases), *temps}
    return set()


def _paths(layout: ExtractionLayout, run_id: str) -> set[Path]:
    """Every path that a run of this id writes to, of one table at one date."""
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


@pytest.mark.parametrize("kind", Layout)
@given(run_ids, run_ids)
def test_no_path_of_one_run_is_a_path_of_another_and_each_kind_has_its_own(kind, one, other):
    assume(one != other)
    for run_id in (one, other):
        try:
            check_run_id(run_id)
        except UsageError:
            assume(False)
    first, second = (_paths(_layout(kind, run_id), run_id) for run_id in (one, other))
    assert first & second == _of_date(_layout(kind))
    assert len(first) == len(second), "two kinds of files have one name"


@pytest.mark.parametrize("kind", Layout)
@given(run_ids)
def test_no_name_of_a_run_leads_out_of_its_folder(kind, run_id):
    for path in _paths(_layout(kind, run_id), run_id):
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


@given(run_ids)
def test_in_the_layout_hive_a_tables_folder_has_datasets_alone(run_id):
    layout = _layout(Layout.HIVE, run_id)
    within = {path for path in _paths(layout, run_id) if path.is_relative_to(layout.table_folder)}
    assert within == {layout.output, *map(layout.generation, PLANS)}


@pytest.mark.parametrize("kind", Layout)
def test_a_commit_record_names_a_dataset_wherever_base_path_is_now(kind):
    layout, plan = _layout(kind), PLANS[0]
    for dataset in (layout.output, layout.generation(plan)):
        elsewhere = Path("/elsewhere") / dataset.relative_to(BASE)
        assert layout.dataset_named(str(elsewhere)) == dataset
        assert layout.is_generation(dataset) == (dataset != layout.output)


@pytest.mark.parametrize(
    ("kind", "output_path"),
    [
        (Layout.DATED, "lake/shop/orders/202601/06/m.parquet"),
        (Layout.DATED, "lake/shop/orders/202601/06/n.parquet/part-00000-0123abcd.parquet"),
        (Layout.HIVE, "lake/shop/orders/extraction_date=2026-01-07"),
        (Layout.HIVE, "lake/shop/orders/extraction_date=2026-01-07/generation-0123abcd"),
        (Layout.HIVE, "lake/shop/orders/extraction_date=2026-01-06/part-00000-0123abcd.parquet"),
        (Layout.HIVE, "generation-0123abcd"),
        (Layout.HIVE, ""),
    ],
)
def test_what_is_no_dataset_of_the_extraction_is_not_taken_for_one(kind, output_path):
    assert _layout(kind).dataset_named(output_path) is None


@pytest.mark.parametrize(
    ("kind", "folders"),
    [
        (Layout.DATED, {"/lake/shop/orders": ["202512", "202601", "x"], "/lake/shop/orders/202601": ["06", "32", "_"]}),
        (Layout.HIVE, {"/lake/_statekeeper/shop/orders": ["2025-12-31", "2026-01-06", "2026-01-32", "x"]}),
    ],
)
def test_dates_are_found_by_their_folders_the_newest_first(kind, folders):
    folders["/lake/shop/orders/202512"] = ["31"]
    found = _layout(kind).record_folders(lambda folder: folders.get(str(folder), []))
    assert list(found) == [
        (_layout(kind).folder, date(2026, 1, 6)),
        (layout_folder(kind, date(2025, 12, 31)), date(2025, 12, 31)),
    ]


def layout_folder(kind, day):
    table = TableRef(source_name="shop", table_name="orders", path_name="orders")
    return layout_of(kind, base_path=BASE, table=table, extraction_date=day, run_id="n").folder


@pytest.mark.parametrize("kind", Layout)
def test_rows_that_are_not_published_are_hidden_from_globs_and_from_readers_of_folders(kind):
    layout = _layout(kind)
    staged = [staged_part_name(0, "a"), kept_part_name(0, "a"), rejected_part_name(0, "a"), rejects_name("a")]
    hidden = [layout.staging("p").parts / name for name in staged]
    hidden += [layout.quarantine("p"), layout.violating_rows("p")]
    for path in hidden:
        assert not fnmatch(path.name, "*.parquet")
        assert any(re.match(r"[._]", part) for part in path.parts)


def test_the_files_of_many_chunks_are_spread_evenly_over_subfolders():
    numbers = {chunks: len(subfolders_for(chunks)) for chunks in (1, 95, 96, 240, 16_000, 1_000_000)}
    assert numbers == {1: 0, 95: 0, 96: 2, 240: 5, 16_000: 16, 1_000_000: 16}
    folders = [subfolder_of(chunk, 240, subfolders_for(240)) for chunk in range(240)]
    assert [(name, len(list(group))) for name, group in groupby(folders)] == [(f"0{n}", 48) for n in range(5)]
    assert {subfolder_of(chunk, 1000, subfolders_for(1000)) for chunk in range(1000)} == set(subfolders_for(1000))
    assert subfolder_of(3, 5, ()) == ""
    names = [PurePosixPath(staged_part_name(0, "a", subfolder=folder)) for folder in folders]
    assert all(is_subfolder(name.parent.name) and not is_subfolder(name.name) for name in names)
    assert beside_part(str(names[100]), "kept") == "02/kept"
    assert beside_part(staged_part_name(7, "a"), "kept") == "kept"


@pytest.mark.parametrize("kind", Layout)
@pytest.mark.parametrize("base_path", ["/", "data", "../data", "."])
def test_the_folder_beside_base_path_is_outside_of_it(base_path, kind):
    layout = _layout(kind, base_path=Path(base_path))
    if base_path == "/":
        assert layout.swap is None
    else:
        assert layout.swap is not None
        base = Path(base_path).absolute().resolve()
        assert not layout.swap.resolve().is_relative_to(base)
        assert layout.swap.resolve().parent.parent == base.parent
