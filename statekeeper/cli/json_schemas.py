"""JSON Schemas as files: of the config for editors, of documents for their readers, of the models of tables.

Decides which schemas there are and their exact text: the same models give the same bytes. Writes them, or checks that
the files that are kept in a repository are up to date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.config.sections.file import config_json_schema
from statekeeper.errors import StorageError, UsageError
from statekeeper.model.history import TableHistory
from statekeeper.model.manifest import RunManifest, RunStatus
from statekeeper.model.metadata import Metadata
from statekeeper.model.plan import Plan, RunSnapshot
from statekeeper.model.preview import PlanReport
from statekeeper.model.receipt import CountReceipt, Receipt, RejectsReceipt, SplitReceipt
from statekeeper.model.record import StateRecord
from statekeeper.model.table import safe_name
from statekeeper.run.backfill_status import BackfillStatus
from statekeeper.run.report import BackfillReport, RunReport
from statekeeper.scaffold.inference import Inference
from statekeeper.schemas.columns.differences import DiffReport
from statekeeper.schemas.model.export import DIALECT, json_schema
from statekeeper.schemas.model.load import load_model
from statekeeper.schemas.rules.findings import Violations

_WRITTEN: tuple[tuple[str, type[BaseModel]], ...] = (
    ("count-receipt", CountReceipt),
    ("manifest", RunManifest),
    ("metadata", Metadata),
    ("plan", Plan),
    ("plan-report", PlanReport),
    ("receipt", Receipt),
    ("rejects-receipt", RejectsReceipt),
    ("split-receipt", SplitReceipt),
    ("run-report", RunReport),
    ("backfill-report", BackfillReport),
    ("backfill-status", BackfillStatus),
    ("history", TableHistory),
    ("schemas-diff", DiffReport),
    ("schemas-infer", Inference),
    ("run-snapshot", RunSnapshot),
    ("state", StateRecord),
    ("status", RunStatus),
    ("violations", Violations),
)
"""What statekeeper writes, by the file name of its schema."""
Schemas = Mapping[str, dict[str, Any]]
"""A JSON Schema for each table, by its key."""


@dataclass(frozen=True)
class GeneratedFiles:
    """The `.json` files that a folder should hold, by name. `is_all` False: it may hold others, too."""

    folder: Path
    texts: Mapping[str, str]
    is_all: bool = True

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(self.folder / name for name in self.texts)

    def write(self) -> tuple[Path, ...]:
        """Write every file; returns their paths. Raises StorageError if one cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name, text in self.texts.items():
                (self.folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{error.filename} cannot be written: {error.strerror}") from error
        return self.paths

    def stale(self) -> tuple[Path, ...]:
        """The files that are missing, outdated, or have no model any more."""
        differing = [path for path, text in zip(self.paths, self.texts.values(), strict=True) if _content(path) != text]
        foreign_files = [path for path in sorted(self.folder.glob("*.json")) if path.name not in self.texts]
        return (*differing, *foreign_files) if self.is_all else tuple(differing)


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error


def files(folder: Path) -> GeneratedFiles:
    """Every schema, as a file in `folder`."""
    schemas = {
        "config": config_json_schema(),
        **{name: model.model_json_schema(mode="serialization") for name, model in _WRITTEN},
    }
    return GeneratedFiles(folder, {f"{name}.json": _text(name, schema) for name, schema in sorted(schemas.items())})


def _text(name: str, schema: dict[str, Any]) -> str:
    body = {**schema, "$schema": DIALECT, "$id": f"statekeeper/{name}.json"}
    return json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def schemas_of(tables: Sequence[ExtractionConfig], *, infer: str) -> Schemas:
    """The schemas of all tables with a model; `infer` is the command that drafts models.

    Raises:
        ConfigError: a model cannot be imported, or has no JSON Schema.
        UsageError: none of the tables has a model.
    """
    models = {config.table.key: load_model(config.model, base=config.root) for config in tables}
    found = {key: json_schema(model, table=key) for key, model in models.items() if model is not None}
    if not found:
        raise UsageError("no schema is declared for any of these tables", hint=f"`{infer}` drafts one")
    return found


def as_object(schemas: Schemas) -> str:
    """All schemas as one JSON object, by the tables' keys."""
    return json.dumps(schemas, indent=2, ensure_ascii=False)


def as_files(schemas: Schemas, folder: Path, *, is_all: bool) -> GeneratedFiles:
    """A file for each schema; `is_all`: the folder may hold no others."""
    texts = {
        f"{safe_name(key)}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for key, schema in schemas.items()
    }
    return GeneratedFiles(folder, texts, is_all=is_all)
