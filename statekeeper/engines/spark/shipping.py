"""The package as a zip, for executors that do not have it installed."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import assert_never

from statekeeper.engines.spark.session import Flavour, HeldSession

PACKAGE = Path(__file__).resolve().parents[2]


def send_package(held: HeldSession) -> None:
    """Have the Python workers of a session find statekeeper."""
    # Executors fetch it when they first need it, from this very file: it must be there for as long as they come.
    folder = tempfile.mkdtemp(prefix="statekeeper-shipped-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    package = str(zip_package(Path(folder)))
    match held.flavour:
        case Flavour.CLASSIC:
            held.spark.sparkContext.addPyFile(package)  # addArtifacts raises in a classic session of Spark 3.5
        case Flavour.CONNECT:
            held.spark.addArtifacts(package, pyfile=True)
        case _:
            assert_never(held.flavour)


def zip_package(folder: Path) -> Path:
    """Write `statekeeper.zip` into a folder; only what is Python."""
    path = folder / "statekeeper.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(PACKAGE.rglob("*.py")):
            relative = file.relative_to(PACKAGE)
            if relative.parts[0] != "legacy":
                archive.write(file, Path("statekeeper") / relative)
    return path
