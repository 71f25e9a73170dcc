"""The package as a zip, for executors that do not have it installed."""

from __future__ import annotations

import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]


def zip_package(folder: Path) -> Path:
    """Write `statekeeper.zip` into a folder; only what is Python."""
    path = folder / "statekeeper.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(PACKAGE.rglob("*.py")):
            relative = file.relative_to(PACKAGE)
            if relative.parts[0] != "legacy":
                archive.write(file, Path("statekeeper") / relative)
    return path
