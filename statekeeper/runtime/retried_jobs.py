"""The jobs of a run's tables, tried again after transient failures as each table's policy says."""

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
    """Runs jobs over an engine; whoever watches the run is warned of every further attempt."""

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
        """The result of a job that is done for a table.

        Args:
            config: the table's; its policy counts.
            job: what is done.
            what: which work it is, for the warning, as in "of chunk 3".
            retryable: the kinds of failure that another attempt may cure.
            before_retry: called with the error before each further attempt; raises what shall pass instead.

        Raises:
            StatekeeperError: another attempt cannot cure it, or the last one failed.
        """

        def warn(error: StatekeeperError, number: int, seconds: float) -> None:
            before_retry(error)
            attempt = f"attempt {number} {what}".rstrip()
            self.reporter.warning(config.table.key, f"{attempt} failed ({error.message}); again in {seconds:.1f} s")

        return await with_retries(lambda: self.engine.run(job), config.retry, on_retry=warn, retryable=retryable)
