"""Rows without a value in the incremental column: how many of them no extraction has taken, and what follows. Pure.

No window has such rows. A first load takes those that exist then, so what counts is how many there are beyond those.
The number is a lower bound: a row that was taken and then got a value may hide a new one.
"""

from __future__ import annotations

from statekeeper.config.resolved import NullRows
from statekeeper.errors import DataError
from statekeeper.model.plan import Plan
from statekeeper.model.receipt import CountReceipt
from statekeeper.runtime.active_plan import ActivePlan


def untaken_null_rows(plan: Plan, counted: CountReceipt) -> int | None:
    """How many rows without a value no extraction has taken; None if that is not known."""
    window, found = plan.reading.scope.window, counted.null_incremental_rows
    if window is None or found is None:
        return None
    if window.start is None or found == 0:
        return 0
    return None if plan.taken_null_rows is None else max(0, found - plan.taken_null_rows)


def judge_null_rows(active: ActivePlan, counted: CountReceipt) -> str | None:
    """A warning about rows that no extraction has taken, or that may be such rows.

    Raises:
        DataError: there are such rows, and the table's `null_rows` is fail.
    """
    policy, window, plan = active.config.null_rows, active.plan.reading.scope.window, active.plan
    untaken = untaken_null_rows(plan, counted)
    if window is None or policy is NullRows.IGNORE or untaken == 0 or not counted.null_incremental_rows:
        return None
    if untaken is None:
        warning = (
            f"{counted.null_incremental_rows:,} rows have no value in {window.column}: only a first load takes them"
        )
        hint = "run once with null_rows: count, which records their number"
    else:
        warning = f"{untaken:,} rows have no value in {window.column}: no window takes them, and no extraction has them"
        hint = (
            "give them a value and run again, or take them: run the --date of the first load with --force-reprocess; "
            "null_rows: count only warns of them"
        )
    if policy is NullRows.FAIL:
        raise DataError(f"{active.key}: {warning} (null_rows: fail)", hint=hint)
    return warning
