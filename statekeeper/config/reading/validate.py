"""Validates a document with a model: returns the value, or all problems with their places.

Pydantic decides; this translates its errors, without values that may be secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from statekeeper.config.reading.document import ConfigDocument, KeyPath, Plain
from statekeeper.config.reading.problems import Problem, Spot, found, quoted
from statekeeper.config.reading.references import may_hold_secrets
from statekeeper.config.reading.shape import is_free_text, is_secret, known_keys, purpose, types_with_key
from statekeeper.config.suggest import nearest

Model = TypeVar("Model", bound=BaseModel)

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "is_instance_of": "a number",
    "decimal_type": "a number",
    "finite_number": "a finite number",
    "greater_than_equal": "a number of at least {ge}",
    "greater_than": "a number above {gt}",
    "less_than_equal": "a number of at most {le}",
    "less_than": "a number below {lt}",
    "enum": "one of {expected}",
    "literal_error": "one of {expected}",
    "union_tag_invalid": "one of {expected_tags}",
    "too_short": "at least one entry",
    "refusal": "{expected}",
}
_QUOTED = re.compile(r"'([^']*)'")
_WHOLE = re.compile(r"[-+]?[0-9]{1,1000}")
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_MAX_KEYS_LISTED = 8


@dataclass(frozen=True)
class Checked(Generic[Model]):
    """A document's value, None if there are problems. In `document`, references are converted to their types."""

    value: Model | None
    problems: tuple[Problem, ...]
    document: ConfigDocument


def check(model: type[Model], document: ConfigDocument) -> Checked[Model]:
    """Validate a document in strict mode, and report every problem."""
    result = _validate(model, document.data)
    if not isinstance(result, ValidationError):
        return Checked(result, (), document)
    errors = result.errors(include_url=False)
    typed = _with_typed_references(document, errors)
    if typed is not document:
        return check(model, typed)
    located = [(_data_path(error, document), error) for error in errors]
    return Checked(None, tuple(_problems(model, document, located)), document)


def salvage(
    model: type[Model], document: ConfigDocument, *, below: KeyPath, without: Iterable[KeyPath]
) -> Model | None:
    """The value of the mapping at `below`, without its keys that contain a path of `without`; None if invalid."""
    data = document.at(below) if document.has(below) else None
    if not isinstance(data, dict):
        return None
    wrong = {path[len(below)] for path in without if path[: len(below)] == below and len(path) > len(below)}
    result = _validate(model, {key: value for key, value in data.items() if key not in wrong})
    return None if isinstance(result, ValidationError) else result


def _validate(model: type[Model], data: Plain) -> Model | ValidationError:
    try:
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        return error


def _with_typed_references(document: ConfigDocument, errors: list[ErrorDetails]) -> ConfigDocument:
    """The document with the text of references converted to numbers and booleans where these are expected."""
    for error in errors:
        path = _data_path(error, document)
        text = document.at(path) if path in document.hidden and document.has(path) else None
        if not isinstance(text, str):
            continue
        if _fits(error, text):
            document = document.with_value(path, int(text) if error["type"] == "int_type" else _TRUTH[text.lower()])
    return document


def _data_path(error: ErrorDetails, document: ConfigDocument) -> KeyPath:
    """The document's path for pydantic's `loc`, without the tags and names of a union's members."""
    path: KeyPath = ()
    value = document.data
    for number, step in enumerate(error["loc"], start=1):
        is_key = isinstance(value, dict) and step in value
        if is_key or (isinstance(value, list) and isinstance(step, int) and step < len(value)):
            value = value[step]  # type: ignore[index]
        elif not (error["type"] == "missing" and number == len(error["loc"])):
            continue
        path = (*path, step)
    if error["type"].startswith("union_tag") and isinstance(value, dict):
        path = (*path, error["ctx"]["discriminator"].strip("'"))
    return path


