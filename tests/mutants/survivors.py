"""The list of survivors that may stay, each with the reason why no test kills it."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SURVIVORS = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True, order=True)
class Change:
    """What a mutant changes, told so that it is found again when lines have moved.

    `place` is the function or class, as in `Ownership.owns`, or "" for the module itself; `line` is the code there
    without its indentation, and `becomes` what it is in the mutant. Several lines are told as one.
    """

    module: str
    place: str
    line: str
    becomes: str


def explained() -> dict[Change, str]:
    """The survivors that may stay, with the reasons."""
    entries = tomllib.loads(SURVIVORS.read_text()).get("survivor", [])
    return {Change(each["module"], each["place"], each["line"], each["becomes"]): each["why"] for each in entries}


def as_toml(change: Change) -> str:
    """The entry of a survivor, but for its reason."""
    fields = (change.module, change.place, change.line, change.becomes, "")
    named = zip(("module", "place", "line", "becomes", "why"), fields, strict=True)
    return "\n".join(["[[survivor]]", *(f"{name} = {_quoted(value)}" for name, value in named)])


def _quoted(value: str) -> str:
    """A string as TOML has it: as it stands where it can, since code is full of double quotes."""
    return f"'{value}'" if "'" not in value else json.dumps(value, ensure_ascii=False)


def lines_of(text: str) -> Iterator[tuple[str, range]]:
    """Each function and class of a module with its lines, the innermost first; at last the module."""
    yield from _inner(ast.parse(text), "")
    yield "", range(1, text.count("\n") + 2)


def _inner(node: ast.AST, place: str) -> Iterator[tuple[str, range]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{place}.{child.name}".removeprefix(".")
            yield from _inner(child, name)
            yield name, range(child.lineno, (child.end_lineno or child.lineno) + 1)
        else:
            yield from _inner(child, place)


def is_there(change: Change, text: str) -> bool:
    """Whether a module of this text has the line, at its place."""
    lines = [line.strip() for line in text.splitlines()]
    places = [span for place, span in lines_of(text) if place == change.place]
    return any(change.line in " ".join(lines[span.start - 1 : span.stop - 1]) for span in places)
