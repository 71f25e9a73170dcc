"""What a job can use in the process that runs it: a source session, progress reports, and a check whether to stop.

Every job that touches a source or big files is one picklable function `work(spec, context)`; the engines decide where
it runs. A process keeps its sessions between jobs, one per source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.config.sections.source import SourceSection
from statekeeper.errors import Interrupted, LoginRefused
from statekeeper.sources.protocol import SourceSession
from statekeeper.sources.registry import open_session


@dataclass(frozen=True)
class JobSource:
    """The source that a job reads. `config` holds credentials."""

    name: str
    config: SourceSection

    @classmethod
    def of(cls, table: ExtractionConfig) -> JobSource:
        """The source of a table. Its `name` is the one by which sessions are counted."""
        return cls(table.login, table.source_here)


class WorkContext(Protocol):
    """The process that runs a job, as the job sees it."""

    memory_limit: str
    """How much memory DuckDB may use in this process, in the form of its `memory_limit` setting."""

    def session(self) -> SourceSession:
        """This process's session with the job's source, opened at the first call."""

    def progress(self, rows: int) -> None:
        """Report that `rows` more rows were read."""

    def check_stop(self) -> None:
        """Raise Interrupted if the job is to stop now; called between batches."""


class Sessions:
    """The open sessions of one process."""

    def __init__(self, memory_limit: str) -> None:
        self._memory_limit = memory_limit
        self._open: dict[str, SourceSession] = {}
        self._refused: dict[str, LoginRefused] = {}

    @property
    def names(self) -> frozenset[str]:
        """The sources with an open session."""
        return frozenset(self._open)

    def get(self, source: JobSource) -> SourceSession:
        """The session with a source. After a refused login no other is tried, since the account might be locked.

        Raises:
            LoginRefused, SourceUnreachable, TransientSourceError: none can be opened.
        """
        name = source.name
        if name in self._refused:
            before = self._refused[name]
            raise LoginRefused(before.message, hint=before.hint, code=before.code)
        if name not in self._open:
            try:
                self._open[name] = open_session(source.config, memory_limit=self._memory_limit)
            except LoginRefused as error:
                self._refused[name] = error
                raise
        return self._open[name]

    def close(self, name: str) -> None:
        """Close the session with a source, if there is one."""
        session = self._open.pop(name, None)
        if session is not None:
            session.close()

    def close_all(self) -> None:
        """Close every session."""
        for name in list(self._open):
            self.close(name)


class ProcessContext:
    """The context of a job in this process; `is_stopping` and `report` connect it to the caller that sent the job."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        memory_limit: str,
        is_stopping: Callable[[], bool],
        report: Callable[[int], None],
        source: JobSource | None = None,
    ) -> None:
        self.memory_limit = memory_limit
        self._sessions = sessions
        self._source = source
        self._is_stopping = is_stopping
        self.progress = report

    def session(self) -> SourceSession:
        assert self._source is not None, "a job that reads is sent with its source"
        return self._sessions.get(self._source)

    def check_stop(self) -> None:
        if self._is_stopping():
            raise Interrupted("stopped between two batches")
