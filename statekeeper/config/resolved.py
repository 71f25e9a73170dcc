"""The configuration as the rest of the program uses it: frozen, with all defaults and names resolved.

`statekeeper.config.loader` builds a `Pipeline` from files, `statekeeper.config.resolution` its extractions.
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
from statekeeper.config.sections.engines import EngineKind
from statekeeper.config.sections.output import Compression, ExecutionConfig, LockKind, OutputConfig, Reader
from statekeeper.config.sections.policies import Hook, RetryPolicy, StatePolicies, StatePolicy
from statekeeper.config.sections.row_bound import RowBound
from statekeeper.config.sections.source import SnapshotScope, SourceSection
from statekeeper.config.sections.storage import StorageConfig
from statekeeper.config.sections.table_formats import PARQUET, WriteMode
from statekeeper.config.sections.tables import (
    BUILT_IN,
    LateCommits,
    NullRows,
    OnDrift,
    OnGap,
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
from statekeeper.model.manifest import run_id_of
from statekeeper.model.schema import SchemaRef
from statekeeper.model.table import Keys, Relation, TableRef


class IncrementalConfig(Frozen):
    """The column and the window that select the rows of an incremental extraction."""

    column: str
    kind: WindowKind = BUILT_IN.window
    lookback: timedelta | int = BUILT_IN.lookback
    timezone: str | None = None
    """As configured; a column without a zone needs it."""
    allow_open_window: bool = BUILT_IN.allow_open_window

    @property
    def zone(self) -> str:
        """The zone whose midnights bound a day."""
        return self.timezone or "UTC"


@dataclass(frozen=True, kw_only=True)
class ExtractionConfig:
    """The configuration of one table.

    `incremental` is set if there is an incremental column; with `is_full_extract` the whole relation is still read.
    `login` is the name under which sessions, their budget and logins are counted: the first source with the same
    settings, so that one database under several names counts once. `extraction_date` and `run_id` are the entry's own;
    `check_run` compares them with the run's. Relative paths start at `root`. `declared_at` is the entry's place in the
    file, for messages; `places` has those of its keys that name columns.
    """

    table: TableRef
    root: Path
    source: SourceSection
    login: str
    relation: Relation
    model: SchemaRef
    incremental: IncrementalConfig | None = None
    is_full_extract: bool = True
    on_gap: OnGap = BUILT_IN.on_gap
    mark_taken_before: bool = BUILT_IN.mark_taken_before
    late_commits: LateCommits | None = None
    null_rows: NullRows = BUILT_IN.null_rows
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
    format: str = PARQUET
    write: WriteMode = WriteMode.APPEND
    keys: Keys = field(default_factory=Keys)
    flashback_enabled: bool = False
    flashback_timestamp: str | None = None
    extraction_date: str | None = None
    run_id: str | None = None
    declared_at: str = ""
    places: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_in_table(self) -> bool:
        """Whether it is published into a table of a format, and not as files alone."""
        return self.format != PARQUET

    @property
    def is_merged(self) -> bool:
        """Whether its rows replace those of a table that have the same keys."""
        return self.is_in_table and self.write is WriteMode.MERGE

    @property
    def samples(self) -> int:
        """The number of rows to show for each broken constraint."""
        return self.sample_rows if self.show_values else 0

    @property
    def has_run_snapshot(self) -> bool:
        """Whether the table is read at the snapshot that all tables of the run from its source share."""
        return self.source.snapshot_scope is SnapshotScope.RUN

    @property
    def source_here(self) -> SourceSection:
        """The source, with paths as this process opens them."""
        return self.source.anchored(from_here(self.root))

    @property
    def custom_query(self) -> str | None:
        """The query that is read instead of the table, if any."""
        return self.relation.query


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A whole configuration.

    `path` and `tables_path` are its files as they were named (None without one). Relative paths start at `root`, also
    in `written_output`. `fingerprint` is the SHA-256 of the files' text, before references are resolved. `in_commands`
    has the environment's values in hooks: they may be secret, and are removed from a hook's output.
    `further_secrets` came from secret scopes, or are settings of Spark. `unset` describes each reference that was left
    unresolved; `is_root_named`: the configuration or the caller sets the root.
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
    storage: StorageConfig = field(default_factory=StorageConfig)
    in_commands: tuple[str, ...] = field(default=(), repr=False)
    further_secrets: tuple[SecretStr, ...] = field(default=(), repr=False)
    unset: tuple[str, ...] = ()
    is_root_named: bool = False

    @property
    def private_tables(self) -> frozenset[str]:
        """The keys of the tables whose row values may not be shown."""
        return frozenset(config.table.key for config in self.tables if not config.show_values)

    @property
    def output(self) -> OutputConfig:
        """Where and how Parquet is written, with the folder as this process opens it."""
        written = self.written_output
        catalog = written.catalog.in_root(self.root) if written.catalog else None
        return written.model_copy(
            update={"base_path": str(from_here(self.root, written.base_path)), "catalog": catalog}
        )

    @property
    def base_path(self) -> Path:
        """The folder of all output, as this process opens it."""
        return Path(self.output.base_path)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret value, to be redacted in messages."""
        catalog = self.written_output.catalog
        sections = [*self.sources.values(), self.storage, self.states, catalog, *self.further_secrets]
        return (*secret_values(sections), *(catalog.secrets if catalog else ()))


def check_run(pipeline: Pipeline, *, extraction_date: date, run_id: str, today: date) -> None:
    """Check that entries' own `extraction_date` and `run_id` match the run's.

    Raises:
        ConfigError: an entry is for another run.
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
    "EngineKind",
    "ExecutionConfig",
    "ExtractionConfig",
    "Hook",
    "IncrementalConfig",
    "LateCommits",
    "LockKind",
    "NullRows",
    "OnDrift",
    "OnGap",
    "OnSnapshotLost",
    "OnViolation",
    "OutputConfig",
    "Pipeline",
    "Reader",
    "Reconcile",
    "RetryPolicy",
    "SnapshotScope",
    "StatePolicies",
    "StatePolicy",
    "Verify",
    "WindowKind",
    "check_run",
    "resolve_date",
    "run_id_of",
]
