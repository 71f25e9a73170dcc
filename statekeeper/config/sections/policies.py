"""The policies of the state machine: retries with backoff, a timeout per state, hooks on entering a state."""

from __future__ import annotations

import shlex
import string
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from statekeeper.config.sections.quantities import Duration, PositiveDuration
from statekeeper.config.sections.section import Name, Section, refusal
from statekeeper.model.hook_event import HookEvent
from statekeeper.model.state import State


class RetryPolicy(Section):
    """How often transient failures are retried, and the wait between attempts."""

    attempts: int = Field(default=5, ge=1, description="how often a chunk is tried in total")
    initial_delay: Duration = Field(
        default=timedelta(seconds=2), description="the longest wait before the second attempt"
    )
    max_delay: Duration = Field(default=timedelta(minutes=5), description="the longest wait before any attempt")

    def delay(self, attempt: int, jitter: float) -> timedelta:
        """How long to wait after failed attempt number `attempt` (from 1).

        Exponential backoff with full jitter: `jitter`, a random number from 0 to 1, times
        `initial_delay * 2 ** (attempt - 1)`, which `max_delay` bounds.
        """
        doubled = self.initial_delay.total_seconds() * 2.0 ** min(attempt - 1, 64)
        return timedelta(seconds=min(doubled, self.max_delay.total_seconds()) * jitter)


class StatePolicy(Section):
    """The policy of one state."""

    timeout: PositiveDuration | None = Field(
        default=None,
        description="how long an extraction may work in the state before it fails, such as 6h; the time that it waits "
        "for a worker, a session, a login or another table is not counted",
    )


def _web_address(address: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(address.get_secret_value())
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        is_usable = False
    if not is_usable:
        raise refusal("an http:// or https:// address")
    return address


def _command(text: str) -> str:
    try:
        check_template(text)
    except ValueError as error:  # its message may quote the command, which may contain a secret
        names = ", ".join(f"{{{name}}}" for name in HookEvent.model_fields)
        raise refusal(
            f"a command with balanced quotes and only {names} in braces (a literal brace is written twice)"
        ) from error
    return text


class Hook(Section):
    """An action when an extraction enters a state: a request or a command, exactly one of them."""

    webhook: Annotated[SecretStr, AfterValidator(_web_address)] | None = Field(
        default=None, description="the address that gets a POST request with the extraction as JSON"
    )
    command: Annotated[Name, AfterValidator(_command)] | None = Field(
        default=None, repr=False, description="a command; {table}, {records} and so on are replaced by their values"
    )
    timeout: PositiveDuration = Field(default=timedelta(seconds=30), description="how long the hook may take")
    pass_env: tuple[Name, ...] = Field(
        default=(),
        description="variables of the environment that a command gets beyond PATH, HOME, TMPDIR, the locale and "
        "STATEKEEPER_*",
    )

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.webhook is None) == (self.command is None):
            raise refusal("either `webhook` or `command`")
        if self.pass_env and self.command is None:
            raise refusal("`pass_env` only with a `command`: a webhook gets no environment")
        return self

    @property
    def timeout_seconds(self) -> float:
        return self.timeout.total_seconds()


class StatePolicies(Section):
    """The `states:` of the configuration."""

    pending: StatePolicy = StatePolicy()
    extracting: StatePolicy = StatePolicy()
    validating: StatePolicy = StatePolicy()
    on_enter: Mapping[State, tuple[Hook, ...]] = Field(
        default_factory=dict, description="per state, the hooks to run when an extraction enters it"
    )

    def timeout(self, state: State) -> timedelta | None:
        """How long an extraction may work in `state`; None: without limit."""
        policies = {State.PENDING: self.pending, State.EXTRACTING: self.extracting, State.VALIDATING: self.validating}
        return policies[state].timeout if state in policies else None

    def hooks(self, state: State) -> tuple[Hook, ...]:
        """The hooks to run when an extraction enters `state`."""
        return self.on_enter.get(state, ())


def check_template(text: str) -> None:
    """Raise ValueError for an invalid command: unbalanced quotes, no word, or an unknown field of the event."""
    words = shlex.split(text)
    if not words:
        raise ValueError("the command is empty")
    known = ", ".join(f"{{{field}}}" for field in HookEvent.model_fields)
    for word in words:
        for _, name, spec, conversion in string.Formatter().parse(word):
            if name is not None and name not in HookEvent.model_fields:
                raise ValueError(f"{{{name}}} is not known; known are {known} (a literal brace is written twice)")
            if spec or conversion:
                raise ValueError(f"{{{name}}} takes no format")
