"""Skips a complete extraction in an object store without its lock, if two requests prove that nothing has changed.

A lock in an object store costs a dozen requests, and most tables of most runs are complete. The state is read first,
then the objects are listed. If the listing is what the state says, the extraction was complete and undamaged at that
moment, whoever holds the lock. In every other case the run takes the lock and looks again.

A bucket that was copied or restored has other versions, and a state of an earlier version has no digest. The run that
verifies such an extraction under the lock renews its digest, so that the next one needs no lock.
"""

from __future__ import annotations

from statekeeper.config.resolved import ExtractionConfig, Verify
from statekeeper.errors import StatekeeperError
from statekeeper.model.record import Published, StateRecord
from statekeeper.model.state import State
from statekeeper.publish.unchanged import digest_of_published, is_unchanged
from statekeeper.run.ending import Ending
from statekeeper.run.lifecycle import Lifecycle
from statekeeper.run.report import Outcome
from statekeeper.run.resume import Reprocess, ResumeDecision, decide_resume
from statekeeper.runtime.context import Run
from statekeeper.runtime.fingerprint import fingerprint_of
from statekeeper.schemas.model.load import load_model
from statekeeper.store.documents import load_metadata, load_version
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.versions import objects_disk
from statekeeper.validate.keys.run import announce_skipped


async def skip_unchanged(
    config: ExtractionConfig, run: Run, layout: ExtractionLayout, ending: Ending, reprocess: Reprocess
) -> bool:
    """Whether the extraction is proven complete by a listing, and so needs no lock; then `ending` knows."""
    is_possible = config.verify is Verify.QUICK and reprocess is not Reprocess.ALL and not config.is_in_table
    if not is_possible or config.table in run.manifest_failures:
        return False
    try:
        found = await run.threads.disk.do(_found, config, run, layout, reprocess)
    except StatekeeperError:  # whoever holds the lock finds it again, and can save it
        return False
    if found is None:
        return False
    published, decision = found
    ending.prove_complete(Outcome.SKIPPED, "complete and verified", stale=decision.stale, published=published)
    await announce_skipped(config, run, layout)
    return True


def _found(
    config: ExtractionConfig, run: Run, layout: ExtractionLayout, reprocess: Reprocess
) -> tuple[Published, ResumeDecision] | None:
    """What is published, if it is proven that a run has nothing to do; otherwise None.

    Raises:
        StatekeeperError: of any kind.
    """
    disk = objects_disk(run.disk)
    if disk is None:
        return None
    record, _ = load_version(disk, layout.state, StateRecord)
    if record is None or record.state is not State.COMPLETE or record.published is None:
        return None
    if not record.belongs_to(run.run_id, config.table):
        return None
    fingerprint = fingerprint_of(config, load_model(config.model, base=run.model_folder))
    damage = run.snapshots.why_outdated(config, record.published.snapshot)
    decision = decide_resume(record, fingerprint=fingerprint, reprocess=reprocess, damage=damage)
    if decision.trigger is not None or not is_unchanged(disk, layout, record.published):
        return None
    return record.published, decision


async def renew_digest(config: ExtractionConfig, run: Run, layout: ExtractionLayout, lifecycle: Lifecycle) -> None:
    """Save the digest of what is there, if the state has another; everything was verified just now, under the lock.

    Raises:
        LockLost, StorageError, StateDamaged: the digest is as it was.
    """
    published = lifecycle.record.published
    if objects_disk(run.disk) is None or config.verify is not Verify.QUICK or published is None:
        return
    metadata = await run.threads.disk.do(load_metadata, run.disk, layout.metadata)
    found = await run.threads.disk.do(digest_of_published, run.disk, layout, metadata) if metadata else None
    if found is not None and found != published.objects_digest:
        await run.threads.disk.do(lifecycle.amend, lambda record: record.with_objects_digest(found))
