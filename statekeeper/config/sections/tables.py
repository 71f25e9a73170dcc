"""The entries of `tables:`, and `defaults:`, as written in the file.

`statekeeper.config.resolution` merges the two into extractions. Every key may be left out or null: null is the built-in
default, even if `defaults:` has another value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field

from statekeeper.config.sections.chunking import ChunkingPolicy
from statekeeper.config.sections.dates import ExtractionDate, Moment
from statekeeper.config.sections.keys import ColumnNames, ReferenceEntry
from statekeeper.config.sections.policies import RetryPolicy
from statekeeper.config.sections.quantities import Lookback
from statekeeper.config.sections.row_bound import MaxRows
from statekeeper.config.sections.section import FilePath, Name, Section, refusal
from statekeeper.config.sections.table_formats import FormatName, WriteMode
from statekeeper.config.suggest import nearest
from statekeeper.model.schema import ColumnRule


class WindowKind(StrEnum):
    """Where the window of an incremental extraction starts."""

    DAY = "day"
    WATERMARK = "watermark"


class OnGap(StrEnum):
    """What a window does about the days before it that no extraction has taken."""

    EXTEND = "extend"
    """It starts where the last window ended."""
    BACKFILL = "backfill"
    """Each of these days is extracted first, as an extraction of its own."""
    FAIL = "fail"


class LateCommits(StrEnum):
    """What a window does about rows that are stamped before its end and committed after its snapshot."""

    WAIT = "wait"
    """It ends no later than the start of the oldest open transaction."""
    LOOKBACK = "lookback"
    """The next window's `lookback` takes them."""
    IGNORE = "ignore"


class NullRows(StrEnum):
    """What to do about rows without a value in the incremental column that no extraction has taken."""

    COUNT = "count"
    """Warn of them, if they can be counted."""
    FAIL = "fail"
    IGNORE = "ignore"


class Verify(StrEnum):
    """How published data is checked before it is skipped: every byte's checksum, or sizes and footers."""

    FULL = "full"
    QUICK = "quick"


class Reconcile(StrEnum):
    """Whether the source's own count is compared with what was extracted."""

    COUNT = "count"
    NONE = "none"


class OnSnapshotLost(StrEnum):
    """What to do when the source can no longer read at the plan's snapshot."""

    RESTART = "restart"
    FAIL = "fail"


class OnViolation(StrEnum):
    """What to do when rows break the schema."""

    FAIL = "fail"
    WARN = "warn"
    QUARANTINE = "quarantine"


class OnDrift(StrEnum):
    """What to do when columns of the table are new, lost or retyped."""

    FAIL = "fail"
    IGNORE_NEW = "ignore-new"
    EVOLVE = "evolve"


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # OSError: a region such as "America" is a folder
        hint = nearest(name, available_timezones())
        raise refusal("an IANA time zone such as UTC or Europe/Madrid", hint=hint) from error
    return name


def _model_path(path: str) -> str:
    file, colon, name = path.rpartition(":")
    if not (colon and file.endswith(".py") and name.isidentifier()):
        raise refusal("the path of a pydantic model, such as schemas/hr.py:Employee")
    return path


@dataclass(frozen=True)
class BuiltIn:
    """The built-in defaults of table keys; no other place repeats them."""

    window: WindowKind = WindowKind.DAY
    lookback: timedelta = timedelta()
    mark_taken_before: bool = False
    allow_open_window: bool = False
    on_gap: OnGap = OnGap.EXTEND
    null_rows: NullRows = NullRows.COUNT
    chunking: ChunkingPolicy = field(default_factory=ChunkingPolicy)
    verify: Verify = Verify.FULL
    reconcile: Reconcile = Reconcile.COUNT
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    on_snapshot_lost: OnSnapshotLost = OnSnapshotLost.RESTART
    max_snapshot_restarts: int = 3
    on_violation: OnViolation = OnViolation.FAIL
    keep_violating_rows: bool = False
    show_values: bool = True
    sample_rows: int = 5
    on_drift: OnDrift = OnDrift.FAIL


BUILT_IN = BuiltIn()

TimeZone = Annotated[str, AfterValidator(_time_zone)]
ModelPath = Annotated[FilePath, AfterValidator(_model_path)]


