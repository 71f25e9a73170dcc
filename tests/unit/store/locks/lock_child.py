"""A process that takes and uses an extraction's lock, told what to do by lines on its standard input.

acquire         held EPOCH | refused CODE MESSAGE
check           good | lost MESSAGE
save TEXT       saved | lost MESSAGE        the state document replaced under the lock
release         released
stop STEP WHEN  ready                       from now on it stops itself (SIGSTOP) at that failpoint of the state
"""

from __future__ import annotations

import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

from statekeeper.config.sections.output import LockKind
from statekeeper.errors import LockHeld, LockLost
from statekeeper.store.files import failpoints
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.durable import replace
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.locks.holder import ExtractionLock
from statekeeper.store.locks.lock import acquire
from statekeeper.store.process import this_process


def main() -> None:
    folder, kind, ttl = sys.argv[1:]
    layout = ExtractionLayout(folder=Path(folder), run_id="shop-20260101")
    lock: ExtractionLock | None = None
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        try:
            if command == "acquire":
                lock = acquire(
                    LocalDisk(),
                    layout,
                    kind=LockKind(kind),
                    owner=this_process(),
                    ttl=timedelta(seconds=float(ttl)),
                )
                answer = f"held {lock.epoch}"
            elif command == "stop":
                _stop_at(*argument.split(" "))
                answer = "ready"
            else:
                answer = _under(lock, layout, command, argument)
        except LockHeld as error:
            answer = f"refused {error.exit_code} {error}"
        except LockLost as error:
            answer = f"lost {error}"
        print(answer, flush=True)


def _under(lock: ExtractionLock | None, layout: ExtractionLayout, command: str, argument: str) -> str:
    if lock is None:
        return "no lock"
    match command:
        case "check":
            lock.check()
            return "good"
        case "save":
            replace(LocalDisk(), layout.state, argument.encode(), role="state", fence=lock)
            return "saved"
        case "release":
            lock.release()
            return "released"
        case _:
            return f"unknown command {command}"


def _stop_at(step: str, when: str) -> None:
    def hook(*point: str) -> None:
        if point == (step, "state", when):
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    failpoints.install(hook)


if __name__ == "__main__":
    main()
