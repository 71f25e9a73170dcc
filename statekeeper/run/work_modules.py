"""What the processes that do work import before it comes: the work of every state, and sessions with sources.

Engines know nothing of it; whoever starts one hands the names over.
"""

from __future__ import annotations

from collections.abc import Iterable

from statekeeper.sources.registry import session_modules

WORK = (
    "statekeeper.runtime.source_jobs",
    "statekeeper.plan.make_plan",
    "statekeeper.extract.chunk",
    "statekeeper.extract.count",
    "statekeeper.validate.check_part",
    "statekeeper.validate.scan",
    "statekeeper.publish.part_copy",
    "statekeeper.schemas.columns.drift",
    "statekeeper.schemas.rules.checks",
    "statekeeper.parquet.writer",
    "statekeeper.verify",
)


def work_modules(types: Iterable[str]) -> tuple[str, ...]:
    """The modules that work needs whose sources are of these types."""
    return (*WORK, *session_modules(types))
