"""Named points around every durable step, at which a test may kill, stop or fail the process.

Decides only that they exist. In production no hook is installed and a failpoint is one comparison with None. Which
points there are is up to the callers: `store.files.disk` marks its own steps (write, fsync, rename, exchange, link,
unlink, mkdir, lock and so on), and others mark theirs (receipt, transition, publish).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Moment = Literal["before", "middle", "after"]
"""`middle` is inside a step that can stop half done: half of the bytes written, half of a folder removed."""

Hook = Callable[[str, str, str], None]

_hook: Hook | None = None


def failpoint(step: str, role: str, when: Moment) -> None:
    """Tell the installed hook, if any, that `step` on a file of the kind `role` is about to happen or has happened."""
    if _hook is not None:
        _hook(step, role, when)


def install(hook: Hook | None) -> None:
    """Make `hook(step, role, when)` run at every failpoint of this process; None takes it away again."""
    global _hook  # noqa: PLW0603  # a module global is what makes a failpoint free in production
    _hook = hook
