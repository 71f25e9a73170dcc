"""The `statekeeper` command line in a process that fills its disk before a chosen durable step.

Usage: python full_cli.py BALLAST STEP ROLE WHEN ARGUMENT...   BALLAST is the file that is written until nothing fits.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from statekeeper.cli.app import run_command
from statekeeper.store.files import failpoints


def fill_disk(ballast: Path) -> None:
    """Write `ballast` until its disk has no room for another byte."""
    with ballast.open("ab", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(b"\0" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
        os.fsync(file.fileno())


def main() -> int:
    point = tuple(sys.argv[2:5])

    def hook(*reached: str) -> None:
        if reached == point:
            failpoints.install(None)
            fill_disk(Path(sys.argv[1]))

    failpoints.install(hook)
    return run_command(sys.argv[5:])


if __name__ == "__main__":
    sys.exit(main())
