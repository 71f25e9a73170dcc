"""What a hook is told, and what came of it."""

from __future__ import annotations

from typing import Protocol

from pydantic import SecretStr

from statekeeper.model.base import Frozen


class HookEvent(Frozen):
    """What a hook is told. The field names are the names that a command's template may use."""

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
        """The event for a person."""
        why = self.failure or self.reason
        rows = "" if self.records is None else f", {self.records:,} rows"
        return f"{self.run_id} {self.table}: {self.state}{rows}{f' ({why})' if why else ''}"


class HookResult(Frozen):
    """How a hook went. `detail` says what went wrong or should be mended, without the webhook's URL; empty when all is
    well.
    """

    hook: str
    is_ok: bool
    detail: str = ""


class HookLike(Protocol):
    """A configured hook: exactly one of `command` and `webhook`, and the seconds it may take.

    `pass_env` names variables of our environment that a command gets beyond the usual ones.
    """

    @property
    def command(self) -> str | None: ...

    @property
    def webhook(self) -> SecretStr | None: ...

    @property
    def timeout_seconds(self) -> float: ...

    @property
    def pass_env(self) -> tuple[str, ...]: ...
