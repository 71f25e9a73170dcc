"""Operating-system errors as statekeeper's own: a file that cannot be read or written, memory that is used up.

Code that opens a file wraps its errors with `store.files.durable.storage_errors`, which names the file. A system error
that a library raises is converted where a job or a table ends, so that none is reported as unexpected.
"""

from __future__ import annotations

import _thread
import errno
import os
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from statekeeper.errors import OutOfMemory, StatekeeperError, StorageError

MEMORY_HINT = (
    "lower execution.workers, or give the process more memory; for a table with large values (LOBs), a lower "
    "execution.memory_limit also helps"
)
_HINTS = {
    errno.ENOSPC: "free some space there and run again: what was saved before is intact",
    errno.EDQUOT: "the quota is used up; free some space there and run again: what was saved before is intact",
    errno.EACCES: "let this user read and write {folder} and what is in it",
    errno.EPERM: "let this user write to {folder}; some file systems also refuse links",
    errno.EROFS: "the file system is mounted read-only; remount it or choose another output.base_path",
    errno.EIO: "the device reports an error; look at the system log, then run again",
    errno.ENOENT: "{folder} was removed while it was in use; run again",
    errno.EMFILE: "raise the limit of open files (ulimit -n) or lower the number of workers",
    errno.EFBIG: "raise the limit of the file size (ulimit -f)",
    errno.ENAMETOOLONG: "shorten the run id, the pipeline's name or the table's path_name",
    errno.ELOOP: "remove the link, or replace it by what it points to; then run again",
    errno.ESTALE: "the network file system lost the file; run again",
}


_NO_THREAD = "can't start new thread"
"""Python's message where the system allows no further thread."""


class HintedOSError(OSError):
    """A system error that says itself what to do about it."""

    def __init__(self, number: int, reason: str, *, hint: str) -> None:
        super().__init__(number, reason)
        self.hint = hint


def storage_error(error: OSError, path: Path, action: str) -> StorageError:
    """The error for a failed `action` (a verb) on `path`; its code is the errno's name."""
    code = errno.errorcode.get(error.errno or 0, type(error).__name__)
    reason = error.strerror or str(error)
    hint = error.hint if isinstance(error, HintedOSError) else hint_for(error.errno or 0, str(path.parent))
    if error.errno == errno.ELOOP and error.filename is not None:  # may be another file
        reason = f"{os.fsdecode(error.filename)}: {reason}"
    return StorageError(f"cannot {action} {path}: {reason} ({code})", hint=hint, code=code)


def hint_for(number: int, folder: str) -> str:
    """What to do about an errno, on a file in `folder`."""
    return _HINTS.get(number, "look at the file system, then run again").format(folder=folder)


def as_system_error(error: Exception) -> StatekeeperError | None:
    """The error as a system error of ours; None if the system did not cause it."""
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return OutOfMemory("a process of statekeeper ran out of memory", hint=MEMORY_HINT)
    if isinstance(error, RuntimeError) and _NO_THREAD in str(error):
        error = OSError(errno.EAGAIN, f"{os.strerror(errno.EAGAIN)}: a thread cannot be started")
    if not isinstance(error, OSError):
        return None
    if isinstance(error.filename, str | bytes):
        name = error.filename if isinstance(error.filename, str) else error.filename.decode(errors="backslashreplace")
        return storage_error(error, Path(name), "use")
    code = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return StorageError(
        f"the system refused: {error.strerror or error} ({code})",
        discreet=f"the system refused: {error.strerror} ({code})" if error.strerror else f"the system refused ({code})",
        hint=error.hint
        if isinstance(error, HintedOSError)
        else "look at the limits of the process (ulimit -a) and the system log, then run again",
        code=code,
    )


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a library or its loader ran out of memory; each has its own error for that."""
    if isinstance(error, ImportError):
        return any(words in str(error) for words in ("failed to map segment", "annot allocate memory"))
    return type(error).__name__ == "OutOfMemoryException"  # DuckDB's


_THREAD_BEGINS_WITHIN_SECONDS = 10.0


def start_thread(thread: Thread) -> None:
    """Start a thread, or raise in bounded time.

    `Thread.start` waits forever if the new thread runs out of memory before it begins (python/cpython#140746). So a
    helper thread does that waiting. A subclass of Thread is started directly: Spark's copies properties of the thread
    that starts it.

    Raises:
        RuntimeError: the system allows no further thread, or it did not begin within ten seconds.
    """
    if type(thread) is not Thread:
        thread.start()
        return
    started: Future[None] = Future()
    _thread.start_new_thread(_start, (thread, started))
    try:
        started.result(_THREAD_BEGINS_WITHIN_SECONDS)
    except TimeoutError:
        raise RuntimeError("can't start new thread: it does not begin") from None


def _start(thread: Thread, started: Future[None]) -> None:
    try:
        thread.start()
    except BaseException as error:  # noqa: BLE001 - it is raised where the start is waited for
        started.set_exception(error)
    else:
        started.set_result(None)
