"""An object as a file that is read from any position: each read is one request for these bytes.

Its end comes with the request that opens it, so a Parquet footer costs no other. A small read asks for a little more,
which the next one may need.
"""

from __future__ import annotations

import io
from collections.abc import Callable

from statekeeper.store.versions import ObjectFile, Version

END_BYTES = 64 << 10
"""So much of its end is read when an object is opened."""
_LEAST_BYTES = 64 << 10
"""A read asks for so many bytes at least."""
_NOTHING = (0, b"")


class Reader(ObjectFile):
    """An object of `size` bytes, the last ones of which are `end`; `fetch` gets a range, from a start and a length."""

    def __init__(self, size: int, version: Version, end: bytes, fetch: Callable[[int, int], bytes]) -> None:
        super().__init__()
        self.size, self.version = size, version
        self._end, self._fetch, self._at = end, fetch, 0
        self._ahead = _NOTHING

    def again(self) -> Reader:
        return Reader(self.size, self.version, self._end, self._fetch)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, fewer than `size` only at the end. Raises OSError."""
        left = max(0, self.size - self._at)
        length = left if size is None or size < 0 else min(size, left)
        if not length:
            return b""
        piece = self._had(length)
        if len(piece) < length:
            fetched = self._fetch(self._at, min(left, max(length, _LEAST_BYTES)))
            piece, self._ahead = fetched[:length], (self._at, fetched) if len(fetched) > length else _NOTHING
        self._at += len(piece)
        return piece

    def _had(self, length: int) -> bytes:
        """The next bytes, if they came with an earlier request; else fewer."""
        for start, piece in ((self.size - len(self._end), self._end), self._ahead):
            if 0 <= self._at - start <= len(piece) - length:
                return piece[self._at - start :][:length]
        return b""

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer, in the stubs
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)
