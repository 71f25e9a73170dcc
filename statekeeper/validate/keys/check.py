"""Work for workers: checks the keys of a table over all its staged parts, unique columns and references.

`statekeeper.validate.keys.run` decides which parts are checked, and when. `statekeeper.validate.keys.scan` defines what
keys mean; it is imported inside the function, because the parent process does not need it.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from statekeeper.engines.context import WorkContext
from statekeeper.runtime.rows import KeyCheckSpec, Rows
from statekeeper.schemas.rules.findings import KeyFindings
from statekeeper.store.files.durable import on_this_machine


def check_keys(spec: KeyCheckSpec, context: WorkContext) -> KeyFindings:
    """Find the rows that break the keys of a table.

    Raises:
        PlanError: the columns of a reference cannot be compared.
        DataError: a file cannot be read; it may have been moved since.
    """
    from statekeeper.validate.keys.scan import scan_keys

    with ExitStack() as stack:

        def here(rows: Rows) -> Rows:
            return replace(
                rows, files=tuple(stack.enter_context(on_this_machine(spec.disk, file)) for file in rows.files)
            )

        local = replace(spec, rows=here(spec.rows), parents=tuple(map(here, spec.parents)))
        return scan_keys(local, memory_limit=context.memory_limit, check_stop=context.check_stop)
