"""The modules that worker processes import in advance: the work of every state, and the sessions of sources.

Engines do not know these modules; whoever starts an engine passes their names.
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
    "statekeeper.publish.merge_rows",
    "statekeeper.publish.part_copy",
    "statekeeper.schemas.columns.drift",
    "statekeeper.schemas.rules.checks",
    "statekeeper.parquet.writer",
    "statekeeper.verify",
)


def work_modules(types: Iterable[str]) -> tuple[str, ...]:
    """The modules that work on sources of these types needs."""
    return (*WORK, *session_modules(types))
