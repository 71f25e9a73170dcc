"""Packages of npm that tests use: installed below build/ when one is first asked for."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parents[1] / "build"
_SECONDS = 120


@dataclass(frozen=True)
class NpmPackage:
    """A package of npm, in one version."""

    name: str
    version: str
    called: str
    """What it is called in messages and in the name of its folder."""

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return BUILD / f"{self.called}-{self.version}"

    def require(self) -> str:
        """Install it; returns the program `node`. Skips the test where that is not possible."""
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            pytest.skip(f"{self.called} needs Node.js, whose `node` and `npm` are not in PATH")
        if reason := _npm_said(npm, self):
            pytest.skip(f"npm could not install {self.name}@{self.version}: {reason}")
        return node


@functools.cache
def _npm_said(npm: str, package: NpmPackage) -> str:
    """Install a package, in a folder that has its name once it is complete; returns why it is not, where it is not.

    What the package would run at its installation is not run; a registry that is out of reach is asked once.
    """
    folder = package.folder
    if folder.exists():
        return ""
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    making.mkdir(parents=True)
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--fetch-retries=0"]
    command += ["--fetch-timeout=20000", "--prefix", str(making), f"{package.name}@{package.version}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        shutil.rmtree(making)
        return f"no answer within {_SECONDS} seconds"
    if done.returncode == 0 and not folder.exists():
        making.rename(folder)
        return ""
    shutil.rmtree(making)
    return "" if folder.exists() else (done.stderr.strip() or "no reason").splitlines()[0]
