"""Loads the declared pydantic model: a class in a user's file, or inline rules.

Decides how such a file is imported, and reports what is wrong with it. `schemas.model.core_schema` interprets the
model.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from statekeeper.config.reading.text_file import require_text_file
from statekeeper.config.root import expanded
from statekeeper.errors import ConfigError
from statekeeper.schemas.model.fingerprint import model_fingerprint
from statekeeper.schemas.model.inline import inline_model

if TYPE_CHECKING:
    from statekeeper.model.schema import SchemaRef

__all__ = ["load_model", "model_fingerprint"]


class ModelFileError(ConfigError):
    """A file of models cannot be imported, so that none of its classes can be used."""


_importing = threading.Lock()
_imported: dict[Path, _Imported] = {}


def load_model(ref: SchemaRef, *, base: Path) -> type[BaseModel] | None:
    """The declared model, or None if none is declared.

    Args:
        ref: the declaration; `path` is `file.py:Class`, with the file relative to `base`.
        base: the folder that relative paths start from: the configuration's root.

    Raises:
        ConfigError: the file cannot be imported, has no such class, or the class is not a usable model; or the inline
            rules contradict each other.
    """
    if ref.columns is not None:
        return inline_model(ref.columns)
    if ref.path is None:
        return None
    file, name = _file_and_name(ref.path, base)
    with _importing:
        module = _module(file, ref.path)
        with _registered(module):
            return _class_of(module, name, ref.path)


def files_of_model(ref: SchemaRef, *, base: Path) -> tuple[Path, ...]:
    """The files of a model by path: its own, then those of the same folder that it imports; empty for other models.

    Raises:
        ConfigError: as `load_model` does.
    """
    if ref.path is None:
        return ()
    file, _ = _file_and_name(ref.path, base)
    with _importing:
        _module(file, ref.path)
        return tuple(each for each, _ in _imported[file].files)


def _file_and_name(path: str, base: Path) -> tuple[Path, str]:
    file_text, colon, name = path.rpartition(":")
    if not colon or not file_text or not name.isidentifier():
        raise ConfigError(f"schema {path!r} is not of the form file.py:Class", hint="write schemas/hr.py:Employee")
    file = (base / expanded(file_text)).resolve()
    if not file.exists():
        raise ConfigError(f"schema {path!r}: there is no file {file}", hint=f"paths are relative to {base}")
    try:
        require_text_file(file)
    except ConfigError as error:
        raise ConfigError(f"schema {path!r}: {error.message}") from None
    return file, name


@dataclass(frozen=True)
class _Imported:
    """A module, with its own file and the imported files of its folder, and their state at import."""

    module: ModuleType
    files: tuple[tuple[Path, tuple[int, int, int]], ...]

    @property
    def is_current(self) -> bool:
        return all(_state(file) == state for file, state in self.files)


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _module(file: Path, path: str) -> ModuleType:
    """The module of a file, imported again only if it or an imported file of its folder has changed."""
    known = _imported.get(file)
    if known is not None and known.is_current:
        return known.module
    before = _state(file)
    with _importable(file.parent) as siblings:
        module = _import(file, path)
    states = {file: before, **{sibling: _state(sibling) for sibling in siblings}}
    _imported[file] = _Imported(module, tuple((each, state) for each, state in states.items() if state is not None))
    return module


def _import(file: Path, path: str) -> ModuleType:
    # The name is unique, so that a user's schemas/json.py never replaces another module.
    name = "statekeeper_schema_" + hashlib.sha256(str(file).encode()).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"schema {path!r}: {file} is not a Python file", hint="name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        with _registered(module):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # the user's own code may raise anything
        raise ModelFileError(
            f"schema {path.rpartition(':')[0]!r}: importing {file} failed: {type(error).__name__}: {error}",
            hint=f"try: python {file}",
        ) from error
    return module


def _class_of(module: ModuleType, name: str, path: str) -> type[BaseModel]:
    found = getattr(module, name, None)
    if found is None:
        models = [key for key, value in vars(module).items() if _is_model(value)]
        similar = difflib.get_close_matches(name, models, n=1, cutoff=0.0)
        hint = f"did you mean {similar[0]}?" if similar else "the file defines no pydantic model"
        raise ConfigError(f"schema {path!r}: {module.__file__} has no class {name}", hint=hint)
    if not _is_model(found):
        what = f"a class of {type(found).__name__}" if isinstance(found, type) else f"a {type(found).__name__}"
        raise ConfigError(
            f"schema {path!r}: {name} in {module.__file__} is not a pydantic model but {what}",
            hint=f"write: class {name}(pydantic.BaseModel)",
        )
    model: type[BaseModel] = found
    try:
        model.model_rebuild()
    except (PydanticUserError, NameError, TypeError) as error:
        raise ConfigError(
            f"schema {path!r}: {name} in {module.__file__} is not fully defined: {error}",
            hint="import the names that its annotations use",
        ) from error
    if not model.model_fields:
        raise ConfigError(
            f"schema {path!r}: {name} in {module.__file__} has no fields", hint="declare a field for every column"
        )
    return model


def _is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel


@contextmanager
def _registered(module: ModuleType) -> Iterator[None]:
    """Register the module temporarily, so that pydantic can resolve its postponed annotations."""
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        sys.modules.pop(module.__name__, None)


@contextmanager
def _importable(folder: Path) -> Iterator[list[Path]]:
    """Let files of `folder` import each other by name, and unregister them after; the list then has those files.

    Two folders may both have a `common.py`; left in `sys.modules`, the first would be used for both.
    """
    before = set(sys.modules)
    siblings: list[Path] = []
    sys.path.insert(0, str(folder))
    try:
        yield siblings
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file is None or name.startswith("statekeeper_schema_") or not Path(file).is_relative_to(folder):
                continue
            siblings.append(Path(file))
            del sys.modules[name]
