"""What a run would do, per table, without doing it: what `statekeeper plan` shows."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import computed_field

from statekeeper.errors import ExitCode, worst_exit_code
from statekeeper.model.base import Frozen
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.state import Failure
from statekeeper.model.table import Scope, TableRef


class PreviewAction(StrEnum):
    """What a run would do with a table."""

    SKIP = "skip"
    RESUME = "resume"
    RESTART = "restart"
    START = "start"
    HELD = "held"
    REFUSE = "refuse"
    READABLE = "readable"


class TablePlan(Frozen):
    """What a run would do with one table; `columns` is empty if the source was not asked."""

    table: TableRef
    verdict: PreviewAction
    reason: str | None = None
    scope: Scope | None = None
    columns: tuple[PlannedColumn, ...] = ()
    chunks: int | None = None
    estimated_rows: int | None = None
    notes: tuple[str, ...] = ()
    failure: Failure | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of a plan of this table alone."""
        if self.failure is not None:
            return ExitCode.of_failure(self.failure.kind)
        codes = {PreviewAction.REFUSE: ExitCode.FAILED, PreviewAction.HELD: ExitCode.HELD}
        return codes.get(self.verdict, ExitCode.COMPLETE)


class PlanReport(Frozen):
    """What a run would do."""

    run_id: str
    base_path: str
    extraction_date: str
    tables: tuple[TablePlan, ...]

    def only_bad(self) -> Self:
        """The same without the tables that can be extracted, or need not be."""
        return self.model_copy(update={"tables": tuple(table for table in self.tables if table.exit_code)})

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own form of a serialised property
    @property
    def exit_code(self) -> int:
        """4 if a source is unreachable, 1 if a table cannot be planned, 3 if one is held, else 0."""
        return int(worst_exit_code(table.exit_code for table in self.tables))
