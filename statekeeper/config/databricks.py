"""What is different on Databricks: the kinds of compute that this process may run on, and the names of folders. Pure.

Each name of a folder becomes one path of the file system, and those that cannot work are refused.

Sources: the Databricks documentation on volumes ("Path rules and access in Unity Catalog volumes"), on workspace files
and on DBFS.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Self

from statekeeper.config.sections.stores import is_object_store
from statekeeper.errors import UsageError

_OLDEST = (17, 3)
"""The first long-term runtime whose Python packages are new enough."""
_OLDEST_SERVERLESS = 4
"""The environment version with the packages of that runtime."""
_VERSION = re.compile(r"^(\d+)\.(\d+)")
_CLIENT = re.compile(r"^client\.(\d+)")
_TOO_OLD = "its Python packages are too old (NumPy 1, pydantic before 2.10)"


class Compute(StrEnum):
    """What runs this process."""

    ELSEWHERE = "elsewhere"
    CLUSTER = "cluster"
    SERVERLESS = "serverless"


@dataclass(frozen=True)
class Runtime:
    """The Databricks Runtime of this process. `version` is empty elsewhere, such as `17.3`, `client.4.9` serverless."""

    compute: Compute
    version: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """From `DATABRICKS_RUNTIME_VERSION` and `IS_SERVERLESS`."""
        version = environ.get("DATABRICKS_RUNTIME_VERSION", "")
        if version.startswith("client.") or environ.get("IS_SERVERLESS", "").lower() in {"true", "1"}:
            return cls(Compute.SERVERLESS, version)
        return cls(Compute.CLUSTER, version) if version else cls(Compute.ELSEWHERE)

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Why this runtime is too old, and what to use; an unknown version counts as a newer one."""
        if (client := _CLIENT.match(self.version)) is not None:
            if int(client[1]) >= _OLDEST_SERVERLESS:
                return None
            return (
                f"serverless environment {client[1]} is not supported, only {_OLDEST_SERVERLESS} or newer: {_TOO_OLD}",
                f"use environment version {_OLDEST_SERVERLESS} or newer",
            )
        found = _VERSION.match(self.version)
        if found is None or (int(found[1]), int(found[2])) >= _OLDEST:
            return None
        return (
            f"Databricks Runtime {found[0]} is not supported, only {_OLDEST[0]}.{_OLDEST[1]} LTS or newer: {_TOO_OLD}",
            f"use Databricks Runtime {_OLDEST[0]}.{_OLDEST[1]} LTS or newer",
        )


VOLUMES = PurePosixPath("/Volumes")
_MOUNTS = (VOLUMES, PurePosixPath("/dbfs"))
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):(.*)$", re.DOTALL)
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_PARTS_OF_A_VOLUME = 3
_READ_BY_SPARK = ("s3", "abfss", "gs")
"""The schemes of external locations."""
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
    if is_object_store(Path(path)):
        return _refusal_of_store(path)
    if not place.is_absolute():
        return f"{path} is relative: driver and executors do not share the folder that it would start at", _USE_A_VOLUME
    if place.is_relative_to("/Workspace"):
        return f"{path} is a workspace path, which executors cannot write", _USE_A_VOLUME
    if place.is_relative_to(VOLUMES) and len(place.parts) < 2 + _PARTS_OF_A_VOLUME:
        return f"{path} is not in a volume", _USE_A_VOLUME
    return None


def _refusal_of_store(path: str) -> tuple[str, str] | None:
    scheme, _, _ = path.lstrip("/").partition(":")
    if scheme in _READ_BY_SPARK:
        return None
    reason = f"{path} is an address that Spark on Databricks does not read"
    return (
        reason,
        f"write abfss://container@account.dfs.core.windows.net/... for a container of Azure, or {_USE_A_VOLUME}",
    )


def _without_dbfs(path: str) -> str:
    """`/dbfs/Volumes/...` is an older name of `/Volumes/...`."""
    return path.removeprefix("/dbfs") if path.startswith(f"/dbfs{VOLUMES}/") else path
