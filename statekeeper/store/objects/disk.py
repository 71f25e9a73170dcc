"""A bucket as a disk: each step is one request or a few, with a failpoint around each that changes something.

Objects appear whole and at once, and stay durably when the store has answered. There are no folders: to make one does
nothing, and a folder exists while an object below it does. So a late worker of a discarded plan can write a part or a
receipt into the staging folder; nothing names it, no reader looks there, and the next run removes it.

A request may have been carried out although its answer was lost. Whoever writes on a condition therefore looks, when
the condition does not hold or no answer came, whether the object is the very one that it wrote.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError, NotSupportedError, PreconditionError

from statekeeper.store.files.disk import Access, Writes
from statekeeper.store.files.failpoints import failpoint
from statekeeper.store.objects.client import bucket_of, client_kind_of, client_of, key_of
from statekeeper.store.objects.errors import after_conflicts, is_unsure, store_errors
from statekeeper.store.objects.reading import END_BYTES, Reader
from statekeeper.store.objects.unfinished import abort_unfinished
from statekeeper.store.objects.upload import PIECE_BYTES, Upload, digest_of, lost_upload, md5_of
from statekeeper.store.versions import ABSENT, Listed, Version, VersionConflict, shows_bytes
from statekeeper.system_errors import HintedOSError

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta, PutResult, UpdateVersion
    from obstore.store import ObjectStore

    from statekeeper.config.sections.storage import StorageConfig

_BLOCK = 1 << 20
_STREAM_BYTES = 64 << 20
"""So many bytes come by one request, which must end within `storage.request_timeout`."""
_COPY_SECONDS = 0.5
_NO_SUCH_RANGE = "416 Range Not Satisfiable"


@dataclass(frozen=True)
class _Head:
    """What the store says of an object; `changed_at` in seconds since 1970."""

    size: int
    version: Version
    changed_at: float
    e_tag: str


@dataclass(frozen=True)
class ObjectStoreDisk:
    """The objects of a bucket, below a base path `/<scheme>:/<bucket>/<prefix>`. It can be pickled."""

    base_path: Path
    storage: StorageConfig

    writes = Writes.OBJECTS

    @property
    def _client(self) -> ObjectStore:
        return client_of(bucket_of(self.base_path), self.storage)

    # What is read

    def read(self, path: Path) -> bytes:
        return self.read_version(path)[0]

    def read_version(self, path: Path) -> tuple[bytes, Version]:
        with store_errors():
            found = obstore.get(self._client, key_of(path))
            return bytes(found.bytes()), self._version_in(found.meta)

    def version(self, path: Path) -> Version:
        try:
            return self._head(path).version
        except FileNotFoundError:
            return ABSENT

    def open(self, path: Path) -> BinaryIO:
        return cast("BinaryIO", self.object(path))

    def object(self, path: Path) -> Reader:
        with store_errors():
            found = self._end_of(path)
        if found is None:
            head = self._head(path)
            start = max(0, head.size - END_BYTES)
            end = self.range(path, start, head.size - start) if head.size else b""
            return Reader(head.size, Version(head.e_tag), end, partial(self.range, path))
        meta, end = found.meta, bytes(found.bytes())
        return Reader(meta["size"], Version(meta["e_tag"] or ""), end, partial(self.range, path))

    def _end_of(self, path: Path) -> GetResult | None:
        """The last bytes of an object, as one request; None if there are none, or the store has no such request."""
        try:
            return obstore.get(self._client, key_of(path), options={"range": {"suffix": END_BYTES}})
        except NotSupportedError:
            return None
        except GenericError as error:
            if _NO_SUCH_RANGE in str(error):
                return None
            raise

    def range(self, path: Path, start: int, length: int) -> bytes:
        """A piece of the content. Raises FileNotFoundError."""
        with store_errors():
            return bytes(obstore.get_range(self._client, key_of(path), start=start, length=length))

    def blocks(self, path: Path, size: int) -> Iterator[bytes]:
        at, total = 0, 1
        while at < total:
            stop = at + _STREAM_BYTES
            span: GetOptions = {"range": (at, stop)} if at else {}  # an empty object has no range
            with store_errors():
                found = obstore.get(self._client, key_of(path), options=span)
                total = found.meta["size"]
                for block in found.stream(min_chunk_size=size):
                    yield bytes(block)
                    at += len(block)
                    if at >= stop:
                        break

    def names(self, path: Path) -> list[str]:
        with store_errors():
            found = obstore.list_with_delimiter(self._client, key_of(path) or None)
        paths = [*(each["path"] for each in found["objects"]), *found["common_prefixes"]]
        return sorted({each.rstrip("/").rpartition("/")[2] for each in paths})

    def listed(self, folder: Path) -> Iterator[Listed]:
        prefix = f"{key_of(folder)}/"
        with store_errors():
            for page in obstore.list(self._client, prefix):
                for each in page:
                    yield Listed(each["path"].removeprefix(prefix), each["size"], Version(each["e_tag"] or ""))

    def exists(self, path: Path) -> bool:
        return self.file_size(path) is not None or self.is_folder(path)

    def is_folder(self, path: Path) -> bool:
        with store_errors():
            return any(page for page in obstore.list(self._client, f"{key_of(path)}/", chunk_size=1))

    def size(self, path: Path) -> int:
        return self._head(path).size

    def file_size(self, path: Path) -> int | None:
        try:
            return self._head(path).size
        except FileNotFoundError:
            return None

    def changed_at(self, path: Path) -> float:
        return self._head(path).changed_at

    def is_proven(self, path: Path, *, size: int, md5: str) -> bool:
        found = self._head(path)
        return found.size == size and shows_bytes(Version(found.e_tag), md5=md5)

    def _head(self, path: Path) -> _Head:
        with store_errors():
            found = obstore.head(self._client, key_of(path))
        return _Head(found["size"], self._version_in(found), found["last_modified"].timestamp(), found["e_tag"] or "")

    def _version_in(self, found: ObjectMeta | PutResult) -> Version:
        version = found[client_kind_of(self.base_path).version]
        assert version, "a store that keeps conditions names a version of every object"
        return Version(version)

    # What is changed

    def write_new(self, path: Path, data: bytes, *, role: str, access: Access = Access.PRIVATE) -> None:
        del access
        try:
            self.replace(path, data, ABSENT, role=role)
        except VersionConflict as error:
            raise FileExistsError(str(path)) from error

    def replace(self, path: Path, data: bytes, over: Version, *, role: str) -> Version:
        failpoint("put", role, "before")
        try:
            with store_errors():
                if over == ABSENT:
                    done = after_conflicts(lambda: obstore.put(self._client, key_of(path), data, mode="create"))
                else:
                    done = obstore.put(self._client, key_of(path), data, mode=self._condition(over))
                failpoint("put", role, "middle")
            written = self._version_in(done)
        except (AlreadyExistsError, PreconditionError) as error:
            found = self._own(path, data)
            if found is None:
                raise VersionConflict(str(path)) from error
            written = found
        except OSError as error:
            found = self._own(path, data) if is_unsure(error) else None
            if found is None:
                raise
            written = found
        failpoint("put", role, "after")
        return written

    def _condition(self, over: Version) -> UpdateVersion:
        return {"version": over} if client_kind_of(self.base_path).version == "version" else {"e_tag": over}

    def _own(self, path: Path, data: bytes) -> Version | None:
        """The version of the object if it has this content: then this process wrote it; else None."""
        try:
            found, version = self.read_version(path)
        except FileNotFoundError:
            return None
        return version if found == data else None

    def write_over(self, path: Path, content: BinaryIO, *, role: str, access: Access = Access.PRIVATE) -> None:
        del access
        with self.upload(path, role=role) as file:
            shutil.copyfileobj(content, file, _BLOCK)

    @contextmanager
    def upload(self, path: Path, *, role: str) -> Iterator[Upload]:
        failpoint("upload", role, "before")
        with Upload(self._client, key_of(path), at_once=self.storage.parallel_uploads) as file:
            yield file
            try:
                file.finish()
                failpoint("upload", role, "middle")
            except OSError as error:
                is_gone = isinstance(error, FileNotFoundError)  # also what the end of an upload says the second time
                if not (is_gone or is_unsure(error)) or not self._arrived(path, file):
                    raise lost_upload() if is_gone else error from None
        failpoint("upload", role, "after")

    def _arrived(self, path: Path, file: Upload) -> bool:
        """Whether the object is there as it was written, although the answer was lost."""
        try:
            found = self._head(path)
        except FileNotFoundError:
            return False
        if found.size != file.size:
            return False
        return found.e_tag.strip('"') == file.digest or self._digest(path, file.size) == file.digest

    def _digest(self, path: Path, size: int) -> str:
        starts = range(0, size, PIECE_BYTES)
        return digest_of([md5_of(self.range(path, at, min(PIECE_BYTES, size - at))) for at in starts])

    def rewrite(self, path: Path, data: bytes) -> None:
        version = self.version(path)
        if version == ABSENT:
            raise FileNotFoundError(str(path))
        try:
            self.replace(path, data, version, role="heartbeat")
        except VersionConflict as error:
            raise FileNotFoundError(str(path)) from error

    def copy(self, source: Path, dest: Path, *, size: int, role: str) -> None:
        failpoint("copy", role, "before")
        if size > client_kind_of(self.base_path).copies_up_to:
            if self.file_size(dest) is not None:
                raise FileExistsError(str(dest))
            self._copy_by_reading(source, dest, role=role)
        else:
            try:
                with store_errors():
                    after_conflicts(lambda: obstore.copy(self._client, key_of(source), key_of(dest), overwrite=False))
            except (AlreadyExistsError, PreconditionError) as error:
                raise FileExistsError(str(dest)) from error
            self._await_copy(dest, size)
        failpoint("copy", role, "after")

    def copy_over(self, source: Path, dest: Path, *, size: int, role: str) -> None:
        failpoint("copy_over", role, "before")
        if size > client_kind_of(self.base_path).copies_up_to:
            self._copy_by_reading(source, dest, role=role)
        else:
            with store_errors():
                obstore.copy(self._client, key_of(source), key_of(dest))
            self._await_copy(dest, size)
        failpoint("copy_over", role, "after")

    def _await_copy(self, dest: Path, size: int) -> None:
        """Wait until a copy that the store makes after its answer is there: an object is empty until then."""
        if not client_kind_of(self.base_path).copies_later:
            return
        deadline = time.monotonic() + self.storage.retry_timeout.total_seconds()
        while self.size(dest) != size:
            if time.monotonic() > deadline:
                raise HintedOSError(errno.EIO, "the store has not ended its copy", hint="run again later")
            time.sleep(_COPY_SECONDS)

    def _copy_by_reading(self, source: Path, dest: Path, *, role: str) -> None:
        with self.upload(dest, role=role) as file:
            for block in self.blocks(source, _BLOCK):
                file.write(block)

    def unlink(self, path: Path, *, role: str) -> None:
        failpoint("delete", role, "before")
        try:
            with store_errors():
                obstore.delete(self._client, key_of(path))
        except FileNotFoundError:
            pass
        failpoint("delete", role, "after")

    def remove_folder(self, path: Path, *, role: str) -> None:
        for page in self._pages(path):
            failpoint("delete", role, "before")
            self._delete(page)
            self._delete_folders(_folders_of(page, key_of(path)))
            failpoint("delete", role, "after")

    def _delete(self, keys: list[str]) -> None:
        try:
            with store_errors():
                obstore.delete(self._client, keys)
        except FileNotFoundError:  # some stores report an object that is gone already, and may leave out others
            for key in keys:
                with suppress(FileNotFoundError), store_errors():
                    obstore.delete(self._client, key)

    def _delete_folders(self, folders: list[str]) -> None:
        """Remove what some stores keep of emptied folders, from the deepest up; others do not know the first."""
        with suppress(FileNotFoundError), store_errors():
            for one in folders if client_kind_of(self.base_path).tells_missing else [folders]:
                obstore.delete(self._client, one)

    def abort_uploads(self, folder: Path, is_own: Callable[[Path], bool]) -> None:
        prefix, timeout = f"{key_of(folder)}/", self.storage.request_timeout
        abort_unfinished(self._client, prefix, lambda key: is_own(folder / key.removeprefix(prefix)), timeout)

    def _pages(self, path: Path) -> list[list[str]]:
        with store_errors():
            return [[each["path"] for each in page] for page in obstore.list(self._client, f"{key_of(path)}/") if page]

    # What a store of objects does not need

    def sync_file(self, file: BinaryIO, *, role: str) -> None:
        """Nothing to do: what the store has answered is durable."""

    def sync_folder(self, path: Path, *, role: str) -> None:
        """Nothing to do: what the store has answered is durable."""

    def make_folder(self, path: Path, *, role: str, access: Access = Access.PUBLISHED) -> None:
        """Nothing to do: a folder exists while it has objects."""

    def make_folders(self, path: Path, names: Iterable[str], *, role: str, access: Access = Access.PUBLISHED) -> None:
        """Nothing to do: a folder exists while it has objects."""

    def remove_if_empty(self, path: Path) -> None:
        if not self.is_folder(path):
            with store_errors(), suppress(FileNotFoundError):
                obstore.delete(self._client, key_of(path))

    # What it cannot do, and is not asked for

    def create(self, path: Path, *, role: str, access: Access = Access.PUBLISHED) -> BinaryIO:
        _not_offered("a file that grows")

    def rename(self, source: Path, dest: Path, *, role: str) -> None:
        _not_offered("rename")

    def exchange(self, first: Path, second: Path, *, role: str) -> bool:
        _not_offered("exchange")

    def link(self, source: Path, dest: Path, *, role: str) -> None:
        _not_offered("link")

    def link_or_copy(self, source: Path, dest: Path, *, role: str) -> None:
        _not_offered("link")


def _folders_of(keys: list[str], top: str) -> list[str]:
    """The folders of these keys from `top` down, the deepest first.

    Some stores (SeaweedFS) keep a folder, and list it, until its own name is removed; for others the name is unknown.
    """
    folders = {
        "/".join(key.split("/")[:depth]) for key in keys for depth in range(top.count("/") + 1, key.count("/") + 1)
    }
    return sorted(folders, key=lambda folder: folder.count("/"), reverse=True)


def _not_offered(step: str) -> NoReturn:
    raise NotImplementedError(f"an object store has no {step}; `writes` says so")
