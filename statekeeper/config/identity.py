"""Whether a run on disk belongs to a config, or to another config with the same pipeline name.

A config is one file, whatever path names it. It stays the same config when it is moved or renamed (the old file is
gone), and in a copy with the same text, as in another container or another release of a job. Two files with different
texts but one pipeline name and one base path are two configs, whose tables must not share a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from statekeeper.config.outline import base_path_of, outline_of
from statekeeper.errors import ConfigError
from statekeeper.model.manifest import RunManifest


class Claim(StrEnum):
    """How a run on disk relates to a config."""

    OWN = "own"
    """It was started from this file, under this path or one that no longer exists."""
    COPY = "copy"
    """It was started from another file, which still exists, with the same text."""
    NONE = "none"


@dataclass(frozen=True)
class ConfigIdentity:
    """A config file in its current form. `fingerprint` covers its text and that of its tables file."""

    path: Path
    pipeline: str | None
    fingerprint: str | None

    @classmethod
    def of(cls, path: Path, *, environ: Mapping[str, str]) -> Self:
        """The config at `path`; only the path is known if it cannot be read."""
        outline = outline_of(path, environ=environ)
        return cls(path, outline.pipeline if outline else None, outline.fingerprint if outline else None)

    def claim(self, manifest: RunManifest) -> Claim:
        """How the run of a manifest relates to this config."""
        if manifest.config_path is None:
            return Claim.NONE
        earlier = Path(manifest.config_path)
        # Links are resolved now: if one was changed since, its new target is the config.
        if earlier.resolve() == self.path.resolve():
            return Claim.OWN
        if self.pipeline is None or manifest.pipeline != self.pipeline:
            return Claim.NONE
        if not earlier.exists():
            return Claim.OWN
        return Claim.COPY if manifest.config_fingerprint == self.fingerprint else Claim.NONE

    def owns(self, manifest: RunManifest) -> bool:
        """Whether the run of a manifest belongs to this config."""
        return self.claim(manifest) is not Claim.NONE


def is_abandoned(manifest: RunManifest, base_path: Path, *, environ: Mapping[str, str]) -> bool:
    """Whether the config of a run under `base_path` now has another pipeline name or base path."""
    if manifest.config_path is None:
        return True
    config = Path(manifest.config_path)
    outline = outline_of(config, environ=environ)
    if outline is None or outline.pipeline is None:
        return False
    if outline.pipeline != manifest.pipeline:
        return True
    with suppress(ConfigError):
        return base_path_of(config, environ=environ).resolve() != base_path.resolve()
    return False
