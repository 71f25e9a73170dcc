"""The configuration as the rest of the program uses it: every default filled in, every name resolved, frozen.

`statekeeper.config.loader` makes these from a file, `statekeeper.config.resolution` from its entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from pydantic import SecretStr

from statekeeper.config.reading.problems import Finding, error_of, quoted
from statekeeper.config.root import from_here
from statekeeper.config.sections.chunking import ChunkingPolicy, ChunkingStrategy
from statekeeper.config.sections.dates import resolve_date
from statekeeper.config.sections.duckdb import DuckDBSource
from statekeeper.config.sections.engines import EngineKind
from statekeeper.config.sections.output import Compression, ExecutionConfig, LockKind, OutputConfig, Reader
from statekeeper.config.sections.policies import Hook, RetryPolicy, StatePolicies, StatePolicy
from statekeeper.config.sections.row_bound import RowBound
from statekeeper.config.sections.source import SnapshotScope, SourceSection
from statekeeper.config.sections.tables import (
    BUILT_IN,
    OnDrift,
    OnSnapshotLost,
    OnViolation,
    Reconcile,
    TableDefaults,
    Verify,
    WindowKind,
)
from statekeeper.errors import ConfigError
from statekeeper.logs import secret_values
from statekeeper.model.base import Frozen
from statekeeper.model.keys import Keys
from statekeeper.model.manifest import run_id_of
from statekeeper.model.schema import SchemaRef
from statekeeper.model.table import Relation, TableRef


class IncrementalConfig(Frozen):
    """By which column, and over which window, the rows of an incremental extraction are chosen."""

    column: str
    kind: WindowKind = BUILT_IN.window
    lookback: timedelta = BUILT_IN.lookback
    timezone: str = BUILT_IN.incremental_timezone
    allow_open_window: bool = BUILT_IN.allow_open_window


@dataclass(frozen=True, kw_only=True)
class ExtractionConfig:
    """All that is configured for one table.

    `incremental` is set wherever an incremental column is; `is_full_extract` says that the whole relation is taken all
    the same. `login` is the name by which sessions, their budget and the login are counted: the first of the sources
    with the very same settings, so that one database under several names is one. `extraction_date` and `run_id` are the
    entry's own, to be compared with the run's by `check_run`. `root` is the folder that relative paths start at.
    `declared_at` is where the entry stands, for messages; `places` is where those of its keys do that name columns.
    """

    table: TableRef
    root: Path
    source: SourceSection
    login: str
    relation: Relation
    model: SchemaRef
    incremental: IncrementalConfig | None = None
    is_full_extract: bool = True
    chunking: ChunkingPolicy = BUILT_IN.chunking
    verify: Verify = BUILT_IN.verify
    reconcile: Reconcile = BUILT_IN.reconcile
    retry: RetryPolicy = BUILT_IN.retry
    on_snapshot_lost: OnSnapshotLost = BUILT_IN.on_snapshot_lost
    max_snapshot_restarts: int = BUILT_IN.max_snapshot_restarts
    on_violation: OnViolation = BUILT_IN.on_violation
    max_quarantined: RowBound | None = None
    keep_violating_rows: bool = BUILT_IN.keep_violating_rows
    show_values: bool = BUILT_IN.show_values
    sample_rows: int = BUILT_IN.sample_rows
    on_drift: OnDrift = BUILT_IN.on_drift
    keys: Keys = field(default_factory=Keys)
    flashback_enabled: bool = False
    flashback_timestamp: str | None = None
    extraction_date: str | None = None
    run_id: str | None = None
    declared_at: str = ""
    places: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def samples(self) -> int:
        """How many rows of each broken constraint are shown."""
        return self.sample_rows if self.show_values else 0

    @property
    def has_run_snapshot(self) -> bool:
        """Whether the table is read at the one snapshot that all tables of the run from its source have."""
        return self.source.snapshot_scope is SnapshotScope.RUN

    @property
    def source_here(self) -> SourceSection:
        """The source, its paths as this process opens them."""
        return self.source.anchored(from_here(self.root))

    @property
    def custom_query(self) -> str | None:
        """The query that is read instead of the table."""
        return self.relation.query


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A whole configuration.

    `path` and `tables_path` are the files it came from, as they were named (None without one); `root` is the folder
    that relative paths start at, also that of `written_output`. `fingerprint` is the SHA-256 of the files' text, before
    references are filled in. `in_commands` is what came from the environment into hooks: it may be secret, and what a
    hook says of itself is shown without it. `further_secrets` came from secret scopes, or are settings of Spark.
    `unset` says of each reference that was left as it is written what is not set; `is_root_named` that the
    configuration itself, or the caller, says what its root is.
    """

    name: str
    path: str | None
    tables_path: str | None
    root: Path
    fingerprint: str
    sources: Mapping[str, SourceSection]
    written_output: OutputConfig
    execution: ExecutionConfig
    states: StatePolicies
    defaults: TableDefaults
    extraction_date: str
    tables: tuple[ExtractionConfig, ...]
    in_commands: tuple[str, ...] = field(default=(), repr=False)
    further_secrets: tuple[SecretStr, ...] = field(default=(), repr=False)
    unset: tuple[str, ...] = ()
    is_root_named: bool = False

    @property
    def private_tables(self) -> frozenset[str]:
        """The tables, by their keys, of which no value of a row may be told."""
        return frozenset(config.table.key for config in self.tables if not config.show_values)

    @property
    def output(self) -> OutputConfig:
        """Where and how Parquet is written, its folder as this process opens it."""
        written = self.written_output
        return written.model_copy(update={"base_path": str(from_here(self.root, written.base_path))})

    @property
    def base_path(self) -> Path:
        """The folder under which all output lies, as this process opens it."""
        return Path(self.output.base_path)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, so that it can be removed from whatever is about to be said."""
        return tuple(secret_values([*self.sources.values(), self.states, *self.further_secrets]))


def check_run(pipeline: Pipeline, *, extraction_date: date, run_id: str, today: date) -> None:
    """Compare the `extraction_date` and `run_id` that entries carry with the run's.

    Raises:
        ConfigError: an entry was written for another run.
    """
    findings = []
    for table in pipeline.tables:
        if table.extraction_date and resolve_date(table.extraction_date, today=today) != extraction_date:
            what = f"expected the run's date {extraction_date}; found {quoted(table.extraction_date)}"
            findings.append(Finding(f"{table.declared_at}.extraction_date", what))
        if table.run_id and table.run_id != run_id:
            what = f"expected the run's {quoted(run_id)}; found {quoted(table.run_id)}"
            findings.append(Finding(f"{table.declared_at}.run_id", what))
    if findings:
        raise ConfigError(error_of(findings).message, hint="remove the key, or run with a matching --date and --run-id")


__all__ = [
    "ChunkingPolicy",
    "ChunkingStrategy",
    "Compression",
    "DuckDBSource",
    "EngineKind",
    "ExecutionConfig",
    "ExtractionConfig",
    "Hook",
    "IncrementalConfig",
    "LockKind",
    "OnDrift",
    "OnSnapshotLost",
    "OnViolation",
    "OutputConfig",
    "Pipeline",
    "Reader",
    "Reconcile",
    "RetryPolicy",
    "SnapshotScope",
    "SourceSection",
    "StatePolicies",
    "StatePolicy",
    "Verify",
    "WindowKind",
    "check_run",
    "resolve_date",
    "run_id_of",
]
