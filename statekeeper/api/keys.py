"""The keyword arguments of the Python API: the keys of a table's entry, and the sections of a configuration.

Type checkers use these types; at run time the models of the configuration decide (`statekeeper.config.sections`). A
test keeps the two equal. None always means the built-in default.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack, final

from pydantic import SecretStr

from statekeeper.config.loader import check_entry
from statekeeper.config.suggest import nearest
from statekeeper.errors import UsageError
from statekeeper.run.choices import GivenEngine
from statekeeper.runtime.progress import Reporter


class ChunkingKeys(TypedDict, total=False):
    """How a table is split into chunks."""

    strategy: Literal["auto", "partition", "rowid", "key", "none"]
    column: str | None
    key: str | None
    target_rows: int


class RetryKeys(TypedDict, total=False):
    """How often work is tried again after a transient failure."""

    attempts: int
    initial_delay: str | timedelta
    max_delay: str | timedelta


class ReferenceKeys(TypedDict, total=False):
    """Columns whose values must be in a row of another table of the run."""

    columns: str | Sequence[str]
    table: str
    to: str | Sequence[str] | None


class TableKeys(TypedDict, total=False):
    """The keys of a table's entry except for its names and its run; docs/configuration.md explains each."""

    schema_name: str | None
    schema: str | Path | None
    columns: Mapping[str, Mapping[str, Any]] | None
    incremental_column: str | None
    is_full_extract: bool | None
    window: Literal["day", "watermark"] | None
    lookback: str | int | timedelta | None
    mark_taken_before: bool | None
    incremental_timezone: str | None
    allow_open_window: bool | None
    on_gap: Literal["extend", "backfill", "fail"] | None
    late_commits: Literal["wait", "lookback", "ignore"] | None
    null_rows: Literal["count", "fail", "ignore"] | None
    custom_query: str | None
    flashback_enabled: bool | None
    flashback_timestamp: str | datetime | None
    chunking: ChunkingKeys | None
    verify: Literal["full", "quick"] | None
    reconcile: Literal["count", "none"] | None
    retry: RetryKeys | None
    on_snapshot_lost: Literal["restart", "fail"] | None
    max_snapshot_restarts: int | None
    on_violation: Literal["fail", "warn", "quarantine"] | None
    max_quarantined: int | str | None
    keep_violating_rows: bool | None
    show_values: bool | None
    sample_rows: int | None
    on_drift: Literal["fail", "ignore-new", "evolve"] | None
    format: str | None
    write: Literal["append", "replace", "replace_date", "merge"] | None
    path_name: str | None
    unique: Sequence[str | Sequence[str]] | None
    references: Sequence[ReferenceKeys] | None


class EntryKeys(TableKeys, total=False):
    """The keys of a table's entry except for `table_name`."""

    source_name: str | None
    extraction_date: str | date | None
    run_id: str | None


class SectionKeys(TypedDict, total=False):
    """The sections of a configuration that `DataExtractor` takes; docs/configuration.md explains each."""

    pipeline: str
    output: Mapping[str, Any]
    storage: Mapping[str, Any]
    execution: Mapping[str, Any]
    defaults: Mapping[str, Any]
    states: Mapping[str, Any]
    show_values: bool


class ExtractorKeys(SectionKeys, total=False):
    """The parameters of `DataExtractor` that its subclasses pass on."""

    sources: Mapping[str, Mapping[str, Any]] | None
    oracle_host: str | None
    oracle_port: int
    oracle_service: str | None
    oracle_user: str | None
    oracle_password: str | SecretStr | None
    reporter: Reporter | None
    engine: GivenEngine | None


@final
class Table(Mapping[str, Any]):
    """One table to extract, checked when it is created; usable wherever an entry of `tables:` is.

    `Table("employees", source_name="erp", schema_name="HR")` equals the mapping with these keys. It is immutable.

    Raises:
        ConfigError: a key or its value cannot be used; every mistake is named.
    """

    __slots__ = ("_keys",)

    def __init__(self, table_name: str, **keys: Unpack[EntryKeys]) -> None:
        entry = copy.deepcopy({"table_name": table_name, **keys})
        check_entry(entry)
        self._keys = entry

    def __getitem__(self, key: str) -> Any:
        return copy.deepcopy(self._keys[key])

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"Table({', '.join(f'{key}={value!r}' for key, value in self._keys.items())})"


def refuse_unknown(extractor: type, sections: Iterable[str]) -> None:
    """Refuse keyword arguments of `extractor` that are neither its parameters nor sections.

    Raises:
        UsageError: an argument is unknown; the hint suggests the right one.
    """
    known = _parameters(extractor) | {*SectionKeys.__annotations__}
    for name in sections:
        if name not in SectionKeys.__annotations__:
            hint = _ELSEWHERE.get(name) or nearest(name, known) or f"it takes {', '.join(sorted(known))}"
            raise UsageError(f"{extractor.__name__} takes no {name!r}", hint=hint)


_ELSEWHERE = {
    "tables": "give the tables to extract_run or extract_tables_parallel",
    "table_name": "give it to extract_table",
    "extraction_date": "give it to extract_table or extract_run",
    "run_id": "give it to extract_table or extract_run",
    "root": "relative paths start at the working directory; give absolute ones",
    "base_path": "it is output_base_path",
}


def _parameters(extractor: type) -> set[str]:
    """The keyword parameters of `extractor` and its base classes."""
    found: set[str] = set()
    for cls in extractor.__mro__[:-1]:
        parameters = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]  # of each class itself
        found |= {each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
    return found
