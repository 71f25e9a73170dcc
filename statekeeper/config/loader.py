"""Loads a pipeline from its files or from a mapping, and reports all problems at once.

Only reads files: it imports no schema models and connects to no source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from pydantic import SecretStr

from statekeeper.config.reading.databricks_secrets import SecretScopes
from statekeeper.config.reading.document import ConfigDocument, KeyPath
from statekeeper.config.reading.mapping import read_mapping
from statekeeper.config.reading.problems import Problem, Spot, config_error, found
from statekeeper.config.reading.references import Secrets, Unset, may_be_left, resolve_references
from statekeeper.config.reading.shape import purpose
from statekeeper.config.reading.text_file import read_text_file
from statekeeper.config.reading.validate import Checked, check, salvage
from statekeeper.config.reading.yaml_text import read_json, read_yaml
from statekeeper.config.resolution import Defaults, WrittenTable, resolve
from statekeeper.config.resolved import Pipeline
from statekeeper.config.root import expanded, root_of
from statekeeper.config.sections.file import ConfigFile, TablesFile, config_file
from statekeeper.config.sections.output import OutputConfig
from statekeeper.config.sections.source import SourceSection
from statekeeper.config.sections.sources import SECTIONS, loadable_sections, section_of
from statekeeper.config.sections.spark import SparkConfig
from statekeeper.config.sections.storage import misplaced_keys, remember_storage
from statekeeper.config.sections.tables import TableDefaults, TableEntry
from statekeeper.errors import ConfigError
from statekeeper.text.places import with_addresses

_ANY_TABLE = {"table_name": "any"}
_Listed: TypeAlias = Checked[ConfigFile] | Checked[TablesFile]


def load_pipeline(
    path: Path,
    *,
    environ: Mapping[str, str],
    tables_path: Path | None = None,
    root: Path | None = None,
    unset: Unset = Unset.REFUSE,
    secrets: Secrets | None = None,
) -> Pipeline:
    """The pipeline that a YAML file describes; the tables of `tables_path` (YAML or JSON) replace its own.

    Relative paths start at the file's key `root`, else at `root`, else at the root that is found. `secrets` reads
    Databricks secrets; the default is `SecretScopes`. With `Unset.LEAVE` only those of `storage` are read, and the
    pipeline must not be run: its sources may lack values.

    Raises:
        ConfigError: its message has a line per problem, `file:line:column: key: what is wrong`.
    """
    secrets = secrets or SecretScopes()
    path = Path(expanded(str(path)))
    config = _read(path, environ, secrets, unset)
    if not isinstance(config.document.data, dict):
        raise config_error([*config.wrong, config.not_a("mapping with pipeline, sources and tables")])
    tables = None
    if tables_path is not None:
        tables = _read(Path(expanded(str(tables_path))), environ, secrets, unset).with_list_below("tables")
    if tables is not None and not isinstance(tables.document.data, dict):
        raise config_error([*config.wrong, *tables.wrong, tables.not_a("list of tables")])
    digest = hashlib.sha256(config.content + (b"" if tables is None else b"\0" + tables.content))
    if unset is Unset.LEAVE:
        config = config.leaving_unset()
    found, problems = root_of(config.document, path, otherwise=root)
    pipeline = _pipeline(
        replace(config, problems=(*config.problems, *problems)),
        tables,
        root=found,
        path=str(path),
        tables_path=str(tables_path) if tables_path else None,
        fingerprint=digest.hexdigest(),
    )
    return replace(pipeline, is_root_named=root is not None or config.document.has(("root",)))


def pipeline_of(mapping: Mapping[str, object], *, name: str = "extract", root: Path | None = None) -> Pipeline:
    """The pipeline that a mapping with the keys of a configuration file describes; `name` is its default name.

    Relative paths start at `root`, by default the working directory.

    Raises:
        ConfigError: its message has a line per problem, `key: what is wrong`.
    """
    document, problems = read_mapping({"pipeline": name, **mapping})
    file = _File(document, tuple(problems), b"")
    return _pipeline(file, None, root=root or Path.cwd(), path=None, tables_path=None, fingerprint=None)


def source_of(name: str, section: Mapping[str, object], *, environ: Mapping[str, str]) -> SourceSection:
    """One section of `sources:`, with its references resolved.

    Raises:
        ConfigError: its message has a line per problem, `sources.<name>.key: what is wrong`.
    """
    document, problems = read_mapping({"pipeline": "source", "sources": {name: section}, "tables": [_ANY_TABLE]})
    filled = resolve_references(document, environ)
    file = _File(filled.document, (*problems, *filled.problems), b"", unset=filled.unset)
    return _pipeline(file, None, root=Path.cwd(), path=None, tables_path=None, fingerprint=None).sources[name]


def check_sections(mapping: Mapping[str, object], *, name: str = "extract") -> None:
    """Check a mapping with keys of a configuration file other than `tables`.

    Raises:
        ConfigError: its message has a line per problem, `key: what is wrong`.
    """
    document, unreadable = read_mapping({"pipeline": name, **mapping})
    _refuse(unreadable, _checked(document).problems)


def check_entry(mapping: Mapping[str, object]) -> None:
    """Check that a mapping is an entry of `tables:`, without checking that its source exists.

    Raises:
        ConfigError: its message has a line per problem, `key: what is wrong`.
    """
    document, unreadable = read_mapping(mapping)
    _refuse(unreadable, check(TableEntry, document).problems)


def _refuse(unreadable: Sequence[Problem], wrong: Iterable[Problem]) -> None:
    if problems := [*unreadable, *_first_causes(wrong, known=unreadable)]:
        raise config_error(problems)


@dataclass(frozen=True)
class _File:
    """A file that was read."""

    document: ConfigDocument
    problems: tuple[Problem, ...]
    content: bytes
    unset: tuple[Problem, ...] = ()
    """References to variables or secrets that are not set; also problems."""
    left: tuple[Problem, ...] = ()
    """Unset references that were left unresolved."""

    @property
    def wrong(self) -> tuple[Problem, ...]:
        return (*self.problems, *self.unset)

    def leaving_unset(self) -> _File:
        """The same, with unset references that only a run needs left unresolved.

        A key that cannot have text as its value, such as a port, is removed.
        """
        left = tuple(problem for problem in self.unset if may_be_left(problem.path))
        paths = {problem.path for problem in left}
        document = self.document
        while unfit := [p.path for p in _checked(document).problems if p.path in paths]:
            paths -= set(unfit)
            for path in unfit:
                document = document.without(path) if isinstance(path[-1], str) else document
        still = tuple(problem for problem in self.unset if problem not in left)
        return replace(self, document=document, unset=still, left=left)

    def with_list_below(self, key: str) -> _File:
        """The file with its list as the value of `key`."""
        if not isinstance(self.document.data, list):
            return self

        def moved(problems: Iterable[Problem]) -> tuple[Problem, ...]:
            return tuple(replace(p, document=p.document.below(key), path=(key, *p.path)) for p in problems)

        return _File(self.document.below(key), moved(self.problems), self.content, unset=moved(self.unset))

    def not_a(self, what: str) -> Problem:
        return Problem(self.document, (), f"expected a {what}; found {found(self.document, ())}")


def _read(path: Path, environ: Mapping[str, str], secrets: Secrets, unset: Unset) -> _File:
    name = str(path)
    content = read_text_file(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        raise ConfigError(
            f"{name}:{place}: expected text in UTF-8; found the byte 0x{content[error.start]:02x}"
        ) from None
    document, duplicates = (read_json if path.suffix == ".json" else read_yaml)(text, name=name)
    filled = resolve_references(document, environ, secrets=secrets, unset=unset)
    return _File(filled.document, (*duplicates, *filled.problems), content, unset=filled.unset)


def _pipeline(
    config: _File,
    tables: _File | None,
    *,
    root: Path,
    path: str | None,
    tables_path: str | None,
    fingerprint: str | None,
) -> Pipeline:
    checked = _checked(config.document)
    listed = checked if tables is None else check(TablesFile, tables.document)
    problems = [*config.wrong, *(tables.wrong if tables else ())]
    problems += _first_causes((*checked.problems, *(listed.problems if tables else ())), known=problems)
    problems += _no_tables(listed.document, problems)
    defaults = _defaults(checked, problems)
    resolved = resolve(
        _written_tables(listed, problems),
        defaults=defaults,
        sources=_sources(checked, problems),
        root=root,
        output=OutputConfig() if checked.value is None else checked.value.output,
    )
    problems += (*resolved.problems, *_misplaced_storage(checked))
    if problems or checked.value is None:
        raise config_error(sorted(problems, key=lambda problem: problem.document.name != config.document.name))
    written = checked.value
    pipeline = Pipeline(
        name=written.pipeline,
        path=path,
        tables_path=tables_path,
        root=root,
        fingerprint=fingerprint or hashlib.sha256(written.model_dump_json().encode()).hexdigest(),
        sources=written.sources,
        written_output=written.output,
        execution=written.execution,
        states=written.states,
        defaults=defaults.section,
        extraction_date=written.extraction_date,
        tables=resolved.tables,
        storage=written.storage.in_root(root),
        in_commands=_in_commands(checked.document),
        unset=tuple(str(problem) for problem in config.left),
        further_secrets=tuple(map(SecretStr, _further_secrets(config.document, tables, written.execution.spark))),
    )
    remember_storage(pipeline.base_path, pipeline.storage)
    return pipeline


def _misplaced_storage(checked: Checked[ConfigFile]) -> Iterator[Problem]:
    """A problem for each key of `storage:` that belongs to another store than the base path's."""
    if (written := checked.value) is not None:
        for key, stores in misplaced_keys(written.storage, Path(written.output.base_path)):
            text = f"this key belongs to {stores}, and output.base_path is {with_addresses(written.output.base_path)}"
            yield Problem(checked.document, ("storage", key), text, hint="remove the key", spot=Spot.KEY)


