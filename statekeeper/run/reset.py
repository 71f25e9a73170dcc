"""Puts tables back to `pending`, so that the next run extracts them again."""

from __future__ import annotations

from functools import reduce

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.errors import (
    LockHeld,
    StateDamaged,
)
from statekeeper.hints.next_command import quoted
from statekeeper.model.manifest import RunManifest
from statekeeper.model.record import Trigger
from statekeeper.model.state import State
from statekeeper.publish.sweep import sweep
from statekeeper.run.lifecycle import Lifecycle
from statekeeper.run.runner import Runner
from statekeeper.run.status import read_status
from statekeeper.store.files.durable import move, storage_errors
from statekeeper.store.locks.lock import acquire
from statekeeper.store.manifest import load_manifest, update_manifest
from statekeeper.store.place import require_layout_of_run
from statekeeper.store.process import this_process
from statekeeper.store.registry import state_store


def reset_tables(runner: Runner, tables: tuple[ExtractionConfig, ...], *, only: State | None) -> tuple[str, ...]:
    """Put the tables in state `only` (None: in any state) back to `pending`; returns their keys.

    A table whose failure is in the run's manifest counts as failed, too.

    Raises:
        LockHeld: a run works on one of them; the tables before it were reset.
    """
    require_layout_of_run(runner.disk, runner.pipeline.output, runner.identity.run_id)
    recorded = _recorded_failures(runner) if only is State.FAILED else frozenset()
    try:
        done = tuple(
            config.table
            for config in tables
            if _reset(runner, config, only=None if config.table.key in recorded else only)
        )
    except LockHeld as error:
        follow = quoted(runner.commands.watch())
        raise LockHeld(error.message, hint=f"wait until that run ends, or stop it; {follow} follows it") from error

    def change(manifest: RunManifest | None) -> RunManifest | None:
        return reduce(RunManifest.without_failure, done, manifest) if manifest else None

    if done:
        update_manifest(runner.disk, runner.pipeline.output, runner.identity.run_id, change)
    return tuple(table.key for table in done)


def _recorded_failures(runner: Runner) -> frozenset[str]:
    """The keys of tables that `status` shows as failed because of the run's manifest, not because of their states."""
    base_path, run_id = runner.pipeline.base_path, runner.identity.run_id
    manifest = load_manifest(runner.disk, base_path, run_id)
    if manifest is None or not manifest.failures:
        return frozenset()
    recorded = {found.table.key for found in manifest.failures}
    shown = {table.key for table in read_status(base_path, run_id).tables if table.state == State.FAILED.value}
    return frozenset(recorded & shown)


def _reset(runner: Runner, config: ExtractionConfig, *, only: State | None) -> bool:
    run_id, disk, output = runner.identity.run_id, runner.disk, runner.pipeline.output
    layout = runner.layout_of(config)
    if not disk.exists(layout.state):
        return False
    owner = this_process()
    with acquire(disk, layout, kind=output.lock, owner=owner, ttl=output.lease_lifetime) as lock:
        store = state_store(disk, layout.state, lock)
        try:
            record = store.load()
            is_damaged = record is not None and not record.belongs_to(run_id, config.table)
        except StateDamaged:
            record, is_damaged = None, True
        if is_damaged:
            if only is None:
                _keep_evidence(runner, config)
            return only is None
        if record is None or record.state is State.PENDING or (only is not None and record.state is not only):
            return False
        lifecycle = Lifecycle(record, save=store.save, owner=owner, clock=runner.clock)
        lifecycle.fire(
            Trigger.RESTART,
            change=lambda old: old.without_plan(is_snapshot_lost=False),
            reason=f"statekeeper reset of {run_id}",
        )
        sweep(disk, layout, live_plan=None, fence=lock)
    return True


def _keep_evidence(runner: Runner, config: ExtractionConfig) -> None:
    """Move an unreadable or foreign state file aside, so that the extraction can start over."""
    layout = runner.layout_of(config)
    aside = layout.state.with_name(f"{layout.state.name}.damaged-{runner.clock():%Y%m%dT%H%M%S}")
    with storage_errors(layout.state, "move aside"):
        move(runner.disk, layout.state, aside, role="state")
        runner.disk.sync_folder(layout.folder, role="state")
