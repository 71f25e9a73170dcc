"""Which files in a table's folder are an extraction's own, file by file: by footers, by documents, and by names.

`test_ownership` shows what runs make of it.
"""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from statekeeper.errors import StorageError
from statekeeper.model.metadata import PublishedFile
from statekeeper.model.record import HistoryEntry, Published, PublishIntent, Trigger
from statekeeper.model.state import Owner, State
from statekeeper.model.table import Layout, TableRef
from statekeeper.publish.ownership import Ownership
from statekeeper.store.files.disk import LocalDisk, Writes
from statekeeper.store.layouts import layout_of
from tests.crash.nameless_disk import NamelessDisk
from tests.messages import raises_message
from tests.unit.commit_records import NOON, PLAN, TABLE, commit_record, state_of
from tests.unit.small_shop import DAY

OURS, OTHER_RUN, OTHER_TABLE = ("r", TABLE.key), ("s", TABLE.key), ("r", "shop.customers")
NEXT_PLAN = PLAN[:7] + "f" + PLAN[8:]
OWNER = Owner(host="h", boot_id="b", pid=1, started=1.0)


class Place:
    """The folder of an extraction, and who owns what in it."""

    def __init__(self, base_path, kind=Layout.DATED):
        self.layout = layout_of(kind, base_path=base_path, table=TABLE, extraction_date=DAY, run_id="r")
        self.layout.folder.mkdir(parents=True)

    def ownership(self, *, disk=None, **changes):
        return Ownership(disk or LocalDisk(), self.layout, state_of(self.layout, **changes))

    def owns(self, path, **changes):
        return self.ownership(**changes).owns(path)

    def refusal(self, *paths, **changes):
        with pytest.raises(StorageError) as caught:
            self.ownership(**changes).check(*paths)
        return caught.value.message

    def commit(self, **changes):
        record = commit_record(self.layout, **changes)
        self.layout.metadata.write_bytes(record.to_bytes())
        return record


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def hive(tmp_path):
    return Place(tmp_path, Layout.HIVE)


