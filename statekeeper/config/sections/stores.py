"""The stores that a base path may use, by its scheme; `statekeeper.store.registry` defines them.

A place in a store that is not a file system is an absolute path that begins with the scheme: `mem://team/lake` is
`/mem:/team/lake`. So all stores build file names the same way, in every process.
"""

from __future__ import annotations

import re
from pathlib import Path

from statekeeper.registry import Registry

FILE, S3 = "file", "s3"
STORES = Registry(
    group="statekeeper.stores", what="store", shipped={FILE: "files.store:STORE", S3: "objects.store:STORE"}
)
"""The stores by the scheme of base paths; a shipped one's path is relative to `statekeeper.store`."""

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$", re.DOTALL)


def place_of(base_path: str) -> Path | None:
    """A base path in a store that is not the file system, as a path; None for other text."""
    found = _URL.match(base_path)
    scheme = found[1].lower() if found else FILE
    if found is None or scheme == FILE or not STORES.has(scheme):
        return None
    return Path(f"/{scheme}:") / found[2].lstrip("/")


def scheme_of(place: Path) -> str:
    """The scheme of a place's store."""
    first = place.parts[1] if len(place.parts) > 1 and place.is_absolute() else ""
    scheme = first.removesuffix(":")
    return scheme if scheme != first and STORES.has(scheme) else FILE


def is_object_store(place: Path) -> bool:
    """Whether a place is in an object store that statekeeper ships."""
    return scheme_of(place) == S3
