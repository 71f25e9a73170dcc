"""How many objects the parent process keeps for each chunk, as Python's garbage collector counts them.

It stops every thread while it looks through all of them: with 16 a chunk the event loop of a table of 16,000 chunks
heard nothing for a fifth of a second.
"""

from __future__ import annotations

import gc
import json

import pytest

from statekeeper.engines.inline import InlineEngine
from statekeeper.model.base import _canonical
from statekeeper.model.metadata import PublishedFile
from statekeeper.model.packed import Packed
from statekeeper.model.plan import Bound, Chunk, ChunkKind
from statekeeper.runtime.progress import NullReporter
from statekeeper.validate.check_part import check_part
from tests.unit.small_shop import Shop

FEW, MANY = 20, 120
MOST_EACH = 3


class Census(NullReporter):
    """The objects that there are whenever the last chunk is read, the last part is checked, or a state is entered."""

    def __init__(self):
        self.counts = {}

    def take(self, when):
        gc.collect()
        self.counts[when] = len(gc.get_objects())

    def chunk_done(self, key, done, total, *_):
        if done == total:
            self.take("the last chunk is read")

    def table_state(self, key, state, reason):
        self.take(state)


class CountedEngine(InlineEngine):
    def __init__(self, chunks, census):
        super().__init__(memory_limit="100MB")
        self.left, self.census = chunks, census

    async def run(self, job):
        result = await super().run(job)
        if job.work is check_part:
            self.left -= 1
            if not self.left:
                self.census.take("the last part is checked")
        return result


def _census(folder, chunks):
    folder.mkdir()
    shop, census = Shop(folder), Census()
    shop.execute(f"create table orders as select i as id from range({chunks}) r(i)")
    by_key = {"strategy": "key", "column": "id", "target_rows": 1}
    outcome = shop.run(
        {"table_name": "orders", "chunking": by_key},
        reporter=census,
        make_engine=lambda _pipeline: CountedEngine(chunks, census),
    )
    assert (outcome["orders"].outcome, len(shop.metadata().files)) == ("completed", chunks)
    return census.counts


def test_a_chunk_costs_the_parent_few_objects_from_its_plan_to_the_end(tmp_path):
    _census(tmp_path / "warm", FEW)
    few, many = _census(tmp_path / "few", FEW), _census(tmp_path / "many", MANY)
    assert few.keys() == many.keys() >= {"the last chunk is read", "the last part is checked", "complete"}
    each = {when: (many[when] - few[when]) / (MANY - FEW) for when in many}
    assert {when: count for when, count in each.items() if count > MOST_EACH} == {}


def _file(number):
    return PublishedFile(name=f"part-{number:05d}.parquet", rows=number, bytes=1, md5="0" * 32)


def test_packed_values_are_invisible_to_the_collector_and_unpack_equal():
    files = [_file(number) for number in range(1_000)]
    gc.collect()
    before = len(gc.get_objects())
    packed = Packed(PublishedFile, files)
    gc.collect()
    assert len(gc.get_objects()) - before < 10
    assert list(packed) == files
    assert (packed[7], packed[-1], packed[1:3]) == (files[7], files[-1], tuple(files[1:3]))
    with pytest.raises(IndexError):
        packed[1_000]


def test_no_call_of_a_checksum_grows_with_the_document():
    """Each is made by one call, during which no other thread runs."""
    body = {"format": "x", "intent": {"files": [_file(number).model_dump() for number in range(1_000)]}}
    pieces = list(_canonical(body))
    assert json.loads("".join(pieces)) == body
    assert max(map(len, pieces)) < 200


def test_packed_values_are_equal_if_the_values_are():
    def chunks(*texts):
        bounds = [Bound(type="int", text=text) for text in texts]
        return Packed(Chunk, [Chunk(chunk_id=n, kind=ChunkKind.KEY, lower=each) for n, each in enumerate(bounds)])

    later = Bound.model_validate_json('{"type": "int", "text": "1", "a_later_key": 2}')
    same = Packed(Chunk, [Chunk(chunk_id=0, kind=ChunkKind.KEY, lower=later)])
    assert chunks("1") == same
    assert hash(chunks("1")) == hash(same)
    assert '"a_later_key":2' in same[0].model_dump_json()
    assert chunks("1") != chunks("2")
    assert chunks("1") != chunks("1", "2")
