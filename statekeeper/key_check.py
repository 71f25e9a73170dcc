"""Checks the keys of a table over all its staged parts, in a worker: unique columns, and references to other tables.

Which parts there are, and when, is decided in `statekeeper.key_work`; what keys mean, in `statekeeper.key_scan`, which
is imported where the work is done.
"""

from __future__ import annotations

from statekeeper.key_spec import KeyCheckSpec
from statekeeper.schemas.findings import KeyFindings
from statekeeper.work import WorkContext


def check_keys(spec: KeyCheckSpec, context: WorkContext) -> KeyFindings:
    """What breaks the keys of a table.

    Raises:
        PlanError: the columns of a reference cannot be compared.
        DataError: a file cannot be read; it may have been moved since.
    """
    from statekeeper.key_scan import scan_keys

    return scan_keys(spec, memory_limit=context.memory_limit, check_stop=context.check_stop)