def _problems(
    model: type[BaseModel], document: ConfigDocument, located: list[tuple[KeyPath, ErrorDetails]]
) -> Iterable[Problem]:
    """The problems of a document: one per union, and a misspelt key is not also reported as missing."""
    by_place: dict[KeyPath, list[ErrorDetails]] = {}
    for path, error in located:
        if error["type"] == "too_short" and document.at(path):
            continue  # pydantic does not count invalid entries
        by_place.setdefault(path, []).append(error)
    misspelt: set[KeyPath] = set()
    unknown: list[Problem] = []
    for path, errors in by_place.items():
        if errors[0]["type"] == "extra_forbidden":
            problem, meant = _unknown_key(model, document, path)
            unknown.append(problem)
            misspelt.add((*path[:-1], meant))
    yield from unknown
    for path, errors in by_place.items():
        kind = errors[0]["type"]
        if kind in {"missing", "union_tag_not_found"}:
            if path not in misspelt:
                yield Problem(document, path, "this key is missing", hint=purpose(model, path), spot=Spot.KEY)
        elif kind != "extra_forbidden":
            yield _wrong_value(model, document, path, errors)


def _unknown_key(model: type[BaseModel], document: ConfigDocument, path: KeyPath) -> tuple[Problem, str]:
    key, known = str(path[-1]), known_keys(model, path[:-1], document.at(path[:-1]))
    hint = nearest(key, known)
    meant = _QUOTED.findall(hint)
    if kinds := types_with_key(model, path):
        hint, meant = f"it is a key of type: {' and '.join(kinds)}", []
    elif not hint and len(known) <= _MAX_KEYS_LISTED:
        hint = f"known keys are {', '.join(known)}"
    return Problem(document, path, "unknown key", hint=hint, spot=Spot.KEY), meant[0] if meant else key


def _wrong_value(
    model: type[BaseModel], document: ConfigDocument, path: KeyPath, errors: list[ErrorDetails]
) -> Problem:
    expected = " or ".join(dict.fromkeys(_expected(error) for error in errors))
    if "[key]" in errors[0]["loc"]:
        hint = nearest(str(path[-1]), _QUOTED.findall(expected))
        return Problem(document, path, f"expected {expected}; found {quoted(str(path[-1]))}", hint=hint, spot=Spot.KEY)
    value = document.at(path)
    is_shown = path not in document.hidden and not _may_be_secret(model, path, value)
    written = document.written.get(path)
    hint = str(errors[0].get("ctx", {}).get("hint", ""))
    if written and any(error["type"] == "string_type" for error in errors):
        hint = f"quote it: '{written}'" if is_shown else "quote it"
    elif errors[0]["type"] in {"enum", "literal_error", "union_tag_invalid"} and isinstance(value, str) and is_shown:
        hint = nearest(value, _QUOTED.findall(expected))
    elif value is None and not hint:
        hint = "leave the key out, or give it a value"
    elif isinstance(value, str) and any(_fits(error, value) for error in errors):
        hint = "write it without quotes"
    shown = found(document, path) if is_shown or path in document.hidden else "a value that is not shown"
    return Problem(document, path, f"expected {expected}; found {shown}", hint=hint)


def _may_be_secret(model: type[BaseModel], path: KeyPath, value: Plain) -> bool:
    """Whether a value may be a secret: by its type, or as free text where secrets are allowed."""
    is_private = may_hold_secrets(path) and isinstance(value, str) and is_free_text(model, path)
    return is_private or is_secret(model, path)


def _fits(error: ErrorDetails, text: str) -> bool:
    """Whether a value would be right without quotes."""
    kind = error["type"]
    return (kind == "int_type" and bool(_WHOLE.fullmatch(text))) or (kind == "bool_type" and text.lower() in _TRUTH)


def _expected(error: ErrorDetails) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _EXPECTED:
        words = _EXPECTED[kind].format_map(context)
        return words if "," in words or " or " in words else words.removeprefix("one of ")
    message: str = error["msg"]
    for prefix in ("Value error, ", "expected ", "Input should be "):
        message = message.removeprefix(prefix)
    return message
