"""Where a configuration's output lies, without asking for the rest of it.

`status` needs no more than this, and must not fail for want of a password that only an extraction uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from statekeeper.config.loader import load_pipeline
from statekeeper.config.output import OutputConfig
from statekeeper.config.references import fill_references
from statekeeper.config.yaml_source import read_yaml

_KEY = ("output", "base_path")


def base_path_of(path: Path, *, environ: Mapping[str, str]) -> Path:
    """The `output.base_path` of the configuration file `path`, relative to the working directory.

    Raises:
        ConfigError: the file cannot be read, or the base path is wrong; then every other mistake is told too.
    """
    try:
        document, _ = read_yaml(path.read_bytes().decode("utf-8-sig"), name=str(path))
    except (OSError, ValueError):
        return Path(load_pipeline(path, environ=environ).output.base_path)
    filled, problems = fill_references(document, environ)
    if any(problem.path == _KEY for problem in problems):
        return Path(load_pipeline(path, environ=environ).output.base_path)
    if not filled.has(_KEY):
        return Path(OutputConfig().base_path)
    value = filled.at(_KEY)
    try:
        return Path(OutputConfig(base_path=value).base_path)  # type: ignore[arg-type]  # if it is none, that is told
    except ValidationError:
        return Path(load_pipeline(path, environ=environ).output.base_path)
