"""A declared model with the content of its files, to send to a process that may be on another machine."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from statekeeper.config.root import expanded
from statekeeper.model.schema import SchemaRef
from statekeeper.schemas.model.load import files_of_model, load_model

if TYPE_CHECKING:
    from pydantic import BaseModel

Files = tuple[tuple[str, bytes], ...]

_unpacked: dict[tuple[str, Files], type[BaseModel]] = {}


@dataclass(frozen=True)
class ShippedModel:
    """A declaration whose relative path starts from `base`.

    For a model by path, `files` has its file, then the files of the same folder that it imports: paths relative to the
    first one's folder, and contents.
    """

    ref: SchemaRef
    base: Path
    files: Files = ()

    @classmethod
    def of(cls, ref: SchemaRef, *, base: Path) -> Self:
        """The declaration with the current content of its files. Raises ConfigError as `load_model` does."""
        files = files_of_model(ref, base=base)
        return cls(ref, base, tuple((str(file.relative_to(files[0].parent)), file.read_bytes()) for file in files))

    def load(self) -> type[BaseModel] | None:
        """The model: from the local files if they are the same, else from the shipped ones."""
        if self.ref.path is None or self._is_here(self.ref.path):
            return load_model(self.ref, base=self.base)
        key = (self.ref.path, self.files)
        if key not in _unpacked:
            model = self._unpack(self.ref.path)
            assert model is not None, "a path names a model"
            _unpacked[key] = model
        return _unpacked[key]

    def _is_here(self, path: str) -> bool:
        folder = (self.base / expanded(path.rpartition(":")[0])).resolve().parent
        try:
            return all((folder / name).read_bytes() == content for name, content in self.files)
        except OSError:
            return False

    def _unpack(self, path: str) -> type[BaseModel] | None:
        with tempfile.TemporaryDirectory(prefix="statekeeper-schema-") as folder:
            for name, content in self.files:
                file = Path(folder) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            return load_model(SchemaRef(path=f"{self.files[0][0]}:{path.rpartition(':')[2]}"), base=Path(folder))
