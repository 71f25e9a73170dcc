"""The activity files of a run: what the tables of each process wait for. Those of dead processes are ignored."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from statekeeper.errors import UnreadableDocument
from statekeeper.model.activity import RunActivity
from statekeeper.model.state import Owner
from statekeeper.model.table import safe_name
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.durable import NO_FENCE, replace, storage_errors
from statekeeper.store.files.links import refuse_links
from statekeeper.store.files.slots import read_document, second_slot
from statekeeper.store.files.temps import is_abandoned, sweep_temps
from statekeeper.store.layout import activity_folder
from statekeeper.store.process import Liveness, liveness


def save_activity(disk: Disk, base_path: Path, activity: RunActivity) -> None:
    """Write a process's activity over its previous one. Raises StorageError."""
    path = _file(base_path, activity.run_id, activity.owner)
    refuse_links(base_path, path)
    with storage_errors(path, "save"):
        disk.make_folder(path.parent, role="activity")
    replace(disk, path, activity.to_bytes(), role="activity", fence=NO_FENCE)


def remove_activity(disk: Disk, base_path: Path, run_id: str, owner: Owner) -> None:
    """Remove a process's activity, and those of dead processes. Raises StorageError."""
    folder = activity_folder(base_path, run_id)
    with storage_errors(folder, "tidy"):
        names = [name for name in disk.names(folder) if name.endswith(".json")]
        own = _file(base_path, run_id, owner).name
        removable = [name for name in names if name == own or _is_dead(disk, folder / name)]
        for name in removable:
            disk.unlink(folder / name, role="activity")
            disk.unlink(second_slot(folder / name), role="activity")
        sweep_temps(disk, folder, set(names), is_abandoned)
        if len(removable) == len(names):
            disk.remove_folder(folder, role="activity")


def load_activities(disk: Disk, base_path: Path, run_id: str) -> tuple[RunActivity, ...]:
    """The last activity of each process of a run, dead ones too; files that cannot be read are left out."""
    folder = activity_folder(base_path, run_id)
    names: list[str] = []
    with suppress(OSError):
        names = [name for name in disk.names(folder) if name.endswith(".json") and not name.startswith(".")]
    return tuple(activity for name in names if (activity := _read(disk, folder / name)) is not None)


def _is_dead(disk: Disk, path: Path) -> bool:
    activity = _read(disk, path)
    return activity is not None and liveness(activity.owner) is Liveness.DEAD


def _read(disk: Disk, path: Path) -> RunActivity | None:
    try:
        return RunActivity.from_bytes(read_document(disk, path), where=str(path))
    except (OSError, UnreadableDocument):
        return None


def _file(base_path: Path, run_id: str, owner: Owner) -> Path:
    return activity_folder(base_path, run_id) / f"{safe_name(owner.host)}-{owner.pid}.json"
