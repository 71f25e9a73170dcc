"""Links to the job run of a workflow service that started a run. Pure.

They are built from a host name and two numbers only: a URL may contain a login or a token, and these links are
published.
"""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field

from statekeeper.errors import UsageError
from statekeeper.model.base import StoredValue


class JobRun(StoredValue):
    """Links to the job, and to this run of it."""

    job_url: str = Field(description="the job")
    run_url: str = Field(description="this run of it, with its log")

    @classmethod
    def on_databricks(cls, *, workspace_url: str, job_id: str, job_run_id: str) -> Self:
        """The links of a Databricks job, from `{{workspace.url}}`, `{{job.id}}` and `{{job.run_id}}`.

        Raises:
            UsageError: a value is not what its reference resolves to.
        """
        host = urlsplit(workspace_url if "://" in workspace_url else f"https://{workspace_url}").hostname
        if host is None or "{" in host or not (job_id.isdecimal() and job_run_id.isdecimal()):
            raise UsageError(
                "expected the address of a workspace and the numbers of a job and its run; found "
                f"{workspace_url!r}, {job_id!r} and {job_run_id!r}",
                hint="they are {{workspace.url}}, {{job.id}} and {{job.run_id}}",
            )
        job = f"https://{host}/jobs/{job_id}"
        return cls(job_url=job, run_url=f"{job}/runs/{job_run_id}")
