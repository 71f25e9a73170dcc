"""Whether everything that an extraction has published in an object store is still what it was, by listing it only.

When an extraction completes, its state gets a digest of the names, sizes and versions of all published objects. A
store gives an object another version with every write. So a later run that lists the same objects with the same
versions knows that nothing was changed, added or removed, without the lock and without reading an object.

What is listed beside them decides as well: leftovers of a dead runner, or files of others among the published ones, are
a matter for a run that holds the lock.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from statekeeper.model.metadata import Metadata
from statekeeper.model.record import Published
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import storage_errors
from statekeeper.store.layout import ExtractionLayout
from statekeeper.store.versions import Listed, ObjectsDisk, objects_disk


def digest_of_published(disk: Disk, layout: ExtractionLayout, metadata: Metadata) -> str | None:
    """The digest of what was published just now; None if that is not exactly what its commit record names.

    None also on a disk that has no versions.

    Raises:
        StorageError: the store cannot be listed.
    """
    objects, dataset = objects_disk(disk), layout.dataset_named(metadata.output_path)
    if objects is None or dataset is None:
        return None
    found = _published(layout, dataset, _listed(objects, layout, dataset))
    sizes = {path: listed.size for path, listed in found.items() if path != layout.metadata}
    is_whole = layout.metadata in found and sizes == _sizes(layout, dataset, metadata)
    return _digest(layout, found) if is_whole else None


def is_unchanged(disk: ObjectsDisk, layout: ExtractionLayout, published: Published) -> bool:
    """Whether a listing proves that nothing of a complete extraction has changed, and that nothing is left to remove.

    False only says that it is not proven.

    Raises:
        StorageError: the store cannot be listed.
    """
    dataset = layout.dataset_named(published.output_path)
    if dataset is None or published.objects_digest is None:
        return False
    listed = _listed(disk, layout, dataset)
    if _has_leftovers(layout, dataset, listed):
        return False
    return _digest(layout, _published(layout, dataset, listed)) == published.objects_digest


_Listing = dict[Path, tuple[Listed, ...]]
"""What is below each folder of an extraction."""


def _listed(disk: ObjectsDisk, layout: ExtractionLayout, dataset: Path) -> _Listing:
    with storage_errors(layout.folder, "list"):
        return {folder: tuple(disk.listed(folder)) for folder in (layout.folder, *layout.folders_around(dataset))}


def _published(layout: ExtractionLayout, dataset: Path, listing: _Listing) -> dict[Path, Listed]:
    """What readers take for the extraction's data, and its commit record."""
    found = {}
    for folder, objects in listing.items():
        is_partition = folder != layout.folder
        for listed in objects:
            path = folder / listed.name
            is_visible = not any(part[0] in "._" for part in path.relative_to(folder).parts)
            is_data = is_visible and (is_partition or path == dataset or dataset in path.parents)
            if is_data or path == layout.metadata or layout.is_quarantine_name(listed.name):
                found[path] = listed
    return found


def _has_leftovers(layout: ExtractionLayout, dataset: Path, listing: _Listing) -> bool:
    """Whether there is anything that a run with the lock removes (`publish.sweep`)."""
    names = {folder: sorted({Path(each.name).parts[0] for each in objects}) for folder, objects in listing.items()}
    replaced = f".{layout.run_id}.replaced-"
    return bool(layout.others_than(dataset, lambda folder: names.get(folder, []))) or any(
        name == layout.staging_root.name or name.startswith(replaced) for name in names[layout.folder]
    )


def _sizes(layout: ExtractionLayout, dataset: Path, metadata: Metadata) -> dict[Path, int]:
    """The size in bytes of each file that a commit record names."""
    sizes = {dataset / file.name if metadata.is_folder else dataset: file.bytes for file in metadata.files}
    if quarantine := metadata.validation.quarantine:
        sizes[layout.folder / quarantine.name] = quarantine.bytes
    return sizes


def _digest(layout: ExtractionLayout, found: dict[Path, Listed]) -> str | None:
    """None if the store names no versions."""
    digest = hashlib.sha256()
    for path, listed in sorted(found.items()):
        if not listed.version:
            return None
        name = path.relative_to(layout.base_path) if layout.base_path else path
        digest.update(f"{name.as_posix()}\0{listed.size}\0{listed.version}\n".encode())
    return digest.hexdigest()
