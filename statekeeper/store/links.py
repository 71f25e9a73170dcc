"""No symbolic link is followed on the way to an extraction's files: statekeeper makes none under base_path.

Whoever can write there could otherwise have files elsewhere written, moved or removed with the rights of this process.
`base_path` itself, and what is above it, may be links: they are what the configuration says. Opening by the last name
of a path is guarded once more in `store.disk`.
"""

from __future__ import annotations

from statekeeper.errors import StorageError
from statekeeper.layout import ExtractionLayout


def refuse_links(layout: ExtractionLayout) -> None:
    """Return if no folder from base_path down, and none of the extraction's names in it, is a symbolic link.

    Raises:
        StorageError: one is; the message names it.
    """
    above = layout.folder.relative_to(layout.base_path).parts if layout.base_path else ()
    folders = [layout.folder, *layout.folder.parents][: max(len(above), 1)]
    for path in (*reversed(folders), *layout.names):
        if path.is_symlink():
            raise StorageError(
                f"{path} is a symbolic link, and statekeeper follows none under base_path: its target was not touched",
                hint=f"remove the link, or put in its place what it leads to (ls -l {path}); then run again",
                code="ELOOP",
            )
