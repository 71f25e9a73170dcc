"""A disk that loses, in a crash, everything that was not synced: the most forgetful one that POSIX allows.

What is durable is kept in an image, a folder outside of the tree that is watched, so that the image outlives the
process and is shared by all processes that write through a `LossyDisk` of the same root and image. An fsync of a file
records its bytes, an fsync of a folder its entries (name and inode). `crash` rebuilds the real tree from the image
alone:

- a file whose name is durable but whose bytes were never synced is empty;
- bytes written since the last fsync are gone;
- names made since the last sync of their folder are gone, names taken away or renamed since are back.

An inode is known by a mark in its extended attributes, which follows it through renames, links and exchanges and,
unlike an inode number, is not given to another file later. Nothing else is watched: modes and times do not survive a
crash.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from statekeeper.store.files.disk import LocalDisk

_MARK = "user.statekeeper.inode"


class LossyDisk(LocalDisk):
    """A local disk below `root` that can crash. What is there when the image is new counts as durable."""

    def __init__(self, root: Path, image: Path) -> None:
        super().__init__()
        self._root = root.resolve()
        self._image = image.resolve()
        if self._image.is_relative_to(self._root):
            raise ValueError(f"the image {image} lies in the tree that a crash rebuilds")
        if not self._image.exists():
            self._image.mkdir(parents=True)
            self._adopt(self._root)

    def write_back(self) -> None:
        """Make durable all that is there, as the system may at any time without being asked."""
        self._adopt(self._root)

    def crash(self) -> None:
        """Lose what was not synced."""
        for child in self._root.iterdir():
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            else:
                child.unlink()
        self._restore(self._root, _mark(self._root), {})

    def _fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            if path.is_relative_to(self._root):
                self._record_folder(path)
        else:
            # Through /proc also for a file that has been unlinked, or that is open for writing only.
            self._record_file(Path(f"/proc/self/fd/{descriptor}"))

    def _adopt(self, folder: Path) -> None:
        for child in folder.iterdir():
            if child.is_dir():
                self._adopt(child)
            else:
                self._record_file(child)
        self._record_folder(folder)

    def _record_file(self, path: Path) -> None:
        self._keep(f"{_mark(path)}.bytes", path.read_bytes())

    def _record_folder(self, folder: Path) -> None:
        entries: dict[str, dict[str, str]] = {}
        for child in folder.iterdir():
            try:
                entries[child.name] = {"kind": "folder" if child.is_dir() else "file", "inode": _mark(child)}
            except FileNotFoundError:  # another process has just taken it away
                continue
        self._keep(f"{_mark(folder)}.json", json.dumps(entries).encode())

    def _keep(self, name: str, data: bytes) -> None:
        temp = self._image / f"{uuid.uuid4().hex}.tmp"
        temp.write_bytes(data)
        temp.replace(self._image / name)

    def _restore(self, folder: Path, inode: str, seen: dict[str, Path]) -> None:
        recorded = self._image / f"{inode}.json"
        entries = json.loads(recorded.read_bytes()) if recorded.exists() else {}
        for name, entry in entries.items():
            child = folder / name
            before = seen.setdefault(entry["inode"], child)
            if entry["kind"] == "folder":
                child.mkdir()
                # Moved from one folder to another of which only the new one was synced, it is in both: as two folders.
                _set_mark(child, entry["inode"] if before == child else uuid.uuid4().hex)
                self._restore(child, entry["inode"], seen)
            elif before == child:
                content = self._image / f"{entry['inode']}.bytes"
                child.write_bytes(content.read_bytes() if content.exists() else b"")
                _set_mark(child, entry["inode"])
            else:
                os.link(before, child)
        self._record_folder(folder)


def _mark(path: Path) -> str:
    try:
        return os.getxattr(path, _MARK).decode()
    except FileNotFoundError:
        raise
    except OSError:  # no mark yet; of two processes that make one at once, one wins
        with suppress(FileExistsError):
            os.setxattr(path, _MARK, uuid.uuid4().hex.encode(), os.XATTR_CREATE)
        return os.getxattr(path, _MARK).decode()


def _set_mark(path: Path, inode: str) -> None:
    os.setxattr(path, _MARK, inode.encode())
