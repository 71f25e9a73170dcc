"""Documents of other versions: those of every released version are read, and keys of later versions are kept.

`0.1/` holds documents as version 0.1 left them in the middle of a publication and after it; only host names and paths
were replaced. A new version adds a folder of its own and changes none.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from statekeeper.errors import NewerVersion, StateDamaged
from statekeeper.model.base import Document
from statekeeper.model.manifest import LastRun, RunManifest
from statekeeper.model.metadata import Metadata, parse_metadata
from statekeeper.model.plan import Plan, RunSnapshot
from statekeeper.model.receipt import CountReceipt, Receipt, RejectsReceipt, SplitReceipt
from statekeeper.model.record import StateRecord
from statekeeper.model.state import State
from statekeeper.store.locks.holder import Holder
from tests.messages import raises_message

_HERE = Path(__file__).parent
_KINDS: dict[str, type[Document]] = {
    "count-receipt": CountReceipt,
    "lock": Holder,
    "manifest": RunManifest,
    "plan": Plan,
    "receipt": Receipt,
    "rejects-receipt": RejectsReceipt,
    "run-snapshot": RunSnapshot,
    "sift-receipt": SplitReceipt,
    "state-complete": StateRecord,
    "state-failed": StateRecord,
    "state-publishing": StateRecord,
}
_RELEASED = sorted(path for path in _HERE.glob("*/*.json") if path.stem in _KINDS)
_ADDED = {"a_later_key": {"nested": [1, "two"]}}


def _sealed(body: dict[str, object]) -> bytes:
    """The document with these keys, and the checksum that goes with them."""
    rest = {key: value for key, value in body.items() if key != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return json.dumps({**rest, "checksum": "sha256:" + hashlib.sha256(text.encode()).hexdigest()}).encode()


def _with_later_keys(value: object) -> object:
    """The document as a later version may write it: with a further key in every object, at any depth."""
    if isinstance(value, list):
        return [_with_later_keys(each) for each in value]
    if isinstance(value, dict):
        return {**{key: _with_later_keys(each) for key, each in value.items()}, **_ADDED}
    return value


def _id(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def test_every_kind_of_document_is_kept_of_every_version():
    for version in (path for path in _HERE.iterdir() if path.is_dir() and path.name[0].isdigit()):
        assert {path.stem for path in version.glob("*.json")} == {*_KINDS, "metadata", "last-run"}


@pytest.mark.parametrize("path", _RELEASED, ids=_id)
def test_a_released_document_is_read_with_every_value(path):
    document = _KINDS[path.stem].from_bytes(path.read_bytes(), where=path.name)
    _assert_kept(json.loads(path.read_bytes()), json.loads(document.to_bytes()))


@pytest.mark.parametrize("path", _RELEASED, ids=_id)
def test_keys_of_a_later_version_are_kept_at_any_depth_and_written_back(path):
    later = _with_later_keys(json.loads(path.read_bytes()))
    # Where keys are names of columns and the like, a further one is a further name.
    if path.stem == "plan":
        for names in (later["reading"]["snapshot"]["identity"], later["reading"]["relation_state"]):
            del names["a_later_key"]
    for snapshot in _snapshots_in(later):
        snapshot["identity"].pop("a_later_key", None)
    for metadata in _metadata_in(later):
        del metadata["columns"]["a_later_key"], metadata["database_types"]["a_later_key"]
    document = _KINDS[path.stem].from_bytes(_sealed(later), where=path.name)
    _assert_kept(later, json.loads(document.to_bytes()))


def test_a_long_document_has_the_checksum_that_one_call_would_give():
    body = json.loads((_HERE / "0.1/plan.json").read_bytes())
    body["chunks"] = [{**body["chunks"][0], **_ADDED, "chunk_id": number} for number in range(250)]
    plan = Plan.from_bytes(_sealed(body), where="plan")
    assert len(plan.chunks) == 250
    written = json.loads(plan.to_bytes())
    assert written["checksum"] == json.loads(_sealed(written))["checksum"]


def _assert_kept(before: object, after: object) -> None:
    """Every value that a document had, it has when it is written again; this version may have added keys."""
    if isinstance(before, list):
        assert isinstance(after, list)
        for one, other in zip(before, after, strict=True):
            _assert_kept(one, other)
    elif isinstance(before, dict):
        assert isinstance(after, dict)
        for key in before.keys() - {"checksum"}:
            _assert_kept(before[key], after[key])
    else:
        assert after == before


def _snapshots_in(value: object) -> list[dict[str, dict[str, object]]]:
    if isinstance(value, list):
        return [found for each in value for found in _snapshots_in(each)]
    if not isinstance(value, dict):
        return []
    own = [value] if "identity" in value else []
    return [*own, *(found for each in value.values() for found in _snapshots_in(each))]


def _metadata_in(value: object) -> list[dict[str, dict[str, object]]]:
    if not isinstance(value, dict):
        return []
    own = [value] if "database_types" in value else []
    return [*own, *(found for each in value.values() for found in _metadata_in(each))]


def test_a_state_keeps_the_keys_of_a_later_version_through_its_transitions():
    body = {**json.loads((_HERE / "0.1/state-failed.json").read_bytes()), **_ADDED}
    record = StateRecord.from_bytes(_sealed(body), where="state")
    moved = record.without_plan(is_snapshot_lost=False).entered(
        State.PENDING, trigger="restart", at=record.history[0].at, owner=record.owner, reason=None
    )
    assert json.loads(moved.with_revision(9).to_bytes())["a_later_key"] == _ADDED["a_later_key"]


def test_keys_of_a_later_version_make_no_table_another_one():
    record = StateRecord.from_bytes((_HERE / "0.1/state-failed.json").read_bytes(), where="state")
    later = type(record.table).model_validate_json(json.dumps({**record.table.model_dump(), **_ADDED}))
    assert later == record.table
    assert hash(later) == hash(record.table)


@pytest.mark.parametrize("path", _RELEASED, ids=_id)
def test_a_higher_version_is_refused_with_both_versions(path):
    body = {**json.loads(path.read_bytes()), "version": 2}
    with raises_message(NewerVersion, "model.newer_version", version=2, newest=1):
        _KINDS[path.stem].from_bytes(_sealed(body), where=path.name)


def test_what_begins_damaged_documents_anew_leaves_those_of_a_higher_version_alone():
    assert not issubclass(NewerVersion, StateDamaged)
    assert NewerVersion.kind is StateDamaged.kind, "reports call both by one name"


@pytest.mark.parametrize("path", sorted(_HERE.glob("*/metadata.json")), ids=_id)
def test_released_metadata_are_read_and_keep_later_keys(path):
    assert parse_metadata(path.read_bytes()).record_count == 4995
    later = Metadata.model_validate_json(json.dumps({**json.loads(path.read_bytes()), **_ADDED}))
    assert json.loads(later.to_bytes())["a_later_key"] == _ADDED["a_later_key"]


def test_metadata_of_a_higher_version_are_refused_with_both_versions():
    body = {**json.loads((_HERE / "0.1/metadata.json").read_bytes()), "schema_version": 2, "files": "elsewhere"}
    with raises_message(NewerVersion, "model.newer_version", document="p_metadata.json", version=2):
        parse_metadata(json.dumps(body).encode(), where="p_metadata.json")


def test_the_released_pointer_to_the_last_run_is_read():
    path = _HERE / "0.1/last-run.json"
    assert LastRun.model_validate_json(path.read_bytes()).run_id == "nightly-20260105"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff\xfe",
        b'{"x": "\\ud800"}',
        b'{"format": "statekeeper.state", "version": 1, "checksum": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'"text"',
        b"[]",
        b"1e999",
        b"9" * 10_000,
        b'{"format": "statekeeper.state", "version": "1"}',
        b'{"format": "statekeeper.state", "version": true}',
        b'{"format": {"deep": ["list"]}}',
    ],
    ids=lambda data: repr(data[:24]),
)
@pytest.mark.parametrize("kind", sorted(set(_KINDS.values()), key=lambda kind: kind.__name__))
def test_whatever_bytes_a_document_has_it_is_damaged_and_nothing_else(kind, data):
    with pytest.raises(StateDamaged) as caught:
        kind.from_bytes(data, where="the file")
    assert not isinstance(caught.value, NewerVersion)
    assert caught.value.message.startswith("the file ")
    assert len(caught.value.message) < 500
    with pytest.raises(StateDamaged):
        parse_metadata(data, where="the file")
