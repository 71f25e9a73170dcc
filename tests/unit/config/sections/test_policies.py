import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from statekeeper.config.sections.dates import resolve_date
from statekeeper.config.sections.policies import Hook, RetryPolicy, StatePolicies
from statekeeper.model.state import State

SECONDS = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=30))


def test_the_wait_doubles_until_it_is_bounded():
    policy = RetryPolicy(initial_delay=timedelta(seconds=2), max_delay=timedelta(seconds=10))
    assert [policy.delay(attempt, 1.0).total_seconds() for attempt in (1, 2, 3, 4, 5000)] == [2, 4, 8, 10, 10]


@given(SECONDS, SECONDS, st.integers(1, 10_000), st.floats(0, 1))
def test_the_wait_is_a_share_of_a_bounded_delay(initial, longest, attempt, jitter):
    policy = RetryPolicy(initial_delay=initial, max_delay=longest)
    assert timedelta() <= policy.delay(attempt, jitter) <= longest
    assert policy.delay(attempt, 0.0) == timedelta()
    assert policy.delay(attempt, jitter) <= policy.delay(attempt, 1.0) <= policy.delay(attempt + 1, 1.0)


def test_states_have_timeouts_and_hooks():
    policies = StatePolicies.model_validate_json(
        '{"extracting": {"timeout": "6h"}, "on_enter": {"complete": [{"command": "notify {table}", "timeout": "5s"}]}}'
    )
    assert policies.timeout(State.EXTRACTING) == timedelta(hours=6)
    assert policies.timeout(State.PENDING) is None
    assert policies.timeout(State.COMPLETE) is None
    assert policies.hooks(State.FAILED) == ()
    (hook,) = policies.hooks(State.COMPLETE)
    assert (hook.command, hook.timeout_seconds) == ("notify {table}", 5.0)


@pytest.mark.parametrize("text", ["{}", '{"webhook": "https://x.org", "command": "y"}', '{"webhook": "ftp://x.org"}'])
def test_a_hook_is_one_request_or_one_command(text):
    with pytest.raises(ValidationError):
        Hook.model_validate_json(text)


def test_a_hook_never_shows_its_secret():
    webhook = Hook.model_validate_json('{"webhook": "https://x.org/hunter2"}')
    command = Hook.model_validate_json('{"command": "notify hunter2"}')
    for shown in (repr(webhook), str(webhook), webhook.model_dump_json(), repr(command), str(command)):
        assert "hunter2" not in shown


def test_a_date_is_a_day_or_a_word():
    today = date(2026, 3, 1)
    assert resolve_date("today", today=today) == today
    assert resolve_date("yesterday", today=today) == date(2026, 2, 28)
    assert resolve_date("2024-02-29", today=today) == date(2024, 2, 29)


@pytest.mark.parametrize("text", ["", "20260301", "2026-3-1", "2026-02-29", "tomorrow", "2026-W01-1"])
def test_what_is_no_date_is_refused(text):
    with pytest.raises(ValueError, match=r"2026|day|date|month"):
        resolve_date(text, today=date(2026, 3, 1))


@pytest.mark.parametrize("command", ["notify {tabel}", "notify 'half", "notify {0}", "notify {table:>9}", "notify {"])
def test_a_command_that_could_never_be_run_is_refused_without_being_shown(command):
    with pytest.raises(ValidationError) as caught:
        Hook.model_validate_json(json.dumps({"command": command}))
    assert "{table}" in str(caught.value)
    assert command not in str(caught.value)
