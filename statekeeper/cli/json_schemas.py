"""The JSON Schemas of statekeeper's files: of the config for editors, of the documents for whoever reads them.

Decides which there are and their exact text: the same models give the same bytes, with sorted keys.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from statekeeper.config.models import config_json_schema
from statekeeper.model.manifest import RunManifest, RunStatus
from statekeeper.model.metadata import Metadata
from statekeeper.model.plan import Plan
from statekeeper.model.preview import PlanReport
from statekeeper.model.receipt import CountReceipt, Receipt
from statekeeper.model.record import StateRecord
from statekeeper.report import RunReport
from statekeeper.schemas.findings import Violations

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_WRITTEN: tuple[tuple[str, type[BaseModel]], ...] = (
    ("count-receipt", CountReceipt),
    ("manifest", RunManifest),
    ("metadata", Metadata),
    ("plan", Plan),
    ("plan-report", PlanReport),
    ("receipt", Receipt),
    ("run-report", RunReport),
    ("state", StateRecord),
    ("status", RunStatus),
    ("violations", Violations),
)
"""What statekeeper writes, by the name of its schema's file."""


def write(folder: Path) -> tuple[Path, ...]:
    """Write every schema to `folder`; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = _texts(folder)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return tuple(texts)


def stale(folder: Path) -> tuple[Path, ...]:
    """The files in `folder` that are absent, differ from what `write` would write, or have no model any more."""
    texts = _texts(folder)
    differing = [path for path, text in texts.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    strangers = [path for path in sorted(folder.glob("*.json")) if path not in texts]
    return (*differing, *strangers)


def _texts(folder: Path) -> dict[Path, str]:
    schemas = {
        "config": config_json_schema(),
        **{name: model.model_json_schema(mode="serialization") for name, model in _WRITTEN},
    }
    return {folder / f"{name}.json": _text(name, schema) for name, schema in sorted(schemas.items())}


def _text(name: str, schema: dict[str, Any]) -> str:
    body = {**schema, "$schema": _DIALECT, "$id": f"statekeeper/{name}.json"}
    return json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
