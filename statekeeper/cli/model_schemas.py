"""The models of a configuration's tables as JSON Schema: which there are, their file names and exact text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from statekeeper.cli.generated import GeneratedFiles
from statekeeper.config.resolved import ExtractionConfig
from statekeeper.errors import UsageError
from statekeeper.model.table import safe_name
from statekeeper.schemas.model.export import json_schema
from statekeeper.schemas.model.load import load_model

Schemas = Mapping[str, dict[str, Any]]
"""A JSON Schema for each table, by its key."""


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
