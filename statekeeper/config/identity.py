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
from pathlib import Path
from typing import Self

from statekeeper.config.base_path import base_path_of
from statekeeper.config.outline import outline_of
from statekeeper.errors import ConfigError
from statekeeper.model.manifest import RunManifest


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

    def owns(self, manifest: RunManifest) -> bool:
        """Whether a run was started from this config."""
        if manifest.config_path is None:
            return False
        earlier = Path(manifest.config_path)
        # Both paths are followed now: where a link has been pointed elsewhere since, what it leads to is the config.
        if earlier.resolve() == self.path.resolve():
            return True
        if self.pipeline is None or manifest.pipeline != self.pipeline:
            return False
        return not earlier.exists() or manifest.config_fingerprint == self.fingerprint

    def may_take_over(self, manifest: RunManifest, base_path: Path, *, environ: Mapping[str, str]) -> bool:
        """Whether a run under `base_path` can go on from this config: it is its own, or no other claims it any more."""
        if manifest.config_path is None or self.owns(manifest):
            return True
        other = Path(manifest.config_path)
        outline = outline_of(other, environ=environ)
        if outline is None or outline.pipeline is None:
            return False
        if outline.pipeline != manifest.pipeline:
            return True
        with suppress(ConfigError):
            return base_path_of(other, environ=environ).resolve() != base_path.resolve()
        return False