def parquet(path, said=None):
    """A Parquet file whose footer names a run and a table, if `said`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = dict(zip(("statekeeper.run_id", "statekeeper.table"), said, strict=True)) if said else None
    pq.write_table(pa.table({"a": [1]}, schema=pa.schema([("a", pa.int64())], told)), path)
    return path


def damaged(path, size=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    return path


def published(layout, *, size=8, path=None, plan_id=PLAN):
    return Published(
        plan_id=plan_id,
        records=1,
        bytes=size,
        checksum="",
        output_path=str(path or layout.output),
        metadata_md5="",
        fingerprint="",
    )


class TestFooters:
    @pytest.mark.parametrize(("said", "is_own"), [(OURS, True), (OTHER_RUN, False), (OTHER_TABLE, False)])
    def test_a_file_is_of_the_run_and_table_that_its_footer_names(self, place, said, is_own):
        assert place.owns(parquet(place.layout.output, said)) is is_own

    def test_a_footer_that_names_another_run_settles_it_whatever_the_documents_name(self, place):
        path = parquet(place.layout.output, OTHER_RUN)
        assert not place.owns(path, published=published(place.layout))
        assert not place.owns(place.layout.output.with_name("x.parquet").hardlink_to(path) or path)

    @pytest.mark.parametrize("key", ["statekeeper.run_id", "statekeeper.table"])
    def test_half_a_name_tells_nothing(self, place, key):
        schema = pa.schema([("a", pa.int64())], {key: "r"})
        pq.write_table(pa.table({"a": [1]}, schema=schema), place.layout.output)
        assert not place.owns(place.layout.output)
        assert place.owns(place.layout.output, published=published(place.layout))

    def test_a_file_of_exactly_the_bytes_that_were_published_is_not_read(self, place):
        path = parquet(place.layout.output, OTHER_RUN)
        assert place.owns(path, published=published(place.layout, size=path.stat().st_size))


class TestDamaged:
    def test_a_file_that_nothing_names_is_somebodys(self, place):
        assert not place.owns(damaged(place.layout.output))
        assert not place.owns(parquet(place.layout.output))

    def test_one_that_the_state_says_was_published_is_ones_own(self, place):
        path = damaged(place.layout.output)
        assert place.owns(path, published=published(place.layout, size=4711))

    def test_one_that_is_about_to_be_published_is_ones_own(self, place):
        path = damaged(place.layout.output)
        intent = PublishIntent(plan_id=PLAN, aside_name="", metadata=commit_record(place.layout))
        assert place.owns(path, intent=intent)

    @pytest.mark.parametrize("of", ["this extraction", "another run", "another table"])
    def test_one_that_the_commit_record_names_is_ones_own_if_that_is(self, place, of):
        record = place.commit(**({"run_id": "s"} if of == "another run" else {}))
        if of == "another table":
            config = record.table_config.model_copy(update={"table_name": "customers"})
            place.commit(table_config=config)
        assert place.owns(damaged(place.layout.output)) is (of == "this extraction")

    def test_a_path_that_is_none_of_this_extraction_claims_nothing(self, place):
        path = damaged(place.layout.folder / "other.parquet")
        assert not place.owns(path, published=published(place.layout, path=path))

    def test_quarantined_rows_of_version_0_1_are_ones_own_by_the_commit_record(self, place):
        file = PublishedFile(name="r_quarantine.parquet", rows=1, bytes=8, md5="")
        validation = commit_record(place.layout).validation.model_copy(update={"quarantine": file})
        path = damaged(place.layout.folder / file.name)
        assert not place.owns(path)
        place.commit(validation=validation)
        assert place.owns(path)

    def test_a_generation_is_ones_own_by_its_name(self, place):
        assert place.owns(damaged(place.layout.generation(PLAN)))

    @pytest.mark.parametrize("disk", [LocalDisk(), NamelessDisk()], ids=["rename", "whole"])
    @pytest.mark.parametrize("trigger", [None, Trigger.START, Trigger.EXTRACTED])
    def test_the_dataset_is_ones_own_by_its_name_where_a_publication_may_have_been_left_half_done(
        self, place, disk, trigger
    ):
        entry = HistoryEntry(trigger=trigger or "", source=State.PENDING, dest=State.EXTRACTING, at=NOON, owner=OWNER)
        path = damaged(place.layout.output)
        is_own = trigger is Trigger.EXTRACTED and isinstance(disk, NamelessDisk)
        assert place.owns(path, disk=disk, history=(entry,) if trigger else ()) is is_own


class TestOtherKinds:
    def test_rows_that_are_not_published_are_ones_own_by_their_folder_and_name(self, place):
        for path in (place.layout.quarantine(PLAN), place.layout.violating_rows(PLAN)):
            assert place.owns(damaged(path))
            assert not place.owns(damaged(path.with_name("notes.txt")))

    def test_what_is_no_file_and_no_folder_is_nobodys(self, place):
        target = parquet(place.layout.folder / "target.parquet", OURS)
        place.layout.output.symlink_to(target)
        assert not place.owns(place.layout.output)

    def test_what_is_missing_is_an_error(self, place):
        with pytest.raises(FileNotFoundError):
            place.owns(place.layout.output)


class TestFolders:
    def part(self, place, number=0, plan_id=PLAN):
        return place.layout.output / f"part-{number:05d}-{plan_id[:8]}.parquet"

    def test_one_without_parts_is_somebodys_unless_a_document_names_it(self, place):
        place.layout.output.mkdir()
        (place.layout.output / "notes.txt").write_text("mine")
        assert not place.owns(place.layout.output)
        assert place.owns(place.layout.output, published=published(place.layout))

    def test_a_generation_is_ones_own_by_its_name_while_it_is_empty(self, place):
        place.layout.generation(PLAN).mkdir()
        assert place.owns(place.layout.generation(PLAN))

    @pytest.mark.parametrize("changes", ["plan", "published", "intent", "commit record"])
    def test_parts_of_a_plan_that_is_known_are_not_read(self, place, changes):
        damaged(self.part(place))
        assert not place.owns(place.layout.output)
        elsewhere = place.layout.generation(NEXT_PLAN)  # so that no document names the folder itself
        if changes == "commit record":
            place.commit(output_path=str(elsewhere))
        given = {
            "plan": {"plan_id": PLAN},
            "published": {"published": published(place.layout, path=elsewhere)},
            "intent": {
                "intent": PublishIntent(
                    plan_id=PLAN, aside_name="", metadata=commit_record(place.layout, output_path=str(elsewhere))
                )
            },
            "commit record": {},
        }
        assert place.owns(place.layout.output, **given[changes])

    def test_parts_of_an_unknown_plan_say_by_their_footers_whose_they_are(self, place):
        parquet(self.part(place), OURS)
        assert place.owns(place.layout.output)
        parquet(self.part(place, 1), OTHER_RUN)
        assert not place.owns(place.layout.output)
        assert not place.owns(place.layout.output, published=published(place.layout, plan_id=NEXT_PLAN))

    def test_one_part_of_a_known_plan_speaks_for_others_that_are_damaged(self, place):
        damaged(self.part(place))
        damaged(self.part(place, 1, NEXT_PLAN))
        assert place.owns(place.layout.output, plan_id=NEXT_PLAN)

    def test_plans_are_told_apart_by_the_whole_of_what_names_have_of_them(self, place):
        damaged(self.part(place))
        assert not place.owns(place.layout.output, plan_id=NEXT_PLAN)

    @pytest.mark.parametrize(("said", "is_own"), [(OURS, True), (OTHER_RUN, False)])
    def test_a_partition_is_ones_own_if_every_generation_in_it_is(self, hive, said, is_own):
        parquet(hive.layout.generation(NEXT_PLAN) / f"part-00000-{NEXT_PLAN[:8]}.parquet", OURS)
        parquet(hive.layout.generation(PLAN) / f"part-00000-{PLAN[:8]}.parquet", said)
        assert hive.owns(hive.layout.output) is is_own

    def test_a_partition_around_what_was_published_is_ones_own(self, hive):
        hive.layout.output.mkdir(parents=True)
        assert not hive.owns(hive.layout.output)
        around = published(hive.layout, path=hive.layout.generation(PLAN))
        assert hive.owns(hive.layout.output, published=around)


class TestCheck:
    def test_what_is_missing_or_ones_own_may_be_replaced(self, place):
        parquet(place.layout.output, OURS)
        place.ownership().check(place.layout.output, place.layout.generation(PLAN))

    def test_the_first_file_of_somebody_else_is_named_and_stays(self, place):
        own = parquet(place.layout.output, OURS)
        first, second = (parquet(place.layout.folder / name, OTHER_RUN) for name in ("a.parquet", "b.parquet"))
        message = place.refusal(own, first, second)
        assert f"{first} is in the way" in message
        assert f"run r of {TABLE.key}" in message
        assert first.exists()

    def test_a_link_on_the_way_is_refused(self, place):
        place.layout.violations.symlink_to(place.layout.folder)
        assert "is a symbolic link" in place.refusal()

    def test_a_commit_record_of_another_run_is_in_the_way(self, place):
        place.commit()
        place.ownership().check()
        place.commit(run_id="s")
        assert f"{place.layout.metadata} is in the way" in place.refusal()

    @pytest.mark.parametrize("known_by", ["published", "intent", "nothing"])
    def test_a_damaged_commit_record_may_be_replaced_where_the_state_knows_of_a_publication(self, place, known_by):
        place.layout.metadata.write_text("{")
        given = {
            "published": {"published": published(place.layout)},
            "intent": {"intent": PublishIntent(plan_id=PLAN, aside_name="", metadata=commit_record(place.layout))},
            "nothing": {},
        }[known_by]
        if given:
            place.ownership(**given).check()
        else:
            assert f"{place.layout.metadata} is in the way" in place.refusal()


class FlatDisk(LocalDisk):
    """A disk that is asked as an object store is: by names of objects, without their kinds."""

    writes = Writes.OBJECTS


class TestObjects:
    def owns(self, place, path):
        return place.ownership(disk=FlatDisk()).owns(path)

    @pytest.mark.parametrize(("said", "is_own"), [(OURS, True), (OTHER_RUN, False)])
    def test_an_object_is_of_the_run_that_its_footer_names(self, place, said, is_own):
        assert self.owns(place, parquet(place.layout.output, said)) is is_own

    @pytest.mark.parametrize(("said", "is_own"), [(OURS, True), (OTHER_RUN, False)])
    def test_a_folder_is_of_the_run_that_its_objects_name(self, place, said, is_own):
        parquet(place.layout.output / f"part-00000-{NEXT_PLAN[:8]}.parquet", said)
        assert self.owns(place, place.layout.output) is is_own

    def test_a_folder_that_is_listed_without_objects_is_in_nobodys_way(self, place):
        assert self.owns(place, place.layout.output)


class TestFindings:
    def test_those_of_this_run_or_nothing_may_be_replaced(self, place):
        place.ownership().check_findings()
        place.layout.violations.write_text(json.dumps({"run_id": "r"}))
        place.ownership().check_findings()

    @pytest.mark.parametrize("text", ['{"run_id": "s"}', "{}", "[]", "notes", "[" * 100_000])
    def test_any_other_file_of_that_name_is_in_the_way(self, place, text):
        place.layout.violations.write_text(text)
        with raises_message(StorageError, "publish.something_is_in_the_way", path=place.layout.violations):
            place.ownership().check_findings()


def test_a_table_of_the_same_folder_under_another_name_is_another_table(place):
    other = TableRef(source_name="shop", schema_name="HR", table_name="orders", path_name="orders")
    path = parquet(place.layout.output, OURS)
    assert place.owns(path)
    assert not place.owns(path, table=other)
