"""The base path of a configuration's output, read without the rest of it.

`status` needs only this, and must not fail because a password that only extractions use is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from statekeeper.config.loader import load_pipeline
from statekeeper.config.reading.references import resolve_references
from statekeeper.config.reading.text_file import read_text_file
from statekeeper.config.reading.yaml_text import read_yaml
from statekeeper.config.root import expanded, from_here, root_of
from statekeeper.config.sections.output import OutputConfig

_KEY = ("output", "base_path")
_KEYS = {_KEY, ("root",)}


def base_path_of(path: Path, *, environ: Mapping[str, str]) -> Path:
    """The `output.base_path` of the configuration file `path`, as this process opens it.

    Raises:
        ConfigError: the file cannot be read, or the base path is wrong; it lists all other problems, too.
    """
    path = Path(expanded(str(path)))
    try:
        document, _ = read_yaml(read_text_file(path).decode("utf-8-sig"), name=str(path))
    except ValueError:
        return load_pipeline(path, environ=environ).base_path
    references = resolve_references(document, environ)
    filled = references.document
    root, wrong = root_of(filled, path)
    if wrong or any(problem.path in _KEYS for problem in references.wrong):
        return load_pipeline(path, environ=environ).base_path
    if not filled.has(_KEY):
        return from_here(root, OutputConfig().base_path)
    value = filled.at(_KEY)
    try:
        return from_here(root, OutputConfig(base_path=value).base_path)  # type: ignore[arg-type]  # the model checks it
    except ValidationError:
        return load_pipeline(path, environ=environ).base_path