class TableDefaults(Section):
    """The keys of a table that may also be in `defaults:`."""

    source_name: Name | None = Field(default=None, description="one of `sources`; may be left out if there is only one")
    schema_name: Name | None = Field(default=None, description="the database schema (owner)")
    schema_model: ModelPath | None = Field(
        default=None, alias="schema", description="the pydantic model that the rows satisfy: file.py:Class"
    )
    columns: dict[Name, ColumnRule] | None = Field(
        default=None, min_length=1, description="the same, inline: a rule for every column"
    )
    incremental_column: Name | None = Field(
        default=None,
        description="a DATE or TIMESTAMP column with the time of a row's last change; with window: watermark, also a "
        "column of whole numbers that only grow",
    )
    is_full_extract: bool | None = Field(
        default=None, description="read the whole table; the default without an incremental_column"
    )
    window: WindowKind | None = Field(
        default=None,
        description="day (the default); watermark, for a column of whole numbers: from where coverage ends to the "
        "greatest number. For a column of times it is the same as day",
    )
    lookback: Lookback | None = Field(
        default=None,
        description="how much earlier the window starts, for late rows: a duration or, for whole numbers, a number",
    )
    mark_taken_before: bool | None = Field(
        default=None,
        description="add a column taken_before, which is true in rows that an earlier extraction has published "
        "already; needs lookback and unique",
    )
    incremental_timezone: TimeZone | None = Field(
        default=None,
        description="the zone whose midnights bound a day, and whose wall times a column without a zone holds, for "
        "which it must be set; UTC by default for a column with a zone",
    )
    allow_open_window: bool | None = Field(
        default=None, description="extract a window that is not over yet, up to the snapshot"
    )
    on_gap: OnGap | None = Field(
        default=None,
        description="what a window does about days before it that no extraction has taken: extend (the default) takes "
        "their rows too; backfill extracts each of them first, on its own; fail",
    )
    late_commits: LateCommits | None = Field(
        default=None,
        description="for rows that are committed after the snapshot of their window: wait ends the window where the "
        "oldest open transaction began; lookback leaves them to the next window's lookback; ignore. By default wait, "
        "where the open transactions can be read",
    )
    null_rows: NullRows | None = Field(
        default=None,
        description="rows without a value in incremental_column that no extraction has taken: count (the default) "
        "warns of them; fail; ignore does not count them",
    )
    custom_query: Name | None = Field(
        default=None, description="a SELECT that is read instead of the table; {as_of} is where a snapshot clause goes"
    )
    flashback_enabled: bool | None = Field(default=None, description="read as of flashback_timestamp")
    flashback_timestamp: Moment | None = Field(default=None, description="the time to read at, if the source can")
    extraction_date: ExtractionDate | None = Field(default=None, description="must agree with the run's")
    run_id: Name | None = Field(default=None, description="must agree with the run's")
    chunking: ChunkingPolicy | None = Field(default=None, description="how the table is cut")
    verify: Verify | None = Field(
        default=None, description=f"how published data is checked before a skip; {BUILT_IN.verify} by default"
    )
    reconcile: Reconcile | None = Field(
        default=None, description=f"compare with the source's own count; {BUILT_IN.reconcile} by default"
    )
    retry: RetryPolicy | None = Field(default=None, description="further attempts after transient failures")
    on_snapshot_lost: OnSnapshotLost | None = Field(default=None, description=f"{BUILT_IN.on_snapshot_lost} by default")
    max_snapshot_restarts: int | None = Field(
        default=None,
        ge=0,
        description=f"how often a lost snapshot restarts an extraction; {BUILT_IN.max_snapshot_restarts} by default",
    )
    on_violation: OnViolation | None = Field(
        default=None,
        description=f"{BUILT_IN.on_violation} by default; warn publishes all rows; quarantine publishes the good rows "
        "and writes the bad ones to a file of their own",
    )
    max_quarantined: MaxRows | None = Field(
        default=None,
        description="the most rows that may be quarantined, such as 1000 or 0.5%; with more, the table fails. By "
        "default there is no limit, unless every row fails",
    )
    keep_violating_rows: bool | None = Field(
        default=None,
        description="write rows that break the schema to a Parquet file where on_violation is fail or warn, too",
    )
    show_values: bool | None = Field(
        default=None,
        description="false: no row values in state, log, hooks, terminal or violations file; true by default",
    )
    sample_rows: int | None = Field(
        default=None,
        ge=0,
        le=100,
        description=f"sample rows per constraint in the violations file; {BUILT_IN.sample_rows} by default",
    )
    format: FormatName | None = Field(default=None, description="of the published table; as output.format by default")
    write: WriteMode | None = Field(
        default=None, description="what an extraction does to the published table; as output.write by default"
    )
    on_drift: OnDrift | None = Field(
        default=None,
        description="for columns that are new, lost or retyped against the schema, else against the last extraction: "
        f"{BUILT_IN.on_drift} by default; ignore-new leaves new ones out; evolve accepts the table as it is now",
    )


class TableEntry(TableDefaults):
    """One table."""

    table_name: Name = Field(description="the table, or the name of a custom_query's result")
    path_name: Name | None = Field(default=None, description="the name of its folder; the table's name by default")
    unique: tuple[ColumnNames, ...] | None = Field(
        default=None, description="columns, or lists of columns, whose values are unique"
    )
    references: tuple[ReferenceEntry, ...] | None = Field(
        default=None, description="columns whose values must occur in a row of another table of the run"
    )
