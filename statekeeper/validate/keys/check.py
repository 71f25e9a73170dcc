"""Work for workers: checks the keys of a table over all its staged parts, unique columns and references.

`statekeeper.validate.keys.run` decides which parts are checked, and when. `statekeeper.validate.keys.scan` defines what
keys mean; it is imported inside the function, because the parent process does not need it.
"""

from __future__ import annotations

from statekeeper.engines.context import WorkContext
from statekeeper.runtime.rows import KeyCheckSpec
from statekeeper.schemas.rules.findings import KeyFindings


def check_keys(spec: KeyCheckSpec, context: WorkContext) -> KeyFindings:
    """Find the rows that break the keys of a table.

    Raises:
        PlanError: the columns of a reference cannot be compared.
        DataError: a file cannot be read; it may have been moved since.
    """
    from statekeeper.validate.keys.scan import scan_keys

    return scan_keys(spec, memory_limit=context.memory_limit, check_stop=context.check_stop)
