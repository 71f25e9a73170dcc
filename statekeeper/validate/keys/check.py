"""Checks the keys of a table over all its staged parts, in a worker: unique columns, and references to other tables.

Which parts there are, and when, is decided in `statekeeper.validate.keys.run`; what keys mean, in
`statekeeper.validate.keys.scan`, which is imported where the work is done.
"""

from __future__ import annotations

from statekeeper.engines.context import WorkContext
from statekeeper.runtime.rows import KeyCheckSpec
from statekeeper.schemas.rules.findings import KeyFindings


def check_keys(spec: KeyCheckSpec, context: WorkContext) -> KeyFindings:
    """What breaks the keys of a table.

    Raises:
        PlanError: the columns of a reference cannot be compared.
        DataError: a file cannot be read; it may have been moved since.
    """
    from statekeeper.validate.keys.scan import scan_keys

    return scan_keys(spec, memory_limit=context.memory_limit, check_stop=context.check_stop)
