"""Converts Databricks' names of a folder to one path of the file system, and refuses those that cannot work. Pure.

Sources: the Databricks documentation on volumes ("Path rules and access in Unity Catalog volumes"), on workspace files
and on DBFS.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from statekeeper.errors import UsageError

VOLUMES = PurePosixPath("/Volumes")
_MOUNTS = (VOLUMES, PurePosixPath("/dbfs"))
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):(.*)$", re.DOTALL)
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_PARTS_OF_A_VOLUME = 3
_USE_A_VOLUME = "use a Unity Catalog volume: /Volumes/<catalog>/<schema>/<volume>/..."


def volume_folder(volume: str) -> str:
    """`/Volumes/<catalog>/<schema>/<volume>` for `catalog/schema/volume`, `catalog.schema.volume` or that path itself.

    Raises:
        UsageError: it does not name a volume.
    """
    name = file_path(volume).removeprefix(f"{VOLUMES}/").strip("/")
    parts = name.split("/") if "/" in name else name.split(".")
    if len(parts) != _PARTS_OF_A_VOLUME or not all(part.strip() for part in parts) or ".." in parts:
        raise UsageError(
            f"expected a volume as catalog/schema/volume or catalog.schema.volume; found {volume!r}",
            hint="`SHOW VOLUMES IN catalog.schema` lists them; a folder in it belongs into output_base_path",
        )
    return str(VOLUMES.joinpath(*parts))


def file_path(path: str) -> str:
    """A path of the file system: `dbfs:/Volumes/...` is `/Volumes/...`, other `dbfs:/...` are `/dbfs/...`.

    Raises:
        UsageError: it is the address of an object store, not a folder.
    """
    scheme = _SCHEME.match(path)
    if scheme is None:
        return _without_dbfs(path)
    name, rest = scheme[1].lower(), "/" + scheme[2].lstrip("/")
    if name == "dbfs":
        return _without_dbfs(rest) if rest.startswith(f"{VOLUMES}/") else f"/dbfs{rest}"
    if name == "file":
        return rest
    if _URL.match(path):
        raise UsageError(
            f"{path} is an address of an object store, and output is written through the file system",
            hint=f"on Databricks, make an external volume of it and {_USE_A_VOLUME}; elsewhere mount it",
        )
    return path


def is_mounted_object_store(path: str) -> bool:
    """Whether an absolute path is where Databricks mounts object stores: a rename there is really a copy."""
    return any(PurePosixPath(path).is_relative_to(mount) for mount in _MOUNTS)


def refusal_on_databricks(path: str) -> tuple[str, str] | None:
    """Why a normalised path cannot hold output on Databricks, and what to use instead; None if it can."""
    place = PurePosixPath(path)
    if not place.is_absolute():
        return f"{path} is relative: driver and executors do not share the folder that it would start at", _USE_A_VOLUME
    if place.is_relative_to("/Workspace"):
        return f"{path} is a workspace path, which executors cannot write", _USE_A_VOLUME
    if place.is_relative_to(VOLUMES) and len(place.parts) < 2 + _PARTS_OF_A_VOLUME:
        return f"{path} is not in a volume", _USE_A_VOLUME
    return None


def _without_dbfs(path: str) -> str:
    """`/dbfs/Volumes/...` is an older name of `/Volumes/...`."""
    return path.removeprefix("/dbfs") if path.startswith(f"/dbfs{VOLUMES}/") else path
