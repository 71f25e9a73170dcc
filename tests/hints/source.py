"""Every text of the program that tells its reader to type something, read from its syntax trees.

A text counts where it holds a command line, an option in a sentence, a statement of SQL, a program of the system, or a
key of the config with its value; a call of `RunCommands`, or of `command`, counts as what it is written as. Left out
are docstrings, the help of options, and what declares options.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

import statekeeper
import statekeeper.config

_PACKAGE = Path(statekeeper.__file__).parent
_COMMAND = re.compile(
    r"`(statekeeper|data-extractor|databricks|lsnrctl|SHOW) |`(\w+|\{\}): |\bstatekeeper (check|run|schemas|init) "
    r"|[ (]--[a-z]|--[a-z-]+ [A-Z,]|pip install|\bexport \{|\(ls -l|\(ulimit|did you mean| path_name\b"
    r"|\b(GRANT|ALTER USER|SHOW) |::[A-Z]\w*.* custom_query|custom_query.*::|\(\{0\}.* custom_query|CAST\(\.\.\."
)
_NO_TEXTS = frozenset({"help", "description", "epilog", "metavar", "title", "action", "prog_name", "program"})
_DECLARING = ("option", "argument", "Field", "compile")
_PROSE = frozenset({"table"})
"""Keys that also end the clause of a plain sentence, before its colon."""
_METHODS = frozenset({"run", "run_chosen", "force", "resume", "resume_stale", "verify", "status", "watch", "reset"})


@dataclass(frozen=True)
class Text:
    """A text of the source that holds something to type; what is filled in is `{}`."""

    module: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.text!r}"


def typed_texts() -> Iterator[Text]:
    """All of them."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        yield from texts_of(ast.parse(path.read_text(encoding="utf-8")), str(path.relative_to(_PACKAGE.parent)))


def texts_of(tree: ast.Module, name: str) -> Iterator[Text]:
    """Those of one module."""
    keys = "|".join(sorted(_config_keys() - _PROSE))
    is_key = re.compile(rf"(?<![\w.'\"-])({keys})(\.\w+|\.\{{\}})*: ?([\w$/]|\{{\w)")
    left_out = {id(each) for part in _declarations(tree) for each in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        text = _text(node)
        if text is not None:
            left_out.update(id(each) for each in ast.walk(node) if isinstance(each, ast.Constant))
        told = text if text is not None and (_COMMAND.search(text) or is_key.search(text)) else _call(node)
        if told is not None:
            yield Text(name, getattr(node, "lineno", 0), told)


def _config_keys() -> set[str]:
    """The names of all keys of the config."""
    names = (each.name for each in pkgutil.walk_packages(statekeeper.config.__path__, "statekeeper.config."))
    values = (value for name in names for value in vars(importlib.import_module(name)).values())
    models = (value for value in values if isinstance(value, type) and issubclass(value, BaseModel))
    return {name for model in models for name in model.model_fields}


def _declarations(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant()):
                yield node
            case ast.keyword(arg=name, value=value) if name in _NO_TEXTS:
                yield value
            case ast.Call(func=function) if ast.unparse(function).endswith(_DECLARING):
                yield node


def _text(node: ast.AST) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
        case _:
            return None


def _call(node: ast.AST) -> str | None:
    match node:
        case ast.Call(func=ast.Attribute(value=owner, attr=name)) if name in _METHODS:
            return f"commands.{name}" if ast.unparse(owner).endswith("commands") else None
        case ast.Call(func=ast.Name(id="command"), args=words):
            return f"command({', '.join(ast.unparse(word) for word in words)})"
        case _:
            return None
