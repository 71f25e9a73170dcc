"""The jobs of a run's tables, retried after transient failures by each table's policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.engines.protocol import Engine, Job, Result
from statekeeper.engines.retry import with_retries
from statekeeper.errors import RETRYABLE, FailureKind, StatekeeperError
from statekeeper.runtime.progress import Reporter


@dataclass(frozen=True)
class RetriedJobs:
    """Runs jobs on an engine, and reports a warning before every further attempt."""

    engine: Engine
    reporter: Reporter

    async def run(
        self,
        config: ExtractionConfig,
        job: Job[Result],
        what: str = "",
        *,
        retryable: frozenset[FailureKind] = RETRYABLE,
        before_retry: Callable[[StatekeeperError], None] = lambda _error: None,
    ) -> Result:
        """The result of a job for a table.

        Args:
            config: the configuration of the table, with its retry policy.
            job: the job to run.
            what: what the job does, for the warning, such as "of chunk 3".
            retryable: the kinds of failure that are retried.
            before_retry: called with the error before each further attempt; what it raises is raised instead.

        Raises:
            StatekeeperError: the failure is not retryable, or the last attempt failed.
        """

        def warn(error: StatekeeperError, number: int, seconds: float) -> None:
            before_retry(error)
            attempt = f"attempt {number} {what}".rstrip()
            self.reporter.warning(config.table.key, f"{attempt} failed ({error.message}); again in {seconds:.1f} s")

        return await with_retries(lambda: self.engine.run(job), config.retry, on_retry=warn, retryable=retryable)
