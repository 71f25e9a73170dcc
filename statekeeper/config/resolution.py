"""Resolves entries of `tables:` with `defaults:` to extractions, and finds problems that involve several keys."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any, TypeVar

from statekeeper.config.format_resolution import format_problems
from statekeeper.config.key_resolution import keys_of, reference_problems
from statekeeper.config.reading.document import ConfigDocument, KeyPath, path_text
from statekeeper.config.reading.problems import Problem, location, quoted
from statekeeper.config.resolved import ExtractionConfig, IncrementalConfig
from statekeeper.config.root import expanded
from statekeeper.config.sections.chunking import ChunkingStrategy
from statekeeper.config.sections.output import OutputConfig
from statekeeper.config.sections.section import Section
from statekeeper.config.sections.source import SnapshotScope, SourceSection
from statekeeper.config.sections.table_formats import WriteMode
from statekeeper.config.sections.tables import TableDefaults, TableEntry
from statekeeper.config.suggest import nearest
from statekeeper.config.window_resolution import NEED_A_COLUMN, WINDOW_KEYS_DEPEND, marks_rows, window_problems
from statekeeper.model.schema import SchemaRef
from statekeeper.model.table import Keys, Relation, TableRef, safe_name

Part = TypeVar("Part", bound=Section)

_NAMING = frozenset({"source_name", "table_name", "path_name"})
_DEPENDS = {
    **dict.fromkeys((*NEED_A_COLUMN, "is_full_extract"), frozenset({"incremental_column"})),
    **WINDOW_KEYS_DEPEND,
    **dict.fromkeys(("flashback_enabled", "flashback_timestamp"), frozenset({"source_name"})),
    "chunking": frozenset({"custom_query"}),
    "columns": frozenset({"schema"}),
}
"""The other keys on which a problem at a key depends."""
_POLICIES = (
    "on_gap",
    "late_commits",
    "null_rows",
    "chunking",
    "verify",
    "reconcile",
    "retry",
    "on_snapshot_lost",
    "max_snapshot_restarts",
    "on_violation",
    "max_quarantined",
    "keep_violating_rows",
    "show_values",
    "sample_rows",
    "on_drift",
)
"""Keys with the same name in an extraction."""
_ATTRIBUTES = {"schema": "schema_model"}
_SEEN_WITH_MODEL = ("format", "schema", "columns", "incremental_column", "unique", "references", "chunking")
"""The keys that are checked against the model, or by importing what they name."""


@dataclass(frozen=True)
class WrittenTable:
    """An entry and its place. `wrong_keys` could not be read and were left out."""

    entry: TableEntry
    document: ConfigDocument
    path: KeyPath
    wrong_keys: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Defaults:
    """The `defaults:` section and its document."""

    section: TableDefaults
    document: ConfigDocument


@dataclass(frozen=True)
class Resolved:
    """The extractions, or the problems; neither if only sources are wrong."""

    tables: tuple[ExtractionConfig, ...]
    problems: tuple[Problem, ...]


def resolve(
    written: Sequence[WrittenTable],
    *,
    defaults: Defaults,
    sources: Mapping[str, SourceSection | None],
    root: Path,
    output: OutputConfig,
) -> Resolved:
    """Resolve every entry. `sources` has None for a source whose section could not be read.

    Relative paths start at `root`.
    """
    tables = [_Table(entry, defaults, sources, root, output) for entry in written]
    problems = [problem for table in tables for problem in table.problems()]
    problems += _shared_folders(tables)
    problems += _references(tables)
    is_whole = not problems and all(table.source is not None for table in tables)
    resolved = tuple(table.resolved(keys_of(table, tables)) for table in tables) if is_whole else ()
    return Resolved(resolved, tuple(problems))


def merge_sections(top: Part, base: Part) -> Part:
    """`base`, overridden by every key that `top` sets; nested sections are merged recursively."""
    values: dict[str, object] = {name: getattr(base, name) for name in base.model_fields_set}
    for name in top.model_fields_set:
        value, under = getattr(top, name), values.get(name)
        is_pair = isinstance(value, Section) and isinstance(under, Section)
        values[name] = merge_sections(value, under) if is_pair else value
    return top.model_copy(update=values)


class _Table:
    """One entry merged with the defaults."""

    def __init__(
        self,
        written: WrittenTable,
        defaults: Defaults,
        sources: Mapping[str, SourceSection | None],
        root: Path,
        output: OutputConfig,
    ) -> None:
        self.written = written
        self.defaults = defaults
        self.sources = sources
        self.root = root
        self.output = output
        self.entry = _over_defaults(written.entry, defaults.section)

    @property
    def source_name(self) -> str:
        """The source's name; the source may not exist."""
        only = next(iter(self.sources)) if len(self.sources) == 1 else ""
        return self.entry.source_name or only

    @property
    def source(self) -> SourceSection | None:
        return self.sources.get(self.source_name)

    @property
    def folder(self) -> tuple[str, str]:
        """The table-specific part of its folder's path, in lower case for case-insensitive file systems."""
        return self.folder_of(self.entry.path_name or self.entry.table_name)

    def folder_of(self, path_name: str) -> tuple[str, str]:
        """The same, if its `path_name` were this one."""
        return safe_name(self.source_name).casefold(), safe_name(path_name).casefold()

    @property
    def ref(self) -> TableRef:
        return TableRef(
            source_name=self.source_name,
            schema_name=self.entry.schema_name,
            table_name=self.entry.table_name,
            path_name=self.entry.path_name or self.entry.table_name,
        )

    @property
    def relation(self) -> Relation:
        query = self.entry.custom_query
        if query is not None:
            return Relation(query=query)
        return Relation(schema_name=self.entry.schema_name, table_name=self.entry.table_name)

    @property
    def is_full_extract(self) -> bool:
        if self.entry.is_full_extract is not None:
            return self.entry.is_full_extract
        return self.entry.incremental_column is None

    def problem(self, *key: str | int, text: str, hint: str = "") -> Problem:
        """A problem at a key of the entry, or of the defaults if only they have it."""
        own, shared = (*self.written.path, *key), ("defaults", *key)
        if not self.written.document.has(own) and self.defaults.document.has(shared):
            return Problem(self.defaults.document, shared, text, hint=hint, table=self.written.path)
        return Problem(self.written.document, own, text, hint=hint)

    def proposal(self, taken: Container[tuple[str, str]]) -> str | None:
        """A `path_name` that is not `taken`; None if it may not be shown."""
        if self.is_hidden("schema_name") or self.is_hidden("table_name"):
            return None
        schema, table = self.entry.schema_name, self.entry.table_name
        name = f"{schema}_{table}" if schema else table
        numbered = (f"{name}_{number}" for number in count(2))
        return next(each for each in chain((name,), numbered) if self.folder_of(each) not in taken)

    def is_hidden(self, key: str) -> bool:
        """Whether the value of a key came from a reference."""
        problem = self.problem(key, text="")
        return problem.path in problem.document.hidden

    def shown(self, key: str, value: str) -> str:
        """A value for messages; a value from a reference is only described."""
        problem = self.problem(key, text="")
        return problem.document.hidden.get(problem.path, quoted(value))

    def sets(self, key: str) -> bool:
        """Whether the entry itself sets a key."""
        return key in self.written.entry.model_fields_set and getattr(self.written.entry, key) is not None

    def sets_at_all(self, key: str) -> bool:
        """Whether the entry or the defaults set a key."""
        return getattr(self.entry, _ATTRIBUTES.get(key, key)) is not None

    def problems(self) -> list[Problem]:
        found = [
            *self._source(),
            *self._schema(),
            *window_problems(self),
            *self._chunking(),
            *self._flashback(),
            *format_problems(self),
        ]
        # Do not report a key as missing that was left out because it could not be read.
        return found if not self.written.wrong_keys else [p for p in found if not self._follows(p)]

    def _follows(self, problem: Problem) -> bool:
        own = self.written.path
        depth = len(own) if problem.path[: len(own)] == own else 1
        key = str(problem.path[depth])
        return bool((_DEPENDS.get(key, frozenset()) | {key}) & self.written.wrong_keys)

    def _source(self) -> list[Problem]:
        if self.source_name in self.sources:
            return []
        names = ", ".join(f"'{name}'" for name in self.sources)
        if self.entry.source_name is None:
            text = f"this key is missing, and there are {len(self.sources)} sources" if self.sources else ""
            return [self.problem("source_name", text=text, hint=f"one of {names}")] if text else []
        shown = self.shown("source_name", self.source_name)
        hint = nearest(self.source_name, self.sources) if not self.is_hidden("source_name") else ""
        text = f"expected one of the sources {names}; found {shown}"
        return [self.problem("source_name", text=text, hint=hint)] if names else []

    def _schema(self) -> list[Problem]:
        found = []
        path = self.entry.schema_model
        if path is not None and self.entry.columns is not None:
            found.append(self.problem("columns", text="expected either `schema` or `columns`; found both"))
        file = (path or "").rpartition(":")[0]
        if path is not None and not _is_file(self.root / expanded(file)):
            hint = f"relative paths start at {self.root}"
            text = f"expected the path of a Python file that exists; found {self.shown('schema', file)}"
            found.append(self.problem("schema", text=text, hint=hint))
        return found

    def _chunking(self) -> list[Problem]:
        chunking = self.entry.chunking
        if chunking is None:
            return []
        strategy = chunking.strategy
        is_physical = strategy in {ChunkingStrategy.PARTITION, ChunkingStrategy.ROWID}
        if self.entry.custom_query is not None and is_physical:
            text = f"a custom_query cannot be cut by {strategy}: expected 'auto', 'key' or 'none'; found '{strategy}'"
            return [self.problem("chunking", "strategy", text=text)]
        source = self.source
        if source is not None and strategy is not ChunkingStrategy.AUTO and strategy not in source.CAN_CUT_BY:
            ways = " or ".join(f"'{way}'" for way in sorted(source.CAN_CUT_BY))
            text = f"a {source.type_name()} source cannot be cut by {strategy}: expected {ways}; found '{strategy}'"
            return [self.problem("chunking", "strategy", text=text)]
        if strategy is ChunkingStrategy.KEY and chunking.column is None:
            hint = "name a column whose values are spread evenly, such as the primary key"
            return [self.problem("chunking", "strategy", text="strategy 'key' needs a `column`", hint=hint)]
        return []

    def _flashback(self) -> list[Problem]:
        source = self.source
        if source is None or (source.CAN_READ_THE_PAST and source.snapshot_scope is SnapshotScope.TABLE):
            return []
        keys = [key for key in ("flashback_enabled", "flashback_timestamp") if getattr(self.entry, key)]
        text = f"a {source.type_name()} source cannot read at an earlier time"
        if source.CAN_READ_THE_PAST:
            text = "with snapshot_scope: run, all tables of the source are read at one snapshot, none at another time"
        return [self.problem(key, text=text, hint="leave this key out") for key in keys]

    @property
    def format(self) -> str:
        return self.entry.format or self.output.format

    @property
    def write(self) -> WriteMode:
        return self.entry.write or self.output.write

    def resolved(self, keys: Keys) -> ExtractionConfig:
        entry, source = self.entry, self.source
        assert source is not None
        return ExtractionConfig(
            table=self.ref,
            root=self.root,
            source=source,
            login=next(name for name, other in self.sources.items() if other and other.shares_login(source)),
            relation=self.relation,
            model=SchemaRef(path=entry.schema_model, columns=entry.columns),
            incremental=_incremental_config(entry),
            is_full_extract=self.is_full_extract,
            mark_taken_before=marks_rows(self),
            **_set({name: getattr(entry, name) for name in _POLICIES}),
            format=self.format,
            write=self.write,
            keys=keys,
            flashback_enabled=bool(entry.flashback_timestamp)
            if entry.flashback_enabled is None
            else entry.flashback_enabled,
            flashback_timestamp=entry.flashback_timestamp,
            extraction_date=entry.extraction_date,
            run_id=entry.run_id,
            declared_at=location(self.written.document, self.written.path),
            places={key: self.problem(key, text="").finding.place for key in _SEEN_WITH_MODEL if self.sets_at_all(key)},
        )


