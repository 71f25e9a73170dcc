"""Every text of the program that tells its reader to type something, read from its syntax trees.

A text counts where it holds a command line, an option, a statement of SQL, a program of the system, or a key of the
config with its value. Left out are docstrings, the help of options, and the declarations of options themselves.
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

PACKAGE = Path(statekeeper.__file__).parent
_COMMAND = re.compile(
    r"`[a-z-]+ |\bstatekeeper (?!is |was |that |follows |ran |of |row |from |writes |does |which |must )[a-z]+ ?[`{\w-]*"
    r"|\bdata-extractor |\b(GRANT|ALTER USER|SHOW) |(?<![\w-])--[a-z]|pip install|\bexport \{|\(ls -l|\(ulimit"
)
_HELP = frozenset({"help", "description", "epilog", "metavar", "title", "action", "prog_name", "program"})
_METHODS = frozenset({"run", "run_chosen", "force", "resume", "resume_stale", "verify", "status", "watch", "reset"})


@dataclass(frozen=True)
class Text:
    """A text of the source that holds something to type; what is filled in is `{}`."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text!r}"


def typed_texts() -> Iterator[Text]:
    """All of them; a call of `RunCommands`, or of `command`, counts as the text that it is written as."""
    is_key = re.compile(rf"(?<![\w.'\"-])({'|'.join(sorted(_config_keys()))})(\.\w+|\.\{{\}})*: ?[\w{{$/].*")
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        left_out = {id(each) for part in _no_texts(tree) for each in ast.walk(part)}
        for node in ast.walk(tree):
            if id(node) in left_out:
                continue
            text = _text(node)
            left_out.update(id(each) for each in ast.walk(node) if text is not None)
            if text is not None and (_COMMAND.search(text) or is_key.search(text)) or (text := _call(node)):
                yield Text(f"{path.relative_to(PACKAGE.parent)}:{node.lineno}", text)  # type: ignore[attr-defined]


def _config_keys() -> set[str]:
    """The names of all keys of the config."""
    modules = (
        importlib.import_module(f"statekeeper.config.{each.name}")
        for each in pkgutil.iter_modules(statekeeper.config.__path__)
    )
    values = (value for module in modules for value in vars(module).values())
    return {
        name
        for value in values
        if isinstance(value, type) and issubclass(value, BaseModel)
        for name in value.model_fields
    }


def _no_texts(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant()):
                yield node
            case ast.keyword(arg=name, value=value) if name in _HELP:
                yield value
            case ast.Call(func=function) if ast.unparse(function).endswith(("option", "argument", "Field", "compile")):
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
        case ast.Call(func=ast.Name(id="command"), args=[ast.Constant(value=str(name)), *_]):
            return f"command({name})"
        case _:
            return None
