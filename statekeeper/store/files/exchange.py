"""`renameat2(RENAME_EXCHANGE)`: two names swapped in one atomic step, where the system has it.

Decides only whether the swap could be done. What to do without it is the caller's decision (`False`, nothing was
touched).
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_OFFERED = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP})


def exchange_names(first: Path, second: Path) -> bool:
    """Swap what two existing names mean; False where the C library, the kernel or the file system cannot.

    Raises:
        OSError: the system can, and refused (a name is missing, no permission).
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NOT_OFFERED:
        return False
    raise OSError(code, os.strerror(code), os.fspath(first), None, os.fspath(second))
