"""The parent's part of a verification: many workers look at the files of a large dataset, on whichever machines."""

from __future__ import annotations

from statekeeper.config.resolved import ExtractionConfig, Verify
from statekeeper.engines.in_flight import all_done
from statekeeper.engines.protocol import FILE_ROWS, Job, Result, Urgency
from statekeeper.runtime.context import Run
from statekeeper.verify.published import FilesSpec, FilesVerdict, VerifySpec, check_files, verify_published


async def damage_of_published(config: ExtractionConfig, run: Run, spec: VerifySpec) -> str | None:
    """What is wrong with what an extraction has published, in words; None where nothing is.

    Raises:
        StorageError: a name of the extraction is a symbolic link, or the system does not let a file be read.
    """

    async def retried(job: Job[Result]) -> Result:
        return await run.jobs.run(config, job, "at verification")

    async def checked(share: FilesSpec) -> FilesVerdict:
        size = share.rows // FILE_ROWS
        result_type = FilesVerdict if share.verify is Verify.FULL else None  # footers alone are read where we are
        return await retried(
            Job(config.table.key, check_files, share, urgency=Urgency.CHUNK, size=size, remote_result_type=result_type)
        )

    verified = await retried(Job(config.table.key, verify_published, spec))
    if verified.damage:
        return verified.damage
    verdicts = await all_done(verified.left, checked, at_once=run.engine.in_flight)
    return next((verdict.damage for verdict in verdicts if verdict.damage), None)
