"""The jobs of a run's tables, retried after transient failures by each table's policy.

This is the only place where work is retried, with exponential backoff and jitter.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from statekeeper.config.resolved import ExtractionConfig, RetryPolicy
from statekeeper.engines.protocol import Engine, Job, Result
from statekeeper.errors import RETRYABLE, FailureKind, StatekeeperError
from statekeeper.runtime.progress import Reporter

OnRetry = Callable[[StatekeeperError, int, float], None]
"""Called with the error, the number of the failed attempt, and the seconds until the next attempt."""


async def with_retries(
    attempt: Callable[[], Awaitable[Result]],
    policy: RetryPolicy,
    *,
    on_retry: OnRetry,
    retryable: frozenset[FailureKind] = RETRYABLE,
) -> Result:
    """The result of `attempt`, called up to `policy.attempts` times.

    `on_retry(error, number, seconds)` is called before each wait. Errors that are not `retryable` are raised at once,
    and so is the error of the last attempt.
    """
    number = 1
    while True:
        try:
            return await attempt()
        except StatekeeperError as error:
            if error.kind not in retryable or number >= policy.attempts:
                raise
            seconds = policy.delay(number, random.random()).total_seconds()  # noqa: S311 - jitter is no secret
            on_retry(error, number, seconds)
        await asyncio.sleep(seconds)
        number += 1


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
