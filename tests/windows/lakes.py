"""What a lake of one table is to a simulation, whether it is the model's or the real program's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, NamedTuple, Protocol

from statekeeper.config.loader import pipeline_of
from statekeeper.config.resolved import ExtractionConfig, Pipeline
from statekeeper.model.table import ExtractionMode, Scope, Window

from .histories import Backfill, OldRun, RunDay, Settings

PIPELINE = "shop"
STAMP = "STAMP"
"""The incremental column."""


class RowVersion(NamedTuple):
    """A row and the number of its version."""

    row: int
    number: int


@dataclass(frozen=True)
class Dataset:
    """What is published for a date. `snapshot` is the true time at which it was read."""

    plan_id: str
    scope: Scope
    snapshot: datetime
    rows: frozenset[RowVersion]
    nulls: int | None
    """How many rows had no stamp then."""
    untaken_nulls: int | None
    """How many of them no extraction had; None if that was not known."""
    marked: frozenset[RowVersion] = frozenset()
    """The rows that are marked as taken before; the model marks none."""


@dataclass(frozen=True)
class Ended:
    """How the run of a date ended: completed, skipped, failed, killed or left; and everything that it told the user."""

    day: date
    outcome: str
    told: tuple[str, ...] = ()


class Lake(Protocol):
    """The extractions of one table, and the commands on them. Snapshots are taken at a command's time."""

    @property
    def datasets(self) -> dict[date, Dataset]:
        """What is published, by date."""

    def lose_index(self) -> None:
        """`_windows.json` is gone."""

    def configure(self, settings: Settings) -> None:
        """From now on the table is configured like this."""

    def run(self, command: RunDay) -> tuple[Ended, ...]:
        """`run --date`: how each date ended, the earlier ones that `on_gap: backfill` extracts first."""

    def backfill(self, command: Backfill) -> tuple[Ended, ...]:
        """`backfill --from --to`: how each date ended, in their order."""

    def run_old(self, command: OldRun) -> None:
        """A run with the window that the command has."""


def pipeline_with(settings: Settings, *, source: dict[str, Any], table: dict[str, Any]) -> Pipeline:
    """The pipeline of one table."""
    entry = {
        "incremental_column": STAMP,
        "is_full_extract": False,
        "incremental_timezone": settings.timezone,
        "on_gap": settings.on_gap,
        "lookback": settings.lookback,
        "allow_open_window": settings.allow_open_window,
        "late_commits": settings.late_commits,
        "null_rows": settings.null_rows,
        "max_snapshot_restarts": 1000,
        **({"mark_taken_before": True, "unique": ["row_id"]} if settings.marks_rows else {}),
    }
    return pipeline_of(
        {
            "pipeline": PIPELINE,
            "sources": {"shop": source},
            "output": {"base_path": "data"},
            "execution": {"workers": 1},
            "tables": [{**table, **entry}],
        }
    )


@cache
def table_in_model(settings: Settings) -> ExtractionConfig:
    """The table as the model has it."""
    source = {"type": "duckdb", "path": "shop.duckdb"}
    return pipeline_with(settings, source=source, table={"table_name": "orders"}).tables[0]


def old_scope(command: OldRun, settings: Settings) -> Scope:
    """The scope of a run of an old version."""
    start, end = command.start, command.end
    mode = ExtractionMode.FULL if start is None else ExtractionMode.INCREMENTAL
    window = Window(column=STAMP, start=start, end=end, timezone=settings.timezone)
    return Scope(mode=mode, window=window, watermark=end, covered_from=start)
