"""Which stores a base path may lie in, by its scheme. What each is stands in `statekeeper.store.registry`.

A place in a store that is no file system is kept as an absolute path whose first name is the scheme: `mem://team/lake`
is `/mem:/team/lake`. So names of files are made in one way, and each process finds the same under them.
"""

from __future__ import annotations

import re
from pathlib import Path

from statekeeper.registry import Registry

FILE = "file"
STORES = Registry(group="statekeeper.stores", what="store", shipped={FILE: "files.store:STORE"})
"""The stores by the scheme of base paths; a shipped one is found from the package of stores on."""

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$", re.DOTALL)


def place_of(base_path: str) -> Path | None:
    """A base path in the store of a package, as a path; None for every other text."""
    found = _URL.match(base_path)
    scheme = found[1].lower() if found else FILE
    if found is None or scheme in STORES.shipped or not STORES.has(scheme):
        return None
    return Path(f"/{scheme}:") / found[2].lstrip("/")


def scheme_of(place: Path) -> str:
    """The scheme of the store in which a place lies."""
    first = place.parts[1] if len(place.parts) > 1 and place.is_absolute() else ""
    scheme = first.removesuffix(":")
    return scheme if scheme != first and STORES.has(scheme) else FILE
