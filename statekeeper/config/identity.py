"""Whether a run on disk is a config's own, or that of another config with the same pipeline name.

A config is one file, by whichever path it is named. It is still the same after it was moved or renamed, which is seen
by the old file being gone, and wherever its text is the same, as in another container or another release of a job.
Two files with different texts, one pipeline name and one base path are two configs, whose tables must not meet in one
run.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from statekeeper.config.base_path import base_path_of
from statekeeper.config.outline import outline_of
from statekeeper.errors import ConfigError
from statekeeper.model.manifest import RunManifest


class Claim(StrEnum):
    """What a run on disk is to a config."""

    OWN = "own"
    """It was started from this file, under this path or one that is gone."""
    COPY = "copy"
    """It was started from another file that is still there, with the same text."""
    NONE = "none"


@dataclass(frozen=True)
class ConfigIdentity:
    """A config file as it is now. `fingerprint` is that of its text, and of its tables file's."""

    path: Path
    pipeline: str | None
    fingerprint: str | None

    @classmethod
    def of(cls, path: Path, *, environ: Mapping[str, str]) -> Self:
        """The config at `path`; of one that cannot be read only the path is known."""
        outline = outline_of(path, environ=environ)
        return cls(path, outline.pipeline if outline else None, outline.fingerprint if outline else None)

    def claim(self, manifest: RunManifest) -> Claim:
        """What the run of a manifest is to this config."""
        if manifest.config_path is None:
            return Claim.NONE
        earlier = Path(manifest.config_path)
        # Both paths are followed now: where a link has been pointed elsewhere since, what it leads to is the config.
        if earlier.resolve() == self.path.resolve():
            return Claim.OWN
        if self.pipeline is None or manifest.pipeline != self.pipeline:
            return Claim.NONE
        if not earlier.exists():
            return Claim.OWN
        return Claim.COPY if manifest.config_fingerprint == self.fingerprint else Claim.NONE

    def owns(self, manifest: RunManifest) -> bool:
        """Whether the run of a manifest is this config's."""
        return self.claim(manifest) is not Claim.NONE


def is_abandoned(manifest: RunManifest, base_path: Path, *, environ: Mapping[str, str]) -> bool:
    """Whether the config that a run under `base_path` was started from has another pipeline name or base path now."""
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
