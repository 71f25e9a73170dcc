"""`renameat2(RENAME_EXCHANGE)`: swaps two names in one atomic step, if the system offers that.

If not, the result is `False`, nothing was changed, and the caller decides what to do instead.
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
    """Swap two existing names; False if the C library, the kernel or the file system has no such operation.

    Raises:
        OSError: the operation exists but failed (a name is missing, no permission).
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
