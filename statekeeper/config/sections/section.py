"""The base of every section of the configuration: strictness, and how it says what was expected.

A refusal names only what was expected: `statekeeper.config.reading.problems` adds the found value, unless it may be a
secret.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

from statekeeper.config.root import expanded
from statekeeper.errors import UsageError


class Section(BaseModel):
    """A mapping of the configuration: strict, frozen, without unknown keys."""

    # Without `cache_strings` pydantic would keep texts that it has read, passwords among them, for later ones.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True, cache_strings="keys")


def refusal(expected: str, *, hint: str = "") -> PydanticCustomError:
    """The error of a validator: the text after the word `expected`, and a hint (empty: none)."""
    return PydanticCustomError("refusal", "expected {expected}", {"expected": expected, "hint": hint})


def _not_blank(text: str) -> str:
    if not text.strip():
        raise refusal("text that is not empty")
    return text


def _with_known_home(path: str) -> str:
    try:
        expanded(path)
    except UsageError as error:
        hint = "a folder whose own name starts with ~ is written ./~"
        raise refusal("a path whose home folder is known", hint=hint) from error
    return path


Name = Annotated[str, AfterValidator(_not_blank)]
"""Text that is not blank."""

FilePath = Annotated[Name, AfterValidator(_with_known_home)]
"""A path as written in the file: a relative one starts at the configuration's root, `~` is the home folder."""
