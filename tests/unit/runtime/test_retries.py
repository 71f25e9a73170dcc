from __future__ import annotations

import asyncio

import pytest

from statekeeper.config.sections.policies import RetryPolicy
from statekeeper.errors import RETRYABLE, FailureKind, StatekeeperError, error_of
from statekeeper.runtime.retried_jobs import with_retries

POLICY = RetryPolicy.model_validate_json('{"attempts": 3, "initial_delay": "1ms", "max_delay": "2ms"}')


def _run(failures, *, on_retry=lambda *_: None):
    """The result, or the error, of work that fails with `failures` first; and how often it was tried."""
    left = list(failures)
    tried = []

    async def attempt():
        tried.append(1)
        if left:
            raise left.pop(0)
        return "done"

    try:
        return asyncio.run(with_retries(attempt, POLICY, on_retry=on_retry)), len(tried)
    except (StatekeeperError, OSError) as error:
        return error, len(tried)


def _error(kind):
    return error_of(kind, kind.value, hint=None, code=None)


@pytest.mark.parametrize("kind", list(FailureKind))
def test_only_retryable_failures_are_retried(kind):
    error = _error(kind)
    assert _run([error]) == (("done", 2) if kind in RETRYABLE else (error, 1))


def test_the_error_of_the_last_attempt_is_raised():
    errors = [_error(FailureKind.TRANSIENT) for _ in range(3)]
    assert _run(errors) == (errors[-1], 3)


def test_an_error_that_is_not_retryable_ends_the_retries():
    lost = _error(FailureKind.SNAPSHOT_LOST)
    assert _run([_error(FailureKind.TRANSIENT), lost]) == (lost, 2)


def test_a_foreign_exception_is_never_retried():
    error = OSError(110, "Connection timed out")
    assert _run([error]) == (error, 1)


def test_on_retry_is_called_before_every_wait():
    told = []
    _run([_error(FailureKind.WORKER_DIED)] * 2, on_retry=lambda _error, number, wait: told.append((number, wait)))
    assert [number for number, _ in told] == [1, 2]
    assert all(0 <= wait <= 0.002 for _, wait in told)


def test_on_retry_may_raise_another_error():
    def give_up(error, _number, _wait):
        raise error

    error = _error(FailureKind.TRANSIENT)
    assert _run([error], on_retry=give_up) == (error, 1)
