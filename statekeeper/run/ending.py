"""The one place where the task of a table ends: state, run record, hooks and report all follow from it.

Decides what an error means by its time. Until the table's data is proven complete, an error is a failure. It is saved
in the state, or in the run's record if the state cannot be written or must stay `complete`. Afterwards an error is a
warning, because a published table is never reported as failed. Status and exit code follow from what is saved and
returned here.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.errors import InternalError, LockHeld, LockLost, StatekeeperError
from statekeeper.hints.next_command import quoted
from statekeeper.logs import Redactor
from statekeeper.model.manifest import FoundBy, TableFailure
from statekeeper.model.record import Published, StateRecord, Trigger
from statekeeper.model.state import Failure, State
from statekeeper.run.lifecycle import Lifecycle, follow
from statekeeper.run.report import Outcome, TableReport
from statekeeper.runtime.context import Run
from statekeeper.store.manifest import ManifestChange
from statekeeper.system_errors import as_system_error
from statekeeper.text.privacy import RowValues, name_of, trace_of

_LOG = logging.getLogger("statekeeper.run")


@dataclass
class Ending:
    """How the task of one table ends; `lifecycle` is None until its state is loaded."""

    config: ExtractionConfig
    run: Run
    lifecycle: Lifecycle | None = None
    _proven: Outcome | None = None
    _reason: str | None = None
    _stale: tuple[str, ...] = ()
    _skipped: Published | None = None

    def prove_complete(
        self,
        outcome: Outcome,
        reason: str | None = None,
        *,
        stale: tuple[str, ...] = (),
        published: Published | None = None,
    ) -> None:
        """Declare the table's data complete and published: no later error in this task changes that.

        `stale` names the aspects of its configuration that have changed since; `published` is from its state, if
        `lifecycle` does not have that.
        """
        self._proven, self._reason, self._stale, self._skipped = outcome, reason, stale, published

    @property
    def is_proven(self) -> bool:
        return self._proven is not None

    def withdraw(self) -> None:
        """Declare that the table is extracted again after all."""
        self._proven = None

    async def complete(self) -> TableReport:
        """End the task of a table whose data is proven complete."""
        assert self._proven is not None, "only a table that is proven complete ends well"
        await self._clear_record()
        if self._proven is Outcome.SKIPPED:
            self.run.reporter.table_state(self._key, Outcome.SKIPPED, self._reason)
        if self._stale:
            self.run.reporter.warning(self._key, self._what_is_stale)
        report = self._report(self._proven, self._reason)
        return report.model_copy(update={"stale": self._stale})

    async def after(self, error: Exception | asyncio.CancelledError) -> TableReport:
        """End the task after an error.

        Raises:
            asyncio.CancelledError: the run was interrupted before the table was complete.
        """
        if self._proven is not None:
            if not isinstance(error, asyncio.CancelledError):
                ours = self._as_ours(error)
                self.run.reporter.warning(self._key, f"it is complete; afterwards: {ours.message}")
            return await self.complete()
        match error:
            case asyncio.CancelledError():
                raise error
            case LockHeld() | LockLost():
                return self._held(error)
            case _:
                return await self._failed(self._as_ours(error))

    @property
    def _key(self) -> str:
        return self.config.table.key

    @property
    def _what_is_stale(self) -> str:
        commands = self.run.commands
        again = commands.resume_stale() if commands.config is None else commands.run(table=self._key)
        return (
            f"it is complete, and its configuration has changed since ({', '.join(self._stale)}): "
            f"{quoted(again)} extracts it again"
        )

    @property
    def _published(self) -> Published | None:
        return self.lifecycle.record.published if self.lifecycle else self._skipped

    def _held(self, error: LockHeld | LockLost) -> TableReport:
        self.run.reporter.table_state(self._key, Outcome.HELD, error.message)
        return TableReport(table=self.config.table, outcome=Outcome.HELD, reason=error.message)

    async def _failed(self, error: StatekeeperError) -> TableReport:
        self.run.login_gate.record(self.config.login, error)
        try:
            failure = await self._saved(error)
        except LockLost as lost:
            return self._held(lost)
        if failure is not None:
            await self._clear_record()
        else:
            failure = Failure.of(error, failed_in=self.lifecycle.state if self.lifecycle else State.PENDING)
            try:
                await self._record(failure)
            finally:
                self.run.reporter.table_state(self._key, State.FAILED, error.message)
                self.run.hooks.failed(self.config.table, failure, self._published)
        return self._report(Outcome.FAILED, error.message, failure)

    async def _record(self, failure: Failure) -> None:
        """Save the failure in the run's record, since the state does not have it."""
        found = TableFailure(table=self.config.table, found_by=FoundBy.RUN, at=self.run.clock(), failure=failure)
        self.run.manifest_failures[self.config.table] = found
        await self._update_manifest(lambda manifest: manifest.with_failure(found) if manifest else None)

    async def _clear_record(self) -> None:
        """Remove the table's failure from the run's record: it is complete, or its state has the failure."""
        table = self.config.table
        if self.run.manifest_failures.pop(table, None) is not None:
            await self._update_manifest(lambda manifest: manifest.without_failure(table) if manifest else None)

    async def _update_manifest(self, change: ManifestChange) -> None:
        try:
            await self.run.threads.locks.do(self.run.update_manifest, change)
        except StatekeeperError as error:
            self.run.reporter.warning(self._key, f"the run's record cannot be updated: {error.message}")

    async def _saved(self, error: StatekeeperError) -> Failure | None:
        """Save the failure in the state; None if that is impossible, or if the state is `complete` and stays so.

        Raises:
            LockLost: the state belongs to another runner now.
        """
        lifecycle = self.lifecycle
        if lifecycle is None or lifecycle.state is State.COMPLETE:
            return None
        try:
            if lifecycle.state is State.FAILED:  # it fails again before it could continue
                await follow(
                    self.run, lifecycle, Trigger.RETRY, change=StateRecord.with_new_attempt, reason="tried again"
                )
            failure = Failure.of(error, failed_in=lifecycle.state)
            at = self.run.clock()
            await follow(
                self.run,
                lifecycle,
                Trigger.FAIL,
                change=lambda record: record.failed(failure, at=at),
                reason=error.message,
            )
        except LockLost:
            raise
        except StatekeeperError as unsaved:
            self.run.reporter.warning(self._key, f"its failure cannot be recorded in its state: {unsaved.message}")
            return None
        return failure

    def _report(self, outcome: Outcome, reason: str | None, failure: Failure | None = None) -> TableReport:
        published = self._published
        return TableReport(
            table=self.config.table,
            outcome=outcome,
            reason=reason,
            records=published.records if published else None,
            bytes=published.bytes if published else None,
            output_path=published.output_path if published else None,
            failure=failure,
            remarks=published.remarks if published else (),
            covered_through=published.covered_through if published else None,
        )

    def _as_ours(self, error: Exception) -> StatekeeperError:
        """The error as one of ours; an unexpected one is logged with its traceback, without secrets."""
        known = error if isinstance(error, StatekeeperError) else as_system_error(error)
        if known is not None:
            return known
        without_secrets = Redactor(self.run.pipeline.secrets)
        values = RowValues.of(self._key, private=self.run.pipeline.private_tables)
        trace = without_secrets(trace_of(error, values))
        _LOG.error("unforeseen error\n%s", trace, extra={"table": self._key})
        return InternalError(without_secrets(f"unforeseen error: {name_of(error, values)}"))
