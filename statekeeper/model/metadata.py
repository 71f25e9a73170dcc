"""`<run_id>_metadata.json`: the commit record of what is published."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from statekeeper.errors import StateDamaged
from statekeeper.model.base import StoredValue, first_problem, refuse_newer
from statekeeper.model.drift import ColumnChange
from statekeeper.model.job_run import JobRun
from statekeeper.model.mark import Mark
from statekeeper.model.packed import Packed
from statekeeper.model.plan import Snapshot
from statekeeper.model.table import ExtractionMode, Scope, StoredPosition, Window


class PublishedFile(StoredValue):
    """One part: its name in the dataset, rows, bytes and md5."""

    name: str
    rows: int
    bytes: int
    md5: str


class ValidationSummary(StoredValue):
    """Which checks the published rows passed."""

    reconcile: Literal["count", "none"]
    counted_rows: int | None
    model: str | None = Field(description="the pydantic model that the rows satisfy, or null if none was declared")
    checks: int = Field(description="constraints that were checked")
    violations: int = Field(
        default=0, description="rows that broke the schema and were let through by on_violation: warn"
    )
    key_violations: int = Field(default=0, description="the same for rows that broke a key; they may be the same rows")
    null_incremental_rows: int | None = Field(
        default=None, description="rows without a value in the incremental column, in no window; null: not counted"
    )
    untaken_null_rows: int | None = Field(
        default=None, description="of these, the rows that no extraction has taken; null: not known"
    )
    extracted_rows: int | None = Field(
        default=None, description="record_count and quarantined_rows together; null in files of older versions"
    )
    quarantined_rows: int = Field(default=0, description="rows that broke the schema and are not in the dataset")
    quarantine: PublishedFile | None = Field(
        default=None, description="the Parquet file that has them, relative to this one"
    )
    drift: tuple[ColumnChange, ...] = Field(
        default=(), description="columns that differ from the schema, or else from the last extraction"
    )

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader should know about the published rows, one sentence each."""
        remarks = [str(change) for change in self.drift]
        if self.violations:
            remarks.append(f"rows published although they break the schema: {self.violations:,}")
        if self.key_violations:
            remarks.append(f"rows published although they break a key: {self.key_violations:,}")
        if self.untaken_null_rows:
            remarks.append(
                f"rows in no extraction, since their incremental column has no value: {self.untaken_null_rows:,}"
            )
        if self.quarantine:
            remarks.append(
                f"rows quarantined in {self.quarantine.name}, since they break the schema: {self.quarantined_rows:,}"
            )
        return tuple(remarks)


class TableConfigRecord(StoredValue):
    """The table's configuration at extraction: the original keys, then statekeeper's own. No hosts, no secrets."""

    source_name: str
    table_name: str
    schema_name: str | None
    incremental_column: str | None
    extraction_date: str
    is_full_extract: bool
    custom_query: str | None
    flashback_enabled: bool
    flashback_timestamp: str | None
    run_id: str
    path_name: str
    schema_model: str | None
    verify: str
    reconcile: str
    scope: Scope


class TableCommit(StoredValue):
    """The commit by which an extraction is in a table of a format, as it is found there again."""

    format: str
    write: str
    application_id: str = Field(description="which extraction made it; the table keeps the last number of each")
    sequence: int = Field(description="its number among the commits of this extraction, from 1")


class Metadata(StoredValue):
    """The description of a dataset for its readers and the next run. The first nine keys are the oldest."""

    output_path: str = Field(
        description="the dataset beside this file, a file or a folder of parts, under base_path as configured"
    )
    record_count: int
    start_time: AwareDatetime
    end_time: AwareDatetime
    duration_seconds: float
    file_size_bytes: int
    checksum: str = Field(
        description="md5 of the single file, or of the output of `md5sum part-*.parquet` in the folder of parts"
    )
    table_config: TableConfigRecord
    extraction_complete: bool
    run_id: str
    schema_version: Literal[1] = 1
    statekeeper_version: str
    plan_id: str
    snapshot: Snapshot
    mode: ExtractionMode | None = Field(
        default=None, description="full or incremental; null in files of older versions, as are the next two"
    )
    window: Window | None = Field(
        default=None, description="which values of the incremental column were read, its lookback included"
    )
    covered_through: StoredPosition | None = Field(
        default=None,
        description="when this was published, complete extractions of the table had every value before this point",
    )
    mark: Mark | None = Field(
        default=None,
        description="the column that marks rows that were taken before, and the datasets that they were looked for in; "
        "null without one",
    )
    files: Packed[PublishedFile]
    columns: dict[str, str] = Field(description="column name to Arrow type, in file order")
    database_types: dict[str, str] = Field(
        default_factory=dict, description="column name to the type that the database declares"
    )
    config_fingerprint: str
    validation: ValidationSummary
    table: TableCommit | None = Field(
        default=None, description="the commit that added the dataset to a table of a format; null for files alone"
    )
    job_run: JobRun | None = Field(default=None, description="the job run that extracted it, if a job did")

    @property
    def output_name(self) -> str:
        """The dataset's name in its folder."""
        return PurePath(self.output_path).name

    @property
    def is_folder(self) -> bool:
        """Whether the dataset is a folder of parts; a single file has the dataset's name."""
        return self.files[0].name != self.output_name

    def to_bytes(self) -> bytes:
        """The file's content: indented JSON with a newline at the end."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def dataset_checksum(files: Sequence[PublishedFile], *, is_folder: bool) -> str:
    """The `checksum` of a dataset: see `Metadata.checksum`."""
    if not is_folder:
        return files[0].md5
    named = sorted((file.name, file.md5) for file in files)
    lines = "".join(f"{md5}  {name}\n" for name, md5 in named)
    return hashlib.md5(lines.encode(), usedforsecurity=False).hexdigest()


def parse_metadata(data: bytes, *, where: str = "the metadata file") -> Metadata:
    """Read a metadata file; `where` names it in errors.

    Raises:
        StateDamaged: the bytes are not a metadata file.
        NewerVersion: a later version of statekeeper wrote it, in a form that this one cannot read.
    """
    try:
        return Metadata.model_validate_json(data)
    except ValidationError as error:
        with suppress(ValueError):
            refuse_newer(_SchemaVersion.model_validate_json(data).schema_version, 1, where=where)
        raise StateDamaged(f"{where} cannot be read as metadata of statekeeper: {first_problem(error)}") from error


class _SchemaVersion(StoredValue):
    schema_version: int
