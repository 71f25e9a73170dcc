"""A part goes up in one stream: in pieces, never held as a whole, proven by the store's own checksum, or not there."""

from __future__ import annotations

import errno
import hashlib
import tempfile
import urllib.request

import obstore
import pytest

from statekeeper.errors import StorageError
from statekeeper.store.files import failpoints
from statekeeper.store.files.durable import streamed_once
from statekeeper.store.objects import disk as disk_module
from statekeeper.store.objects import upload as upload_module
from statekeeper.store.objects.client import ClientKind
from statekeeper.store.versions import e_tag_of, shows_bytes
from tests.messages import raises_message
from tests.unit.store.objects.disks import BASE, memory_disk

PART = BASE / "part"
S3_LOGIN = "AWS4-HMAC-SHA256 Credential=key/20260106/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
"""The server looks at the service in it, and believes the rest."""


@pytest.fixture
def memory(monkeypatch):
    return memory_disk(monkeypatch)


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of 100 bytes."""
    for module in (disk_module, upload_module):
        monkeypatch.setattr(module, "PIECE_BYTES", 100)


def unfinished_uploads(server):
    """The number of uploads that the server knows; None if it does not tell."""
    if server.name != "moto":
        return None
    asked = urllib.request.Request(f"{server.address}/lake?uploads", headers={"Authorization": S3_LOGIN})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return answer.read().count(b"<UploadId>")


def test_a_part_goes_up_while_it_is_written_and_appears_at_its_end(disk, server, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")  # no copy of it is on this machine
    data, part = bytes(range(256)) * (70 << 10), disk.base_path / "part"  # two pieces and a half
    with streamed_once(disk, part, role="part", unique="1") as file:
        for start in range(0, len(data), 1_000_003):
            file.write(data[start : start + 1_000_003])
        assert len(file._piece) <= upload_module.PIECE_BYTES
        assert unfinished_uploads(server) in {1, None}
        assert not disk.exists(part)
    assert unfinished_uploads(server) in {0, None}
    assert b"".join(disk.blocks(part, 1 << 20)) == data
    size, md5, e_tag = len(data), hashlib.md5(data).hexdigest(), e_tag_of(file)
    assert e_tag.endswith("-3")
    has_checksums = server.name != "azurite"
    assert shows_bytes(disk.version(part), md5=md5, e_tag=e_tag) is has_checksums
    assert not disk.is_proven(part, size=size, md5=md5)  # md5s of pieces do not show the md5 of the whole
    copy = disk.base_path / "copy"
    disk.copy(part, copy, size=size, role="t")
    assert disk.is_proven(copy, size=size, md5=md5) is has_checksums
    assert not disk.is_proven(copy, size=size, md5=hashlib.md5(b"").hexdigest())
    with pytest.raises(FileExistsError):
        disk.copy(part, copy, size=size, role="t")


def test_a_small_part_is_one_request(disk, server):
    with streamed_once(disk, disk.base_path / "part", role="part", unique="1") as file:
        file.write(b"12345")
    assert e_tag_of(file) is None
    md5 = hashlib.md5(b"12345").hexdigest()
    assert disk.is_proven(disk.base_path / "part", size=5, md5=md5) is (server.name != "azurite")


def test_a_part_that_fails_leaves_no_object_and_no_unfinished_upload(disk, server):
    def write():
        with streamed_once(disk, disk.base_path / "part", role="part", unique="1") as file:
            file.write(bytes(upload_module.PIECE_BYTES + 1))
            assert unfinished_uploads(server) in {1, None}
            raise ValueError("of the source")

    with pytest.raises(ValueError, match="of the source"):
        write()
    assert unfinished_uploads(server) in {0, None}
    assert not disk.exists(disk.base_path / "part")


def test_an_upload_whose_answer_is_lost_is_looked_for_and_one_that_was_not_made_is_an_error(memory, small_pieces):
    def fail(when):
        def hook(step, role, moment):
            if (step, role, moment) == ("upload", "part", when):
                raise OSError(errno.EIO, "the store does not answer")

        failpoints.install(hook)

    try:
        fail("middle")
        for size in (40, 240):
            with streamed_once(memory, PART, role="part", unique="1") as file:
                file.write(bytes(size))
            assert memory.read(PART) == bytes(size)
            memory.unlink(PART, role="t")
        fail("before")
        with pytest.raises(StorageError), streamed_once(memory, PART, role="part", unique="1"):
            pass
    finally:
        failpoints.install(None)
    assert memory.names(BASE) == []


def test_what_no_store_takes_is_refused_with_what_to_do(memory, small_pieces, monkeypatch):
    monkeypatch.setattr(upload_module, "_MOST_PIECES", 3)
    with (
        raises_message(StorageError, "objects.too_large") as error,
        streamed_once(memory, PART, role="part", unique="1") as file,
    ):
        file.write(bytes(301))
    assert "chunking.target_rows" in error.value.hint
    assert memory.names(BASE) == []


def test_what_the_store_does_not_copy_is_read_and_written(memory, small_pieces, monkeypatch):
    data = bytes(range(250))
    with streamed_once(memory, PART, role="part", unique="1") as file:
        file.write(data)
    monkeypatch.setattr(disk_module, "client_kind_of", lambda _path: ClientKind(lambda *_: None, copies_up_to=249))
    monkeypatch.setattr(obstore, "copy", lambda *_, **__: pytest.fail("it is too large"))
    copy = BASE / "copy"
    memory.copy(PART, copy, size=250, role="t")
    assert memory.read(copy) == data
    with pytest.raises(FileExistsError):
        memory.copy(PART, copy, size=250, role="t")
    memory.copy_over(PART, copy, size=250, role="t")
    assert memory.read(copy) == data


def test_a_large_object_is_read_by_several_requests(memory, monkeypatch):
    monkeypatch.setattr(disk_module, "_STREAM_BYTES", 100)
    for size in (0, 1, 100, 250):
        memory.write_new(BASE / f"{size}", bytes(range(size)), role="t")
        assert b"".join(memory.blocks(BASE / f"{size}", 30)) == bytes(range(size))
