"""Named points around every durable step, at which a test may kill, stop or fail the process.

In production no hook is installed, and a failpoint is one comparison with None. Callers decide which points exist:
`store.files.disk` marks its own steps (write, fsync, rename, exchange, link, unlink, mkdir and so on), other modules
mark theirs (lock, receipt, transition, publish).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Moment = Literal["before", "middle", "after"]
"""`middle` is inside a step that can be half done: half of the bytes are written, half of a folder is removed."""

Hook = Callable[[str, str, str], None]

_hook: Hook | None = None


def failpoint(step: str, role: str, when: Moment) -> None:
    """Call the installed hook, if any: `step` on a file of the kind `role` is about to happen, or has happened."""
    if _hook is not None:
        _hook(step, role, when)


def install(hook: Hook | None) -> None:
    """Call `hook(step, role, when)` at every failpoint of this process; None removes the hook."""
    global _hook  # noqa: PLW0603  # a module global makes a failpoint almost free in production
    _hook = hook