def _checked(document: ConfigDocument) -> Checked[ConfigFile]:
    """Validate the configuration with the source types that it names, or with all types if it is wrong.

    Raises:
        ConfigError: the package of a type cannot be loaded.
    """
    types = dict.fromkeys(kind for kind in _source_types(document).values() if kind is not None)
    if types and all(map(SECTIONS.has, types)):
        checked = check(config_file(tuple(map(section_of, types))), document)
        if checked.value is not None:
            return checked
    checked = check(config_file(loadable_sections()), document)
    return replace(checked, problems=tuple(map(_with_further_types, checked.problems)))


def _source_types(document: ConfigDocument) -> dict[str, str | None]:
    """The type of each section of `sources:`, by the section's name; None if it is not text."""
    sources = document.data.get("sources") if isinstance(document.data, dict) else None
    found: dict[str, str | None] = {}
    for name, section in sources.items() if isinstance(sources, dict) else ():
        kind = section.get("type") if isinstance(section, dict) else None
        found[name] = kind if isinstance(kind, str) else None
    return found


def _with_further_types(problem: Problem) -> Problem:
    """The problem; for an unknown type of source, its hint also says where further types come from."""
    if problem.path[0::2] != ("sources", "type") or not problem.text.startswith("expected one of"):
        return problem
    return replace(problem, hint="; ".join(filter(None, (problem.hint, SECTIONS.hint_of_more))))


