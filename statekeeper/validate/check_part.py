"""Checks one staged part in a worker: does it match its receipt, and do its rows satisfy the schema?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from statekeeper.config.resolved import Verify
from statekeeper.engines.context import WorkContext
from statekeeper.model.metadata import PublishedFile
from statekeeper.model.plan import PlannedColumn
from statekeeper.model.receipt import Receipt
from statekeeper.parquet.integrity import find_object_damage, find_part_damage
from statekeeper.schemas.model.shipped import ShippedModel
from statekeeper.schemas.rules.findings import Findings
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import read_more_than_once
from statekeeper.store.versions import object_at


@dataclass(frozen=True)
class PartCheckSpec:
    """A staged part with its receipt and columns; the findings show up to `samples` rows per broken constraint."""

    path: Path
    receipt: Receipt
    columns: tuple[PlannedColumn, ...]
    model: ShippedModel
    samples: int
    disk: Disk


@dataclass(frozen=True, slots=True)
class PartCheck:
    """The damage of the part in words, or the findings of its scan."""

    damage: str | None
    findings: Findings | None


def check_part(spec: PartCheckSpec, context: WorkContext) -> PartCheck:
    """Check the part's bytes against its receipt, then its rows against the schema."""
    from statekeeper.schemas.rules.checks import (
        compile_checks,  # imported here, because the parent process only sends this work to a worker
    )
    from statekeeper.validate.scan import scan_part

    receipt = spec.receipt
    expected = PublishedFile(name=spec.path.name, rows=receipt.rows, bytes=receipt.bytes, md5=receipt.md5)
    with read_more_than_once(spec.disk, spec.path) as path:
        try:
            file = object_at(spec.disk, path)
        except FileNotFoundError:
            return PartCheck(f"{path.name} is missing", None)
        if file is None:
            damage = find_part_damage(path, expected, plan_id=receipt.plan_id, verify=Verify.FULL)
        else:
            damage = find_object_damage(spec.disk, path, file, expected, plan_id=receipt.plan_id, e_tag=receipt.e_tag)
        if damage:
            return PartCheck(damage, None)
        context.check_stop()
        model = spec.model.load()
        compiled = compile_checks(model, spec.columns)
        found = scan_part(path, compiled, model, memory_limit=context.memory_limit, samples=spec.samples, file=file)
    return PartCheck(None, found)
