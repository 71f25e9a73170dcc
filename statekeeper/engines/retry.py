"""The only place where work is tried again: transient failures, with exponential backoff and jitter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from statekeeper.config.resolved import RetryPolicy
from statekeeper.errors import RETRYABLE, FailureKind, StatekeeperError

Result = TypeVar("Result")
OnRetry = Callable[[StatekeeperError, int, float], None]
"""Told of an error, the number of the attempt, and how many seconds are waited before the next."""


async def with_retries(
    attempt: Callable[[], Awaitable[Result]],
    policy: RetryPolicy,
    *,
    on_retry: OnRetry,
    retryable: frozenset[FailureKind] = RETRYABLE,
) -> Result:
    """The result of `attempt`, tried up to `policy.attempts` times.

    `on_retry(error, number, seconds)` is told before each wait. Errors of a kind that another attempt cannot cure
    pass at once, as does the error of the last attempt.
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