def _further_secrets(config: ConfigDocument, tables: _File | None, spark: SparkConfig) -> Iterator[str]:
    """Values that are secret by origin or use: from a secret scope, or for a setting of Spark."""
    yield from config.secrets
    yield from tables.document.secrets if tables else ()
    yield from spark.secrets
    for path, texts in config.filled.items():
        if path[:3] == ("execution", "spark", "conf"):
            yield from texts


def _in_commands(document: ConfigDocument) -> tuple[str, ...]:
    hooks = ("states", "on_enter")
    return tuple(text for path, texts in document.filled.items() if path[:2] == hooks for text in texts)


def _no_tables(document: ConfigDocument, problems: Sequence[Problem]) -> list[Problem]:
    """The problem of a document without `tables`, unless it was already reported."""
    assert isinstance(document.data, dict)
    if document.data.get("tables") is not None or any(p.path == ("tables",) or "'tables'" in p.hint for p in problems):
        return []
    is_null = "tables" in document.data
    text = f"expected a list; found {found(document, ('tables',))}" if is_null else "this key is missing"
    return [Problem(document, ("tables",), text, hint=purpose(ConfigFile, ("tables",)))]


def _first_causes(problems: Iterable[Problem], *, known: Sequence[Problem]) -> list[Problem]:
    """The problems without those that follow from another one: an unset reference, a wrong type of source."""
    problems = list(problems)
    wrong_sources = {(p.document.name, p.path[:2]) for p in problems if p.path[0::2] == ("sources", "type")}
    causes = {(p.document.name, p.path) for p in known}
    return [
        p
        for p in problems
        if (p.document.name, p.path) not in causes
        and (p.path[2:] == ("type",) or (p.document.name, p.path[:2]) not in wrong_sources)
    ]