def _over_defaults(entry: TableEntry, defaults: TableDefaults) -> TableEntry:
    # `schema` and `columns` are alternatives: if the entry sets one, the other one in the defaults is ignored.
    other = {"schema_model": "columns", "columns": "schema_model"}
    hidden = {other[name] for name in other if name in entry.model_fields_set} - entry.model_fields_set
    base = {name: getattr(defaults, name) for name in defaults.model_fields_set - hidden}
    return merge_sections(entry, entry.model_construct(_fields_set=set(base), **base))


def _incremental_config(entry: TableEntry) -> IncrementalConfig | None:
    if entry.incremental_column is None:
        return None
    window = {
        "kind": entry.window,
        "lookback": entry.lookback,
        "timezone": entry.incremental_timezone,
        "allow_open_window": entry.allow_open_window,
    }
    return IncrementalConfig(column=entry.incremental_column, **_set(window))


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are set; the rest keep their built-in defaults."""
    return {name: value for name, value in values.items() if value is not None}


def _shared_folders(tables: list[_Table]) -> list[Problem]:
    """A problem for each entry whose folder an earlier entry already has."""
    first: dict[tuple[str, str], _Table] = {}
    taken = {table.folder for table in tables}
    found = []
    for table in tables:
        earlier = first.setdefault(table.folder, table)
        if earlier is table or _NAMING & (table.written.wrong_keys | earlier.written.wrong_keys):
            continue
        key = "path_name" if table.sets("path_name") else "table_name"
        text = f"{path_text(earlier.written.path)} writes to the same folder"
        hint = "give one of them its own path_name"
        if (proposal := table.proposal(taken)) is not None:
            taken.add(table.folder_of(proposal))
            hint += f", such as {proposal}"
        found.append(table.problem(key, text=text, hint=hint))
    return found


def _references(tables: list[_Table]) -> list[Problem]:
    """The problems of references; none if a table's name could not be read, since it may be the referenced one."""
    if any(_NAMING & table.written.wrong_keys for table in tables):
        return []
    return [
        problem
        for table in tables
        if not table.written.wrong_keys & {"references"}
        for problem in reference_problems(table, tables)
    ]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
