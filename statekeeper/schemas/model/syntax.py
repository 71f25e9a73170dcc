"""A function's syntax tree as text, which does not depend on quotes, comments, documentation or layout.

The text is the same under every version of Python: a node's empty fields, and those that only some versions have, are
left out.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import lru_cache
from types import FunctionType
from typing import TypeAlias

_Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_IGNORED_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def syntax_of(function: FunctionType) -> str | None:
    """The syntax of a function, with decorators and defaults; None if its source is not available.

    If several lambdas begin on its line, the text has all of them, since it is unknown which one it is.
    """
    code = function.__code__
    try:
        lines, _ = inspect.findsource(function)
        functions = _functions("".join(lines))
    except (OSError, TypeError, SyntaxError, ValueError, RecursionError):
        return None
    found = functions.get((code.co_name, code.co_firstlineno))
    return "\n".join(_dump(node) for node in found) if found else None


@lru_cache(maxsize=16)
def _functions(source: str) -> dict[tuple[str, int], list[_Function]]:
    """The functions of a file by name and first line, as in compiled code."""
    found: dict[tuple[str, int], list[_Function]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Lambda):
            found.setdefault(("<lambda>", node.lineno), []).append(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
            found.setdefault((node.name, first), []).append(node)
    return found


def _dump(value: object) -> str:
    match value:
        case ast.AST():
            fields = (f"{name}={_dump(part)}" for name, part in _fields(value))
            return f"{type(value).__name__}({', '.join(fields)})"
        case list():
            return f"[{', '.join(map(_dump, value))}]"
        case _:
            return repr(value)


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    for name, value in sorted(ast.iter_fields(node)):
        if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield name, _without_documentation(node.body)
        elif name not in _IGNORED_FIELDS and value is not None and value != []:
            yield name, value


def _without_documentation(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            return rest or [ast.Pass()]
        case _:
            return body
