"""One object that is written in one stream: it goes up in pieces while it grows, and is never held as a whole.

An object that fits into one piece is sent by one request at the end. A larger one is a multipart upload: it appears
when its last request is answered, and nothing of it is seen before. Memory holds the piece that fills and those on
their way. If the writer fails, the upload is aborted; only the death of the process leaves its pieces in the store.
"""

from __future__ import annotations

import errno
import hashlib
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import obstore

from statekeeper.store.objects.errors import store_errors
from statekeeper.store.versions import UploadFile
from statekeeper.system_errors import HintedOSError

if TYPE_CHECKING:
    from obstore import WritableFile
    from obstore.store import ObjectStore

PIECE_BYTES = 8 << 20
_MOST_PIECES = 10_000
"""S3 takes no more pieces for one object."""
_GIVEN_UP = "run again; a lifecycle rule that aborts incomplete uploads must leave them a day"
_TOO_LARGE = "make the chunks of the table smaller: chunking.target_rows"


def md5_of(piece: bytes | bytearray) -> bytes:
    """The md5 of a piece."""
    return hashlib.md5(piece, usedforsecurity=False).digest()


def digest_of(md5s: list[bytes]) -> str:
    """The ETag that S3 gives to an object of pieces with these md5s; one that came as a whole has its md5."""
    if len(md5s) < 2:
        return b"".join(md5s).hex()
    return f"{md5_of(b''.join(md5s)).hex()}-{len(md5s)}"


def lost_upload() -> OSError:
    """What it means if the store does not know an upload at its end."""
    return HintedOSError(errno.EIO, "the store has given up the upload before its end", hint=_GIVEN_UP)


class Upload(UploadFile):
    """The object at `key`, until `finish`; as a context it aborts what was not finished.

    At most `at_once` pieces are on their way.
    """

    def __init__(self, store: ObjectStore, key: str, *, at_once: int) -> None:
        super().__init__()
        self._store, self._key, self._at_once = store, key, at_once
        self._piece = bytearray()
        self._writer: WritableFile | None = None
        self._md5s: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: object) -> int:
        """Take the bytes; when a piece is full and more follow, wait until it can be sent. Raises OSError."""
        rest = memoryview(cast("bytes", data)).cast("B")
        length = len(rest)
        while len(rest):
            if len(self._piece) == PIECE_BYTES:
                self._send()
            room = PIECE_BYTES - len(self._piece)
            self._piece += rest[:room]
            rest = rest[room:]
        self.size += length
        return length

    def finish(self) -> None:
        """Send the rest; the object is there, and durable, when this returns. Raises OSError."""
        if self._writer is None:
            with store_errors():
                obstore.put(self._store, self._key, self._piece, use_multipart=False)
            return
        self._send()
        writer, self._writer = self._writer, None
        with store_errors():
            writer.close()  # aborts the upload if it fails

    @property
    def e_tag(self) -> str | None:
        """The ETag that S3 gives to these bytes in these pieces; None if there is one piece, whose ETag is its md5."""
        return digest_of(self._md5s) if self._md5s else None

    @property
    def digest(self) -> str:
        """The ETag that S3 gives to these bytes, also if there is one piece."""
        return self.e_tag or digest_of([md5_of(self._piece)])

    def _send(self) -> None:
        if len(self._md5s) == _MOST_PIECES:
            most = _MOST_PIECES * PIECE_BYTES >> 30
            raise HintedOSError(errno.EFBIG, f"it has more than {most} GiB, which no store takes", hint=_TOO_LARGE)
        if self._writer is None:
            self._writer = obstore.open_writer(
                self._store, self._key, buffer_size=PIECE_BYTES, max_concurrency=self._at_once
            )
        piece, self._piece = self._piece, bytearray()
        self._md5s.append(md5_of(piece))
        with store_errors():
            self._writer.write(piece)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(Exception):  # the caller's error counts; what is left, the store's lifecycle rule removes
                writer.__exit__(kind or OSError, error or OSError(), None)
