"""The engine itself. The constructor and `hold_session` are what others build on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from statekeeper.engines.local import LocalEngine
from statekeeper.engines.protocol import Job, Result
from statekeeper.engines.spark.session import HeldSession


@dataclass(frozen=True)
class SparkSettings:
    """What a Spark engine is made with.

    `mailbox` is an absolute folder that driver and executors see under one name; the engine makes and removes it, and
    asks of its file system only whole files: no rename, no link, no append. `budgets` is the largest number of sessions
    per source over executors (None: no bound but `parallelism`); a source that is missing is only read on the driver.
    `silence` is how long workers go on without a sign of life of the driver. `secrets` are removed from whatever a
    worker says.
    """

    mailbox: Path
    budgets: Mapping[str, int | None]
    memory_limit: str
    silence: timedelta
    parallelism: int | None = None
    secrets: tuple[str, ...] = ()


class SparkEngine:
    """Chunks and checks of parts on executors; everything else in `control`, worker processes of the driver's machine.

    `open_session` is called once, in a thread, when the first work for a source arrives: a run in which everything is
    complete starts no Spark.
    """

    def __init__(
        self, settings: SparkSettings, *, control: LocalEngine, open_session: Callable[[], HeldSession]
    ) -> None:
        self._settings = settings
        self._control = control
        self._open_session = open_session

    async def run(self, job: Job[Result]) -> Result:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError
