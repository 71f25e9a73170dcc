"""Whether an extraction may use the folders of its layout, or another layout or another run already uses them.

Readers of a table's folder read everything in it. Two layouts in one folder would double the rows for them. So would
two runs of one date in the layout `hive`, where all runs of a date share one path. Both are refused before anything is
written.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import assert_never
from urllib.parse import unquote

from statekeeper.config.sections.output import OutputConfig
from statekeeper.errors import UsageError
from statekeeper.model.manifest import RunManifest
from statekeeper.model.table import Layout
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.layout import STATE, ExtractionLayout
from statekeeper.store.layouts import HiveLayout, layout_of, records_folder
from statekeeper.store.manifest import load_manifest

_MONTH = re.compile(r"\d{6}")


def require_layout_of_run(disk: Disk, output: OutputConfig, run_id: str) -> None:
    """Refuse a configured layout that differs from that of the run, if the run exists.

    Raises:
        UsageError: the run has the other layout.
        StateDamaged: its manifest cannot be read.
    """
    require_layout(disk, output, load_manifest(disk, Path(output.base_path), run_id))


def require_layout(disk: Disk, output: OutputConfig, manifest: RunManifest | None) -> None:
    """Refuse a layout that differs from that of a run on disk, if one of its tables was begun. Raises UsageError."""
    if manifest is None or manifest.layout is output.layout:
        return
    if any(disk.exists(layout.state) for layout in _layouts(manifest, Path(output.base_path))):
        raise UsageError(
            f"the run {manifest.run_id} under {output.base_path} has the layout {manifest.layout}, "
            f"and output.layout says {output.layout}",
            hint=f"write `layout: {manifest.layout}` in `output`, or choose another base_path",
        )


def _layouts(manifest: RunManifest, base_path: Path) -> Iterator[ExtractionLayout]:
    day, run_id = date.fromisoformat(manifest.extraction_date), manifest.run_id
    for table in manifest.tables:
        yield layout_of(manifest.layout, base_path=base_path, table=table, extraction_date=day, run_id=run_id)


def require_layout_of_table(disk: Disk, layout: ExtractionLayout) -> None:
    """Refuse a table that has extractions in the other layout under the same base_path.

    Raises:
        UsageError: there are some; the message names the folder.
        StorageError: a folder cannot be listed.
    """
    own, other = (Layout.HIVE, Layout.DATED) if isinstance(layout, HiveLayout) else (Layout.DATED, Layout.HIVE)
    found = _extractions_in(other, disk, layout)
    if found is not None:
        raise UsageError(
            f"{found} is of an extraction in the layout {other}, and output.layout says {own}: "
            "readers of the table's folder would find rows twice",
            hint=f"write `layout: {other}` in `output`, or choose another base_path",
        )


def _extractions_in(other: Layout, disk: Disk, layout: ExtractionLayout) -> Path | None:
    """A folder of an extraction of the table in the layout `other`; None if there is none."""
    if layout.base_path is None:
        return None
    match other:
        case Layout.DATED:
            folder, is_of_it = layout.table_folder, _MONTH.fullmatch
        case Layout.HIVE:
            folder = records_folder(layout.base_path) / layout.table_folder.relative_to(layout.base_path)
            is_of_it = re.compile("").match
        case _ as never:
            assert_never(never)
    with storage_errors(folder, "list"):
        return next((folder / name for name in disk.names(folder) if is_of_it(name)), None)


def require_own_date(disk: Disk, layout: ExtractionLayout) -> None:
    """Refuse a date that belongs to another run. In the layout `dated` a date may have several runs.

    Call it while the lock of the date is held, before the extraction's first state is written.

    Raises:
        UsageError: another run has its state there.
        StorageError: the folder cannot be listed.
    """
    if not isinstance(layout, HiveLayout):
        return
    with storage_errors(layout.folder, "list"):
        names = disk.names(layout.folder)
    states = [name for name in names if name.endswith(STATE) and not name.startswith(".")]
    if states and layout.state.name not in states:
        run_id = unquote(states[0].removesuffix(STATE))  # as `safe_name` has escaped it
        raise UsageError(
            f"{layout.output} belongs to the run {run_id}: in the layout hive a date of a table has one run",
            hint=f"continue that run: --run-id {shlex.quote(run_id)}; or choose another --date; "
            f"or move {layout.output} and {layout.folder} away",
        )
