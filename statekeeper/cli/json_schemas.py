"""The JSON Schemas of statekeeper's files: of the config for editors, of the documents for their readers.

Decides which schemas there are and their exact text: the same models give the same bytes, with sorted keys.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from statekeeper.cli.generated import GeneratedFiles
from statekeeper.config.sections.file import config_json_schema
from statekeeper.model.manifest import RunManifest, RunStatus
from statekeeper.model.metadata import Metadata
from statekeeper.model.plan import Plan
from statekeeper.model.preview import PlanReport
from statekeeper.model.receipt import CountReceipt, Receipt, RejectsReceipt, SplitReceipt
from statekeeper.model.record import StateRecord
from statekeeper.model.run_snapshot import RunSnapshot
from statekeeper.run.report import RunReport
from statekeeper.scaffold.inference import Inference
from statekeeper.schemas.columns.differences import DiffReport
from statekeeper.schemas.model.export import DIALECT
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
    ("schemas-diff", DiffReport),
    ("schemas-infer", Inference),
    ("run-snapshot", RunSnapshot),
    ("state", StateRecord),
    ("status", RunStatus),
    ("violations", Violations),
)
"""What statekeeper writes, by the file name of its schema."""


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