def _written_tables(listed: _Listed, problems: Sequence[Problem]) -> list[WrittenTable]:
    """The entries that can be read, without their wrong keys."""
    document = listed.document
    paths: list[KeyPath] = []
    if isinstance(document.data, dict) and isinstance(entries := document.data.get("tables"), list):
        paths = [("tables", index) for index in range(len(entries))]
    if listed.value is not None and listed.value.tables is not None:
        return [WrittenTable(entry, document, path) for entry, path in zip(listed.value.tables, paths, strict=True)]
    wrong = _paths_in(document, problems)
    found = []
    for path in paths:
        keys = frozenset(str(wrong_path[2]) for wrong_path in wrong if wrong_path[:2] == path and len(wrong_path) > 2)
        named = document
        if isinstance(entry_data := document.at(path), dict) and (
            "table_name" in keys or "table_name" not in entry_data
        ):
            keys |= {"table_name"}
            named = document.with_value((*path, "table_name"), "?")
        entry = salvage(TableEntry, named, below=path, without=[p for p in wrong if p[2:] != ("table_name",)])
        if entry is not None:
            found.append(WrittenTable(entry, document, path, wrong_keys=keys))
    return found


def _defaults(checked: Checked[ConfigFile], problems: Sequence[Problem]) -> Defaults:
    if checked.value is not None:
        written = checked.value.defaults
        if written.show_values is None:
            written = written.model_copy(update={"show_values": checked.value.show_values})
        return Defaults(written, checked.document)
    wrong = _paths_in(checked.document, problems)
    section = salvage(TableDefaults, checked.document, below=("defaults",), without=wrong)
    return Defaults(section or TableDefaults(), checked.document)


def _sources(checked: Checked[ConfigFile], problems: Sequence[Problem]) -> Mapping[str, SourceSection | None]:
    if checked.value is not None:
        return checked.value.sources
    wrong = _paths_in(checked.document, problems)
    found: dict[str, SourceSection | None] = {}
    for name, kind in _source_types(checked.document).items():
        found[name] = None
        if kind is not None and SECTIONS.has(kind):
            found[name] = salvage(section_of(kind), checked.document, below=("sources", name), without=wrong)
    return found


def _paths_in(document: ConfigDocument, problems: Sequence[Problem]) -> list[KeyPath]:
    return [problem.path for problem in problems if problem.document.name == document.name]
