from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from statekeeper.engines.spark.packing import MIN_ROWS, ROWS_OF_AN_ITEM, PackedSlot, Packing, share

ITEMS = st.lists(st.tuples(st.sampled_from([None, "a", "b"]), st.integers(0, 3 * MIN_ROWS)), max_size=40)


def _packed(items, *, slots, room, share_rows=MIN_ROWS):
    """Add the items that fit; returns the packing and the remaining items."""
    packing = Packing(slots=slots, room=room, share_rows=share_rows)
    left = []
    for number, (source, rows) in enumerate(items):
        if packing.can_take(source):
            packing.put(number, source=source, rows=rows)
        else:
            left.append(number)
    return packing, left


@given(ITEMS, st.integers(0, 5), st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 3)))
def test_nothing_is_packed_twice_or_lost_and_no_source_has_more_slots_than_sessions(items, slots, room):
    packing, left = _packed(items, slots=slots, room=room)
    packed = [number for slot in packing.packed for number in slot.items]
    assert sorted(packed + left) == list(range(len(items)))
    assert len(packing.packed) <= slots
    assert all(slot.items for slot in packing.packed)
    for source, most in room.items():
        used = [slot for slot in packing.packed if any(items[number][0] == source for number in slot.items)]
        assert len(used) <= most
        assert all(source in slot.sources for slot in used)


@given(ITEMS, st.integers(1, 5))
def test_a_slot_is_filled_up_to_its_share_and_by_no_more_than_one_item_over_it(items, slots):
    packing, _ = _packed(items, slots=slots, room={})
    for slot in packing.packed:
        before_the_last = slot.rows - items[slot.items[-1]][1] - ROWS_OF_AN_ITEM
        assert before_the_last < MIN_ROWS


def test_a_hundred_small_tables_are_spread_over_all_slots_at_once():
    packing, left = _packed([("a", 100)] * 100, slots=4, room={}, share_rows=share(10_000, 4))
    assert left == []
    assert {len(slot.items) for slot in packing.packed} == {25}


def test_a_large_table_is_divided_by_halves_so_that_slots_end_together():
    chunks = [("a", 1_000_000)] * 64
    packing, left = _packed(chunks, slots=4, room={}, share_rows=share(64_000_000, 4))
    assert {len(slot.items) for slot in packing.packed} == {8}
    assert len(left) == 32


def test_a_source_of_one_session_uses_one_slot_and_leaves_the_others_free():
    packing, left = _packed([("a", 10), ("b", 10), ("a", 10), ("b", 10)], slots=3, room={"a": 1})
    assert left == []
    assert sum("a" in slot.sources for slot in packing.packed) == 1


def test_a_source_without_free_sessions_waits():
    packing, left = _packed([("a", 10), ("b", 10)], slots=2, room={"a": 0})
    assert left == [0]
    assert packing.has_space


def test_idle_slots_are_filled_first_and_with_jobs_of_their_open_sessions():
    idle = [PackedSlot(number=7, sources={"a"}), PackedSlot(number=8, sources={"b"})]
    packing = Packing(slots=3, room={"a": 1}, share_rows=MIN_ROWS, packed=idle)
    for number, source in enumerate("bab"):
        assert packing.can_take(source)
        packing.put(number, source=source, rows=10)
    assert [(slot.number, slot.items) for slot in packing.packed] == [(7, [1]), (8, [0]), (None, [2])]


def test_idle_slots_take_what_they_can_if_no_slot_may_be_opened():
    packing = Packing(slots=1, room={"a": 1, "b": 0}, share_rows=MIN_ROWS, packed=[PackedSlot(7, {"a"})])
    assert not packing.can_take("b")
    for number in range(3):
        packing.put(number, source="a", rows=10)
    assert packing.packed[0].items == [0, 1, 2]
