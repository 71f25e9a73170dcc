"""Modules that are named in strings (to be imported later, elsewhere or by another process) are imports like any other.

Each must exist, and must lie below the module that names it, on the floors of the import lint in pyproject.toml.
"""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_PACKAGE = _ROOT / "statekeeper"
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text())
_NAME = re.compile(r"\bstatekeeper(?:\.[A-Za-z_]\w*)+(?::[A-Za-z_]\w*)?")
_FORMATS = {
    *(
        "activity",
        "count",
        "lock",
        "plan",
        "receipt",
        "recorded_receipts",
        "rejects",
        "run",
        "sift",
        "state",
        "windows",
    ),
    *("spark.driver", "spark.refusal", "spark.slot"),
}
_LOGGERS = {"databricks", "load", "objects", "run", "sources", "spark"}
_KEYS_IN_PARQUET = {"chunk", "plan_id", "quarantined_rows", "rest_of", "run_id", "snapshot", "table"}
_FILES = {"next", "zip"}
_GROUPS_OF_ENTRY_POINTS = {"engines", "sources", "stores", "table_formats"}
_PROPERTIES_OF_TABLES = {"folder", "location", "sequence"}
WORDS = {
    f"statekeeper.{word}"
    for word in _PROPERTIES_OF_TABLES | _FORMATS | _LOGGERS | _KEYS_IN_PARQUET | _FILES | _GROUPS_OF_ENTRY_POINTS
}
"""What begins as a module's name does, and is none."""


def _module(path: Path) -> str:
    return ".".join(path.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__")


def _modules() -> dict[str, Path]:
    return {_module(path): path for path in sorted(_PACKAGE.rglob("*.py"))}


def _named(source: str) -> Iterator[tuple[int, str]]:
    """Each name in the strings of a source text, docstrings and other statements apart, with its line."""
    tree = ast.parse(source)
    texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and id(node) not in texts:
            text = node.value if isinstance(node.value, str) else node.value.decode("latin1")
            for name in _NAME.findall(text):
                yield node.lineno, name


def _floors() -> dict[str, int]:
    """The floor of each package and module directly below statekeeper, counted from the ground."""
    (layers,) = [each["layers"] for each in _PROJECT["tool"]["importlinter"]["contracts"] if each["id"] == "layers"]
    return {name.strip(): number for number, line in enumerate(reversed(layers)) for name in re.split(r"[|:]", line)}


def _problems(modules: dict[str, str]) -> list[str]:
    """What is wrong with the names in these texts, by the module that each text is of."""
    floors, known, found = _floors(), {*_modules(), *modules}, []
    for module, text in modules.items():
        for line, name in _named(text):
            target = name.partition(":")[0]
            if name in WORDS:
                continue
            if target not in known:
                found.append(f"{module}:{line} names {target}, which does not exist")
            elif module != "statekeeper":
                here, there = module.split(".")[1], target.split(".")[1]
                if here != there and floors[here] <= floors[there]:
                    found.append(f"{module}:{line} names {target}, which is not below it")
    return found


def test_every_module_that_a_string_names_exists_and_is_below():
    texts = {name: path.read_text() for name, path in _modules().items()}
    assert _problems(texts) == []


def test_every_word_is_still_used():
    used = {name for path in _modules().values() for _, name in _named(path.read_text())}
    assert sorted(WORDS - used) == []


@pytest.mark.parametrize(
    ("module", "text", "problem"),
    [
        ("engines.local", "P = ('statekeeper.planning',)", "names statekeeper.planning, which does not exist"),
        ("engines.local", "P = 'statekeeper.extract.chunk'", "names statekeeper.extract.chunk, which is not below it"),
        (
            "config.loader",
            "f(b'statekeeper.sources.registry')",
            "statekeeper.sources.registry, which is not below",
        ),
        (
            "engines.local",
            "p = f'from statekeeper.run.runner import {x}'",
            "statekeeper.run.runner, which is not below it",
        ),
        (
            "plan.make_plan",
            "P = 'statekeeper.extract.chunk:work'",
            "names statekeeper.extract.chunk, which is not below",
        ),
    ],
)
def test_a_wrong_name_would_be_found(module, text, problem):
    (found,) = _problems({f"statekeeper.{module}": text})
    assert problem in found


def test_docstrings_and_words_are_no_imports():
    assert (
        _problems({"statekeeper.config.loader": '"""See `statekeeper.run.runner`."""\nLOG = "statekeeper.run"'}) == []
    )


@pytest.mark.parametrize(
    "place",
    sorted(
        {
            *(name for path in _modules().values() for _, name in _named(path.read_text()) if ":" in name),
            *_PROJECT["project"]["scripts"].values(),
        }
    ),
)
def test_every_entry_is_there(place):
    module, _, attribute = place.partition(":")
    assert hasattr(importlib.import_module(module), attribute)
