"""The `output:` and `execution:` of the configuration: where and how Parquet is written, and how work is run."""

from __future__ import annotations

import os
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from statekeeper.config.databricks import file_path, is_mounted_object_store
from statekeeper.config.sections.catalog import CatalogConfig
from statekeeper.config.sections.engines import EngineKind, EngineName
from statekeeper.config.sections.quantities import PositiveDuration, Size
from statekeeper.config.sections.section import FilePath, Section, refusal
from statekeeper.config.sections.spark import SparkConfig
from statekeeper.config.sections.stores import STORES, place_of
from statekeeper.config.sections.table_formats import PARQUET, FormatName, WriteMode
from statekeeper.errors import UsageError
from statekeeper.model.table import Layout

_MIB = 1024 * 1024


class Compression(StrEnum):
    """Parquet's codecs, by pyarrow's names."""

    ZSTD = "zstd"
    SNAPPY = "snappy"
    GZIP = "gzip"
    LZ4 = "lz4"
    BROTLI = "brotli"
    NONE = "none"


class LockKind(StrEnum):
    """How a runner locks an extraction."""

    AUTO = "auto"
    FLOCK = "flock"
    LEASE = "lease"


class WritesKind(StrEnum):
    """How new files get their names."""

    AUTO = "auto"
    RENAME = "rename"
    WHOLE = "whole"


class Reader(StrEnum):
    """A reader of datasets whose limits are known."""

    SPARK = "spark"
    DUCKDB = "duckdb"
    POLARS = "polars"
    PANDAS = "pandas"
    PYARROW = "pyarrow"


def _place(path: str) -> str:
    try:
        place = place_of(path)
    except ValueError as error:
        raise refusal(f"an address such as {error}") from error
    if place is not None:
        return str(place)
    try:
        return file_path(path)
    except UsageError as error:
        hint = "; ".join(filter(None, (error.hint, STORES.hint_of_more)))
        raise refusal(f"a folder of the file system: {error.message}", hint=hint) from error


class OutputConfig(Section):
    """Where and how Parquet is written."""

    base_path: Annotated[FilePath, AfterValidator(_place)] = Field(
        default="data",
        description="the folder under which all output lies; a relative path starts at the root of the configuration",
    )
    format: FormatName = Field(
        default=PARQUET,
        description="parquet: files; delta, iceberg: each table is a table of that format, too, to which every "
        "extraction is one commit",
    )
    write: WriteMode = Field(
        default=WriteMode.APPEND,
        description="of a table format: append adds each extraction to the table; replace_date replaces the rows of "
        "its date; replace replaces the whole table; merge replaces the rows whose key is extracted again",
    )
    catalog: CatalogConfig | None = Field(
        default=None, description="the catalog of Iceberg tables; Delta tables need none"
    )
    layout: Layout = Field(
        default_factory=lambda known: Layout.DATED if known.get("format", PARQUET) == PARQUET else Layout.HIVE,
        description="dated: <source>/<table>/<yyyymm>/<dd>/, data and documents together; hive: "
        "<source>/<table>/extraction_date=<yyyy-mm-dd>/, data only, for readers that read a table's whole folder. By "
        "default dated, and hive with a table format, which needs it",
    )
    compression: Compression = Field(default=Compression.ZSTD, description="the Parquet codec")
    row_group_rows: int = Field(default=250_000, ge=1, description="the most rows of a Parquet row group")
    row_group_bytes: Size = Field(
        default=128 * _MIB, description="about the most memory that the rows of a row group take, such as 128MiB"
    )
    readers: tuple[Reader, ...] | None = Field(
        default=None,
        description="what must be able to read the datasets: a plan fails if one of these could not. By default a plan "
        "warns about every known reader; with an empty list about none",
    )
    writes: WritesKind = Field(
        default=WritesKind.AUTO,
        description="rename: write under another name, then rename or link it; whole: for file systems "
        "that cannot, such as Unity Catalog volumes; auto: as a test in the folder shows",
    )
    lock: LockKind = Field(
        default=LockKind.AUTO,
        description="flock: one machine's local disk; lease: a disk that machines share; auto: by the file system",
    )
    lease_ttl: PositiveDuration | None = Field(
        default=None,
        description="how long the lease of a silent runner stays valid; by default 5m on a volume of Databricks, where "
        "each renewal is a request to an object store, and 1m elsewhere",
    )

    @property
    def lease_lifetime(self) -> timedelta:
        """How long the lease of a silent runner stays valid."""
        on_volumes = is_mounted_object_store(self.base_path)
        return self.lease_ttl or timedelta(minutes=5 if on_volumes else 1)


def _default_workers() -> int:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(4, usable or 1)


class ExecutionConfig(Section):
    """How work is run."""

    engine: EngineName = Field(
        default=EngineKind.LOCAL,
        description="local: a pool of worker processes; spark: the executors of a Spark session; or a package's engine",
    )
    workers: int = Field(
        default_factory=_default_workers,
        ge=1,
        description="worker processes, shared by all tables; by default up to 4, as the machine has cores",
    )
    active_tables: int | None = Field(
        default=None,
        ge=1,
        description="the most tables between plan and publication at once; by default 8, and 100 on Spark",
    )
    memory_limit: Size = Field(
        default=512 * _MIB, description="the memory for DuckDB, and for the rows that a process holds, such as 1GiB"
    )
    spark: SparkConfig = Field(default=SparkConfig(), description="the Spark of engine: spark")
