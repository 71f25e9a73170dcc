"""Installs a distribution for a test: its module, and the metadata that an installer leaves, in a folder of a path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install(folder: Path, name: str, *, entry_points: str, modules: Mapping[str, str]) -> Path:
    """Put a distribution into `folder`, which belongs on `sys.path` or PYTHONPATH.

    Args:
        folder: as an installer's site-packages.
        name: the distribution's name.
        entry_points: the text of entry_points.txt.
        modules: the text of each module, by its name.
    """
    about = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entry_points)
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
    return folder
