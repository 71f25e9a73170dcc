"""What a hook receives, and its result."""

from __future__ import annotations

from typing import Protocol

from pydantic import SecretStr

from statekeeper.model.base import Frozen


class HookEvent(Frozen):
    """What a hook receives. A command's template may use the field names."""

    table: str
    run_id: str
    pipeline: str
    extraction_date: str
    state: str
    reason: str | None = None
    records: int | None = None
    bytes: int | None = None
    output_path: str | None = None
    failure: str | None = None
    failure_kind: str | None = None

    @property
    def sentence(self) -> str:
        """The event as a sentence."""
        why = self.failure or self.reason
        rows = "" if self.records is None else f", {self.records:,} rows"
        return f"{self.run_id} {self.table}: {self.state}{rows}{f' ({why})' if why else ''}"


class HookResult(Frozen):
    """A hook's result. `detail` says what failed or should be fixed, without the webhook's URL; empty on success."""

    hook: str
    is_ok: bool
    detail: str = ""


class HookLike(Protocol):
    """A configured hook: exactly one of `command` and `webhook`, and its timeout in seconds.

    `pass_env` names environment variables that a command gets beyond the usual ones.
    """

    @property
    def command(self) -> str | None: ...

    @property
    def webhook(self) -> SecretStr | None: ...

    @property
    def timeout_seconds(self) -> float: ...

    @property
    def pass_env(self) -> tuple[str, ...]: ...
