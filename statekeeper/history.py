"""What earlier runs have published of a table, read from the commit records in its folder."""

from __future__ import annotations

from datetime import datetime

from statekeeper.layout import ExtractionLayout
from statekeeper.store.disk import Disk
from statekeeper.store.documents import load_metadata


def earlier_watermarks(disk: Disk, layout: ExtractionLayout) -> tuple[datetime, ...]:
    """The watermarks of the table's complete extractions other than the one of `layout`, of whatever date.

    Raises:
        StateDamaged: a commit record cannot be read; guessing a window from what is left could lose rows.
    """
    table_folder = layout.folder.parent.parent
    found: list[datetime] = []
    for month in disk.names(table_folder):
        for day in disk.names(table_folder / month):
            for name in disk.names(table_folder / month / day):
                path = table_folder / month / day / name
                if not name.endswith("_metadata.json") or path == layout.metadata:
                    continue
                metadata = load_metadata(disk, path)
                watermark = metadata.table_config.scope.watermark if metadata else None
                if metadata and metadata.extraction_complete:
                    found.append(watermark or metadata.snapshot.taken_at)
    return tuple(found)
