"""A user's function as text, with everything that it uses from its own folder and that can change its result.

A function is described by its syntax tree (`schemas.model.syntax`), so that quotes, comments, documentation and layout
do not count; or by its source text, as version 0.1 did.

Decides how far to follow: to functions, classes and plain values that a function names, in files of its own folder. For
Python's and pydantic's own functions only names and closures count.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeAlias

from statekeeper.schemas.model.syntax import syntax_of

_PLAIN = (bool, int, float, str, bytes, Decimal, date, time, timedelta, Enum, type(None))
_NAMED_ONLY = sys.stdlib_module_names | {
    "pydantic",
    "pydantic_core",
    "annotated_types",
    "typing_extensions",
    "builtins",
}


Describe: TypeAlias = Callable[[FunctionType], str]
"""Turns one function into text."""


def source_text(function: Any, describe: Describe) -> str:
    """A function or a callable object as text, then what it uses."""
    return "\n".join(_Reader(describe).of(function))


def class_text(kind: type, describe: Describe) -> str:
    """The methods of a class and of its bases outside pydantic, with what they use."""
    return "\n".join(_Reader(describe).methods(kind))


class _Reader:
    """One walk over functions and values; it visits each only once."""

    def __init__(self, describe: Describe) -> None:
        self._describe = describe
        self._seen: set[int] = set()

    def of(self, value: Any) -> Iterator[str]:
        """A value as lines that are stable across processes and differ if its behaviour differs."""
        if (text := _plain(value)) is not None:
            yield text
            return
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        value = inspect.unwrap(value) if callable(value) else value
        if isinstance(value, MethodType):
            yield from self.of(value.__func__)
            yield from self.of(value.__self__)
        elif isinstance(value, FunctionType):
            yield from self._function(value)
        elif inspect.isclass(value):
            yield f"class {value.__qualname__}"
            yield from self.methods(value)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.items()):
                yield from self.of(part)
        else:
            yield from self._object(value)

    def methods(self, kind: type) -> Iterator[str]:
        for base in kind.__mro__:
            if _folder(base) is None or _is_named_only(base):
                continue
            for name, value in vars(base).items():
                function = getattr(value, "__func__", getattr(value, "wrapped", value))
                function = getattr(function, "__func__", function)
                if isinstance(function, FunctionType) and _folder(function) is not None:
                    yield name
                    yield from self.of(function)

    def _function(self, function: FunctionType) -> Iterator[str]:
        is_named_only = _is_named_only(function)
        yield f"{function.__qualname__}\n{'' if is_named_only else self._describe(function)}"
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in cells:
            if name != "__class__":
                yield from self._named(name, _content(cell))
        if is_named_only:
            return
        folder = _folder(function)
        for name in sorted(_names(function.__code__) & function.__globals__.keys()):
            value = function.__globals__[name]
            if not _has_code(value) or (folder is not None and _folder(value) == folder):
                yield from self._named(name, value)

    def _named(self, name: str, value: Any) -> Iterator[str]:
        for text in self.of(value):
            yield f"{name} = {text}"

    def _object(self, value: Any) -> Iterator[str]:
        if inspect.isroutine(value):
            yield str(getattr(value, "__qualname__", value))
            return
        yield type(value).__qualname__
        yield from self.methods(type(value))
        if dataclasses.is_dataclass(value):
            attributes = {part.name: getattr(value, part.name, None) for part in dataclasses.fields(value)}
        elif callable(value):
            attributes = dict(getattr(value, "__dict__", {}))
        else:
            attributes = {}
        for name, part in attributes.items():
            yield from self._named(name, part)


def _is_named_only(thing: Any) -> bool:
    return str(getattr(thing, "__module__", "")).split(".")[0] in _NAMED_ONLY


def _has_code(value: Any) -> bool:
    return callable(value) or inspect.ismodule(value)


def _folder(thing: Any) -> Path | None:
    """The folder of a function's or class's source file; None if there is none."""
    if isinstance(thing, FunctionType):
        name = thing.__code__.co_filename
        return None if name.startswith("<") else Path(name).parent
    if not inspect.isclass(thing):
        return None
    # Modules of the model's folder are not in sys.modules, so inspect cannot find the files of their classes.
    functions = (getattr(value, "__func__", value) for value in vars(thing).values())
    folders = (_folder(function) for function in functions if isinstance(function, FunctionType))
    return next((folder for folder in folders if folder is not None), None)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _names(code: CodeType) -> set[str]:
    """The names that a function and its inner functions use from outside."""
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*(_names(part) for part in inner))


def _plain(value: Any) -> str | None:
    """A value as text that is stable across processes; None if it has no such text."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, re.Pattern):
        return f"re.compile({value.pattern!r}, {value.flags})"
    parts: list[str | None]
    if isinstance(value, dict):
        parts = [_plain(part) for item in value.items() for part in item]
    elif isinstance(value, list | tuple):
        parts = [_plain(part) for part in value]
    elif isinstance(value, set | frozenset):
        parts = sorted((_plain(part) for part in value), key=str)
    else:
        return None
    return None if None in parts else f"{type(value).__name__}{parts!r}"


def by_tree(function: FunctionType) -> str:
    """A function as its syntax tree."""
    return syntax_of(function) or by_text(function)


def by_text(function: FunctionType) -> str:
    """A function's source text; if it is not available, its bytecode."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return f"{function.__code__.co_code.hex()} {_constants(function.__code__)}"


def _constants(code: CodeType) -> list[Any]:
    return [_constants(part) if isinstance(part, CodeType) else repr(part) for part in code.co_consts]
