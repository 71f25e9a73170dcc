"""Frozen values and the documents they are kept in.

A `Document` is a JSON file that names its format and version and carries its own checksum, so that a torn, foreign or
newer file is told apart from a good one by its bytes alone. Nothing here touches the disk.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from statekeeper.errors import StateDamaged


class Frozen(BaseModel):
    """A strict immutable value; a change is a named method that returns a new one."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Document(Frozen):
    """A value that is kept as one JSON file with `format`, `version` and `checksum`.

    `checksum` is `sha256:` and the SHA-256 of the document's other keys as canonical JSON (sorted keys, no spaces,
    UTF-8).
    """

    format: str = ""
    """Each kind of document narrows this to its own name."""
    version: Literal[1] = 1
    checksum: str = Field(default="", description="sha256 of the other keys as canonical JSON")

    def to_bytes(self) -> bytes:
        """The file's content: indented JSON, checksum included, with a newline at the end."""
        body = json.loads(self.model_dump_json())
        body["checksum"] = _checksum(body)
        return (json.dumps(body, indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Self:
        """The document in `data`; `where` names the file in errors.

        Raises:
            StateDamaged: the bytes are torn, of another format, of a newer version, or do not match their checksum.
        """
        try:
            body = json.loads(data)
        except ValueError as error:
            raise _damaged(where, f"is not whole JSON ({len(data)} bytes; {error})") from error
        own_format, newest = cls.model_fields["format"].default, cls.model_fields["version"].default
        if not isinstance(body, dict) or body.get("format") != own_format:
            found = body.get("format") if isinstance(body, dict) else type(body).__name__
            raise _damaged(where, f"is not a {own_format} document (its format is {found!r})")
        version = body.get("version")
        if not isinstance(version, int) or version > newest:
            raise _damaged(
                where,
                f"has version {version!r}, and this statekeeper reads up to version {newest}",
                hint="run it with the newer statekeeper that wrote it",
            )
        if body.get("checksum") != _checksum(body):
            raise _damaged(where, "does not match its own checksum: it was torn or edited")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise _damaged(where, f"does not have the expected content: {error}") from error


def _checksum(body: dict[str, Any]) -> str:
    rest = {key: value for key, value in body.items() if key != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _damaged(where: str, what: str, *, hint: str | None = None) -> StateDamaged:
    keep = "look at the file; move it away to give it up, then run again: the table is extracted anew"
    return StateDamaged(f"{where} {what}", hint=hint or keep)
