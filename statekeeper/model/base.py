"""Frozen values and the documents that store them.

A `Document` is a JSON file with its format, version and checksum, so that its bytes alone show whether it is torn,
foreign or newer. Nothing here touches the disk.

Documents outlive versions. Keys that this version does not know are kept, at any depth, and written back; only a higher
`version` is refused. So a later version may add keys without raising it, and an earlier one still works with the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from statekeeper import __version__
from statekeeper.errors import NewerVersion, StateDamaged

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_AT_ONCE = 100
"""The most items of a list that are encoded in one call."""
_LONGEST_FORMAT = 80
"""The most characters of a foreign document's format that a message quotes."""


class Frozen(BaseModel):
    """A strict immutable value; named methods return changed copies."""

    # Most strings in documents are unique (md5s, times, names); pydantic would cache the last 16,384 of them in vain.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", cache_strings="keys")


class StoredValue(Frozen):
    """A value in a document. Keys that this version does not know are kept, and ignored in comparisons."""

    model_config = ConfigDict(extra="allow")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))


class Document(StoredValue):
    """A value stored as one JSON file with `format`, `version` and `checksum`.

    `checksum` is `sha256:` plus the SHA-256 of the other keys as canonical JSON (sorted keys, no spaces, UTF-8).
    """

    format: str = ""
    """Each kind of document has its own name here."""
    version: Literal[1] = 1
    checksum: str = Field(default="", description="sha256 of the other keys as canonical JSON")

    def to_bytes(self) -> bytes:
        """The file's content: indented JSON, checksum included, with a newline at the end."""
        body = _loads(self.model_dump_json())
        body["checksum"] = _checksum(body)
        return (json.dumps(body, indent=2, ensure_ascii=False) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Self:
        """The document in `data`; `where` names the file in errors.

        Raises:
            StateDamaged: the bytes are torn, of another format, or do not match their checksum.
            NewerVersion: a later version of statekeeper wrote them, in a form that this one cannot read.
        """
        body, checksum = _parsed(data, where)
        own_format, newest = cls.model_fields["format"].default, cls.model_fields["version"].default
        if not isinstance(body, dict) or body.get("format") != own_format:
            found = repr(body.get("format")) if isinstance(body, dict) else type(body).__name__
            raise _damaged(where, f"is not a {own_format} document (its format is {found[:_LONGEST_FORMAT]})")
        refuse_newer(body.get("version"), newest, where=where)
        if body.get("checksum") != checksum:
            raise _damaged(where, "does not match its own checksum: it was torn or edited")
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise _damaged(where, f"does not have the expected content: {first_problem(error)}") from error


def refuse_newer(version: object, newest: int, *, where: str) -> None:
    """Raise NewerVersion for a document with a higher version than this statekeeper reads."""
    if isinstance(version, int) and version > newest:
        raise NewerVersion(
            f"{where} has version {version}, and statekeeper {__version__} reads up to version {newest}",
            hint="use the newer statekeeper that wrote it; this one leaves the file, and what belongs to it, as it is",
        )


def first_problem(error: ValidationError) -> str:
    """The first place where a document is invalid, and what is wrong there."""
    problem = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def _parsed(data: bytes, where: str) -> tuple[Any, str]:
    """The JSON in `data`, and the checksum it must have. Raises StateDamaged for bytes that are not JSON."""
    try:
        body = _loads(data)
        return body, _checksum(body) if isinstance(body, dict) else ""
    except (ValueError, RecursionError) as error:  # not text, not JSON, half a surrogate pair, or nested too deep
        raise _damaged(where, f"is not whole JSON ({len(data)} bytes; {error})") from error


def _loads(data: str | bytes) -> Any:
    """JSON as Python values. Python code runs after each object, so a document of 5 MB does not block other threads."""
    return json.loads(data, object_hook=_as_it_is)


def _as_it_is(value: dict[str, Any]) -> dict[str, Any]:
    return value


def _checksum(body: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for piece in _canonical({key: value for key, value in body.items() if key != "checksum"}):
        digest.update(piece.encode())
    return "sha256:" + digest.hexdigest()


def _canonical(value: object) -> Iterator[str]:
    """Canonical JSON, in pieces: one call for a document of 16,000 chunks would block every other thread."""
    if isinstance(value, dict) and any(isinstance(each, dict | list) for each in value.values()):
        for number, key in enumerate(sorted(value)):
            yield f"{',' if number else '{'}{_CANONICAL.encode(key)}:"
            yield from _canonical(value[key])
        yield "}"
    elif isinstance(value, list) and len(value) > _AT_ONCE:
        for number, each in enumerate(value):
            yield f"{',' if number else '['}{_CANONICAL.encode(each)}"
        yield "]"
    else:
        yield _CANONICAL.encode(value)


def _damaged(where: str, what: str, *, hint: str | None = None) -> StateDamaged:
    keep = "inspect the file; to discard it, move it away and run again: the table is extracted again"
    return StateDamaged(f"{where} {what}", hint=hint or keep)
