"""What is read of a configuration without the rest of it: its pipeline's name, its tables and its base path.

`status` needs no more. It must be quick, must not fail because a password is missing, and must not connect to
anything, so the outline has literal values only, and all checks are left to the loader.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from statekeeper.config.reading.document import Plain
from statekeeper.config.reading.references import Unset, resolve_references
from statekeeper.config.reading.text_file import read_text_file
from statekeeper.config.reading.yaml_text import read_json, read_yaml
from statekeeper.config.root import expanded, from_here, root_of
from statekeeper.config.sections.output import OutputConfig
from statekeeper.config.sections.stores import is_object_store
from statekeeper.errors import ConfigError
from statekeeper.model.table import TableRef

_BASE_PATH = ("output", "base_path")
_MUST_RESOLVE = {_BASE_PATH, ("root",)}


@dataclass(frozen=True)
class Outline:
    """The literal values of a config.

    `tables` is None if an entry contains references or is invalid; `fingerprint` is that of `Pipeline`.
    """

    pipeline: str | None
    tables: tuple[TableRef, ...] | None
    fingerprint: str


def outline_of(path: Path, *, environ: Mapping[str, str], tables_path: Path | None = None) -> Outline | None:
    """The outline of a configuration file, with the tables of `tables_path` instead of its own; None if unreadable."""
    try:
        content = read_text_file(path)
        listed = None if tables_path is None else read_text_file(tables_path)
        config = _data(path, content, environ)
        tables = config if tables_path is None or listed is None else _data(tables_path, listed, environ)
    except (ValueError, ConfigError):
        return None
    if not isinstance(config, dict):
        return None
    entries = tables.get("tables") if isinstance(tables, dict) else tables
    name = config.get("pipeline")
    digest = hashlib.sha256(content + (b"" if listed is None else b"\0" + listed))
    return Outline(name if isinstance(name, str) else None, _tables(entries, config), digest.hexdigest())


def _data(path: Path, content: bytes, environ: Mapping[str, str]) -> Plain:
    read = read_json if path.suffix == ".json" else read_yaml
    document, _ = read(content.decode("utf-8-sig"), name=str(path))
    return resolve_references(document, environ).document.data


def _tables(entries: Any, config: Mapping[str, Any]) -> tuple[TableRef, ...] | None:
    defaults, sources = config.get("defaults"), config.get("sources")
    shared = defaults if isinstance(defaults, dict) else {}
    only = {"source_name": next(iter(sources))} if isinstance(sources, dict) and len(sources) == 1 else {}
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return None
    tables = [_table({**only, **shared, **entry}) for entry in entries]
    plain = tuple(table for table in tables if table is not None)
    return plain if len(plain) == len(tables) else None


def _table(entry: Mapping[str, Any]) -> TableRef | None:
    table, source, schema = entry.get("table_name"), entry.get("source_name"), entry.get("schema_name")
    path = entry.get("path_name") or table
    if not (isinstance(table, str) and isinstance(source, str) and isinstance(path, str)):
        return None
    if not isinstance(schema, str | None) or any("${" in name for name in (table, source, path, schema or "")):
        return None
    return TableRef(source_name=source, schema_name=schema, table_name=table, path_name=path)


def base_path_of(path: Path, *, environ: Mapping[str, str]) -> Path:
    """The `output.base_path` of the configuration file `path`, as this process opens it.

    Raises:
        ConfigError: the file cannot be read, or the base path is wrong; it lists all other problems, too.
    """
    path = Path(expanded(str(path)))
    try:
        document, _ = read_yaml(read_text_file(path).decode("utf-8-sig"), name=str(path))
    except ValueError:
        return _base_path_in_full(path, environ)
    references = resolve_references(document, environ)
    filled = references.document
    root, wrong = root_of(filled, path)
    if wrong or any(problem.path in _MUST_RESOLVE for problem in references.wrong):
        return _base_path_in_full(path, environ)
    if not filled.has(_BASE_PATH):
        return from_here(root, OutputConfig().base_path)
    value = filled.at(_BASE_PATH)
    try:
        base_path = from_here(root, OutputConfig(base_path=value).base_path)  # type: ignore[arg-type]  # the model checks it
    except ValidationError:
        return _base_path_in_full(path, environ)
    # How an object store is reached stands in a section of its own, whose problems are found as those of others are.
    return _base_path_in_full(path, environ, unset=Unset.LEAVE) if is_object_store(base_path) else base_path


def _base_path_in_full(path: Path, environ: Mapping[str, str], *, unset: Unset = Unset.REFUSE) -> Path:
    """The base path of the whole configuration, or every problem of it."""
    from statekeeper.config.loader import (
        load_pipeline,
    )  # all sections and their checks: rarely needed, and slow to load

    return load_pipeline(path, environ=environ, unset=unset).base_path
