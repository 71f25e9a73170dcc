"""Where a configuration's output lies, without asking for the rest of it.

`status` needs no more than this, and must not fail for want of a password that only an extraction uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from statekeeper.config.loader import load_pipeline
from statekeeper.config.reading.references import fill_references
from statekeeper.config.reading.text_file import read_text_file
from statekeeper.config.reading.yaml_text import read_yaml
from statekeeper.config.root import expanded, from_here, root_of
from statekeeper.config.sections.output import OutputConfig

_KEY = ("output", "base_path")
_KEYS = {_KEY, ("root",)}


def base_path_of(path: Path, *, environ: Mapping[str, str]) -> Path:
    """The `output.base_path` of the configuration file `path`, as this process opens it.

    Raises:
        ConfigError: the file cannot be read, or the base path is wrong; then every other mistake is told too.
    """
    path = Path(expanded(str(path)))
    try:
        document, _ = read_yaml(read_text_file(path).decode("utf-8-sig"), name=str(path))
    except ValueError:
        return load_pipeline(path, environ=environ).base_path
    references = fill_references(document, environ)
    filled = references.document
    root, wrong = root_of(filled, path)
    if wrong or any(problem.path in _KEYS for problem in references.wrong):
        return load_pipeline(path, environ=environ).base_path
    if not filled.has(_KEY):
        return from_here(root, OutputConfig().base_path)
    value = filled.at(_KEY)
    try:
        return from_here(root, OutputConfig(base_path=value).base_path)  # type: ignore[arg-type]  # if it is none, that is told
    except ValidationError:
        return load_pipeline(path, environ=environ).base_path
