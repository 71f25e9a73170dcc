"""One table's way through the states in one run.

Decides what a run does in each state, and which trigger follows. The transition table is in
`statekeeper.run.lifecycle`, the first step in `statekeeper.run.resume`, the end in `statekeeper.run.ending`, and the
work of each state in the modules that this one calls. Everything here runs in the parent process, which is the only
writer of state. Blocking calls run in the run's threads, one step at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar, assert_never

from statekeeper.config.resolved import ExtractionConfig, OnSnapshotLost
from statekeeper.engines.context import JobSource
from statekeeper.engines.protocol import Job
from statekeeper.errors import (
    LockLost,
    SnapshotLost,
    StateDamaged,
    StateTimeout,
    StorageError,
)
from statekeeper.extract.run_chunks import run_chunks
from statekeeper.model.plan import Plan, Snapshot
from statekeeper.model.record import PublishIntent, StateRecord, Trigger
from statekeeper.model.state import State
from statekeeper.model.table import Position, Scope
from statekeeper.plan.compared import verify_compared, why_compared_otherwise, with_mark
from statekeeper.plan.coverage import Coverage
from statekeeper.plan.make_plan import make_plan
from statekeeper.plan.plan_spec import spec_of_plan, windows_of
from statekeeper.plan.taken_window import taken_window
from statekeeper.publish.commit_record import intent_of, published_by
from statekeeper.publish.ownership import Ownership
from statekeeper.publish.publisher import Publisher
from statekeeper.publish.table_publication import publication_of, sweep_leftovers
from statekeeper.publish.unchanged import digest_of_published
from statekeeper.run.ending import Ending
from statekeeper.run.lifecycle import Change, Lifecycle, follow
from statekeeper.run.own_time import OwnTimeExceeded, own_time_limit
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess, find_record, first_record, resume_decision
from statekeeper.run.skip import renew_digest
from statekeeper.run.uncovered import uncovered_rows
from statekeeper.runtime.active_plan import ActivePlan
from statekeeper.runtime.context import Run
from statekeeper.runtime.fingerprint import DRIFT, fingerprint_of, kept_fingerprint
from statekeeper.schemas.model.load import load_model
from statekeeper.store.documents import load_plan, save_plan
from statekeeper.store.files.temps import sweep_all_temps
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.locks.holder import ExtractionLock
from statekeeper.store.registry import state_store
from statekeeper.store.staging import Staging
from statekeeper.store.state import StateStore
from statekeeper.validate.judgement import judge
from statekeeper.validate.keys.run import announce_published, announce_skipped
from statekeeper.validate.validate_staged import DamagedPart, check_staged
from statekeeper.verify import VerifySpec, damage_of_published

P = ParamSpec("P")
Value = TypeVar("Value")


@dataclass
class TableRun:
    """The run of one table, whose lock is held."""

    config: ExtractionConfig
    run: Run
    layout: ExtractionLayout
    lock: ExtractionLock
    ending: Ending
    lifecycle: Lifecycle = field(init=False)
    fingerprint: str = field(init=False)
    redone: int = 0
    is_swept: bool = False
    """Whether the staging of every plan is removed, and no plan was made since."""

    async def execute(self, reprocess: Reprocess) -> None:
        """Bring the table to `complete`, and tell `ending`. Every error is raised."""
        await self._blocking(self._open)
        first = await resume_decision(
            self.config, self.run, self.record, fingerprint=self.fingerprint, reprocess=reprocess
        )
        if first.trigger is None and self.record.state is State.COMPLETE:
            self.ending.prove_complete(Outcome.SKIPPED, "complete and verified", stale=first.stale)
        await self._tidy()
        if self.ending.is_proven:
            await announce_skipped(self.config, self.run, self.layout)
            await renew_digest(self.config, self.run, self.layout, self.lifecycle)
            return
        if first.trigger is not None:
            await self._fire(first.trigger, change=_on_first_step(first.trigger), reason=first.reason)
        while self.record.state is not State.COMPLETE:
            async with self._time_limit(self.record.state):
                await self._work_of(self.record.state)

    @property
    def record(self) -> StateRecord:
        return self.lifecycle.record

    @property
    def key(self) -> str:
        return self.config.table.key

    @property
    def _ownership(self) -> Ownership:
        return Ownership(self.run.disk, self.layout, self.record)

    @property
    def staging(self) -> Staging:
        assert self.record.plan_id is not None, "only a state with a plan has a staging folder"
        return self.layout.staging(self.record.plan_id)

    async def _blocking(self, step: Callable[P, Value], *arguments: P.args, **options: P.kwargs) -> Value:
        return await self.run.threads.disk.do(step, *arguments, **options)

    def _open(self) -> None:
        """Load the state, or save the first one; then load the model, so that the state can record its failure."""
        store = state_store(self.run.disk, self.layout.state, self.lock)
        found = find_record(store, self.config, self.run)
        try:
            model = load_model(self.config.model, base=self.run.model_folder)
            self.fingerprint = fingerprint_of(self.config, model)
        except Exception:
            self._begin(store, found, fingerprint_of(self.config, None))
            raise
        self._begin(store, found, self.fingerprint)

    def _begin(self, store: StateStore, found: StateRecord | None, fingerprint: str) -> None:
        record = found or first_record(self.config, self.run, fingerprint=fingerprint)
        self.lifecycle = Lifecycle(record, save=store.save, owner=self.run.owner, clock=self.run.clock)
        if found is None:
            self.lifecycle.amend(lambda first: first)
        self.ending.lifecycle = self.lifecycle

    async def _why_outdated(self, snapshot: Snapshot | None) -> str | None:
        return await self._blocking(self.run.snapshots.why_outdated, self.config, snapshot)

    async def _why_compared_otherwise(self, plan: Plan) -> str | None:
        return await self._blocking(why_compared_otherwise, plan, self.config, self.run)

    async def _damage_of_published(self) -> str | None:
        """The damage, if any, of a dataset that an earlier run may have published before it died."""
        return await damage_of_published(
            self.config, self.run, VerifySpec(self.layout, None, self.config.verify, self.run.disk)
        )

    async def _tidy(self) -> None:
        """Remove leftovers of earlier runs."""
        is_complete = self.record.state is State.COMPLETE
        live = None if is_complete else self.record.plan_id
        try:
            own = self._ownership if is_complete else None
            await self._blocking(sweep_leftovers, self.config, self.run, self.record, self.lock, live, own)
            self.is_swept = live is None
        except StorageError as error:  # leftovers are no reason to fail a table, least of all a complete one
            self.run.reporter.warning(self.key, f"leftovers stay until the next run: {error.message}")

    async def _work_of(self, state: State) -> None:
        match state:
            case State.PENDING:
                await self._plan()
            case State.EXTRACTING:
                await self._extract()
            case State.VALIDATING:
                await self._validate()
            case State.COMPLETE | State.FAILED:
                raise AssertionError(f"there is no work in {state}")
            case _ as never:
                assert_never(never)

    async def _plan(self) -> None:
        config, run = self.config, self.run
        await run.login_gate.ensure(config)
        run.extracted.withdraw(config.table)
        if not self.is_swept:
            known = await self._blocking(sweep_leftovers, config, run, self.record, self.lock, None, None)
            if known != self.record:
                await self._blocking(self.lifecycle.amend, lambda _: known)
        self.is_swept = False
        await self._blocking(self._ownership.check, *self.layout.replaced)  # better now than after hours of reading
        run_snapshot = await run.snapshots.of(config)
        spec = await spec_of_plan(config, run, self.record, fingerprint=self.fingerprint, run_snapshot=run_snapshot)
        try:
            plan = await run.jobs.run(config, Job(self.key, make_plan, spec, source=JobSource.of(config)))
        except SnapshotLost as error:
            await self._after_lost_snapshot(error)
            return
        run.engine.expect_chunks()  # while the plan is saved
        plan = await self._blocking(with_mark, plan, config, run, spec.coverage)
        for note in plan.notes:
            run.reporter.warning(self.key, note)
        policies = {DRIFT} if any(change.is_by_policy for change in plan.drift) else set()
        if not await self._blocking(self._take_window, plan.reading.scope, spec.coverage):
            return  # another run has taken a window of this table meanwhile: the plan is made again
        await self._blocking(self._save_plan, plan)
        at = run.clock()
        await self._fire(
            Trigger.START,
            change=lambda record: record.planned(
                plan_id=plan.plan_id,
                chunks_total=len(plan.chunks),
                scope=plan.reading.scope,
                fingerprint=kept_fingerprint(self.fingerprint, policies=policies),
                at=at,
            ),
        )

    def _take_window(self, scope: Scope, decided_by: Coverage) -> bool:
        """Write down which window is about to be read; False if `decided_by` does not hold any more."""
        config = self.config
        if config.incremental is None:
            return True
        taken = taken_window(scope, self.run.run_id, self.run.extraction_date, config.incremental.column)
        if taken is None:
            return True
        if not windows_of(config, self.run).take(taken, decided_by=decided_by):
            return False
        for warning in uncovered_rows(Coverage.of((*decided_by.taken, taken)), config, self.run):
            self.run.reporter.warning(self.key, warning)
        return True

    def _covered_through(self, scope: Scope) -> Position | None:
        """Up to where complete extractions have every value of the incremental column, once this one is published."""
        config = self.config
        if config.incremental is None:
            return None
        own = taken_window(scope, self.run.run_id, self.run.extraction_date, config.incremental.column)
        return windows_of(config, self.run).coverage().with_complete(own).through if own else None

    def _save_plan(self, plan: Plan) -> None:
        self.lock.check()  # a process that lost its lock while it planned saves no plan
        save_plan(self.run.disk, self.layout.staging(plan.plan_id), plan)

    async def _extract(self) -> None:
        active = await self._active_plan()
        if active is None:
            return
        await self.run.login_gate.ensure(self.config)
        await verify_compared(active)
        try:
            await self._run_chunks(active)
        except SnapshotLost as error:
            await self._after_lost_snapshot(error)
            return
        await self._fire(Trigger.EXTRACTED)

    async def _run_chunks(self, active: ActivePlan) -> None:
        try:
            await run_chunks(active)
        except asyncio.CancelledError:
            # A killed worker leaves the part that it was writing.
            with suppress(LockLost, OSError):
                await self._blocking(self._sweep_parts)
            raise

    def _sweep_parts(self) -> None:
        self.lock.check()
        sweep_all_temps(self.run.disk, self.staging.parts)

    async def _validate(self) -> None:
        active = await self._active_plan()
        if active is None:
            return
        publication = publication_of(active, self.lock, self._ownership)
        publisher = Publisher(self.config, self.run, publication)
        if isinstance(intent := await self._intent(active, publisher), DamagedPart):
            await self._redo(intent, active)
        else:
            await self._publish(intent, publisher, active.plan)

    async def _intent(self, active: ActivePlan, publisher: Publisher) -> PublishIntent | DamagedPart:
        """What to publish, checked and staged; or the first part that is damaged.

        An earlier owner may have published it before it died; then it was already checked.

        Raises:
            DataError: the counts do not agree.
            ValidationFailed: rows break the schema or a key, and the table's policy does not allow that.
            ParentMissing: a table that this one refers to is not extracted in this run.
        """
        publication, plan_id = publisher.publication, active.plan.plan_id
        earlier = self.record.intent_of_plan(plan_id)
        if earlier is not None and await publisher.is_in_place(earlier):
            return earlier
        output = await self._blocking(publication.output_for, plan_id, earlier)
        if isinstance(found := await check_staged(active, output_name=output.name), DamagedPart):
            return found
        await self._blocking(publication.ownership.check_findings)
        await publisher.write_violating_rows(found.copied)
        if warning := await self._blocking(judge, active, found, fence=self.lock):
            self.run.reporter.warning(self.key, warning)
        through = await self._blocking(self._covered_through, active.plan.reading.scope)
        commit = await self._blocking(publication.table_commit, self.record)
        intent = await self._blocking(
            intent_of, active, found, self.record, output=output, covered_through=through, table=commit
        )
        await self._blocking(publication.stage, found.parts, rejects=found.quarantined)
        return intent

    async def _publish(self, intent: PublishIntent, publisher: Publisher, plan: Plan) -> None:
        """Publish what was checked, and complete the table."""
        was_intended = self.record.intent == intent
        if not was_intended:
            await self._blocking(self.lifecycle.amend, lambda record: record.with_intent(intent))
        await publisher.swap_in(intent)
        metadata_md5 = await publisher.commit(intent.metadata)
        if was_intended and (damage := await self._damage_of_published()):
            await self._fire(Trigger.RESTART, change=_given_up, reason=damage)
            return
        digest = await self._blocking(digest_of_published, self.run.disk, self.layout, intent.metadata)
        published = published_by(intent.metadata, md5=metadata_md5, objects_digest=digest)
        at = self.run.clock()
        await self._fire(Trigger.PASSED, change=lambda record: record.completed(published, at=at))
        await announce_published(self.config, self.run, self.layout, intent.metadata)
        await self._tidy()
        # If the run got a newer snapshot just before the publication, or another extraction with rows of this one was
        # completed, the table is published first, then read again.
        if outdated := await self._why_outdated(published.snapshot) or await self._why_compared_otherwise(plan):
            await self._fire(Trigger.RESTART, change=_given_up, reason=outdated)

    async def _redo(self, part: DamagedPart, active: ActivePlan) -> None:
        self.redone += 1
        if self.redone > self.config.retry.attempts:
            raise StateDamaged(
                f"{self.key}: staged parts were damaged repeatedly; the last damage: {part.damage}",
                hint="check the disk under base_path, then run again",
            )
        await self._blocking(part.discard, active)
        await self._fire(Trigger.REDO, reason=part.damage)

    async def _active_plan(self) -> ActivePlan | None:
        """The current plan. Without a good one at the run's snapshot, the extraction restarts and this returns None."""
        reason: str | None = "its plan is missing"
        try:
            plan = await self._blocking(load_plan, self.run.disk, self.staging)
        except StateDamaged as error:
            plan, reason = None, error.message
        if plan is not None and self.record.intent is None:
            reason = await self._why_outdated(plan.reading.snapshot) or await self._why_compared_otherwise(plan)
            plan = None if reason else plan
        if plan is None:
            await self._fire(Trigger.RESTART, change=_given_up, reason=reason)
            return None
        return ActivePlan(self.config, self.run, plan, self.staging)

    async def _after_lost_snapshot(self, error: SnapshotLost) -> None:
        if self.config.has_run_snapshot:
            raise self.run.snapshots.lost(self.config, error) from error
        most = self.config.max_snapshot_restarts
        if self.config.on_snapshot_lost is OnSnapshotLost.FAIL or self.record.snapshot_restarts >= most:
            raise error
        if self.record.state is State.PENDING:  # lost while the plan was made: make the plan again
            await self._blocking(self.lifecycle.amend, _without_its_snapshot)
            self.run.reporter.warning(self.key, f"planned again: {error.message}")
            return
        await self._fire(Trigger.RESTART, change=_without_its_snapshot, reason=error.message)

    async def _fire(self, trigger: Trigger, *, change: Change | None = None, reason: str | None = None) -> None:
        """Follow a transition, and tell `ending` whether the data is complete now."""
        try:
            await follow(self.run, self.lifecycle, trigger, change=change, reason=reason)
        finally:  # the transition may have happened although the task was cancelled
            if self.record.state is not State.COMPLETE:
                self.ending.withdraw()
            elif trigger is Trigger.PASSED:
                self.ending.prove_complete(Outcome.COMPLETED)

    @asynccontextmanager
    async def _time_limit(self, state: State) -> AsyncIterator[None]:
        limit = self.run.pipeline.states.timeout(state)
        try:
            async with own_time_limit(limit, waits=self.run.waits, key=self.key):
                yield
        except OwnTimeExceeded as error:
            raise StateTimeout(
                f"{self.key}: {state} took longer than {limit}, not counting the time that it waited for others",
                hint=f"raise states.{state}.timeout; finished work is kept, and the next run continues from it",
            ) from error


def _given_up(record: StateRecord) -> StateRecord:
    return record.without_plan(is_snapshot_lost=False)


def _without_its_snapshot(record: StateRecord) -> StateRecord:
    return record.without_plan(is_snapshot_lost=True)


def _on_first_step(trigger: Trigger) -> Change:
    return _given_up if trigger is Trigger.RESTART else StateRecord.with_new_attempt
