"""Parses YAML and JSON text to plain data, with the line and column of every key and value.

PyYAML builds the nodes; this module interprets unquoted scalars. It differs from YAML 1.1 where that loses information:
dates, octal and sexagesimal numbers stay text, numbers keep every digit, and a mapping's keys are always text.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import yaml

from statekeeper.config.reading.document import ConfigDocument, KeyPath, Plain, Position
from statekeeper.config.reading.problems import Problem, Spot, config_error
from statekeeper.config.reading.text_file import WRITE_ONE

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,99})")
_DECIMAL = re.compile(r"[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|.)")
_DEEPEST = 50
_MAX_VALUES = 500_000
_MAX_STEPS = 2 * _MAX_VALUES
_TOO_DEEP = f"this is nested deeper than {_DEEPEST} levels"
_TOO_LARGE = f"the file is too large: it has more than {_MAX_VALUES:,} values"
_TOO_REPETITIVE = "this has too many values: aliases repeat one another"


def read_yaml(text: str, *, name: str) -> tuple[ConfigDocument, list[Problem]]:
    """The document in `text`, and its duplicate keys as problems.

    Raises:
        ConfigError: the text is not a single YAML document, or too large, deep or repetitive.
    """
    blank = ConfigDocument(name=name, data=None, values={(): Position(1, 1)})
    _require_few_values(text, blank)
    try:
        node = _compose(text)
    except yaml.YAMLError as error:
        raise config_error([_syntax_problem(error, text, blank)]) from None
    except RecursionError:
        raise config_error([Problem(blank, (), _TOO_DEEP)]) from None
    except (ValueError, OverflowError):  # PyYAML without libyaml, on an escape beyond Unicode
        raise config_error([Problem(blank, (), "this is not YAML: it has an invalid character escape")]) from None
    if node is None:
        raise config_error([Problem(blank, (), "the file is empty", hint=WRITE_ONE)])
    reading = _Reading(name)
    try:
        data = reading.value(node, ())
    except _Unreadable as error:
        place = ConfigDocument(name=name, data=None, values={error.path: error.position})
        raise config_error([Problem(place, error.path, error.text, hint=error.hint)]) from None
    document = ConfigDocument(name=name, data=data, keys=reading.keys, values=reading.values, written=reading.written)
    return document, reading.duplicates


def read_json(text: str, *, name: str) -> tuple[ConfigDocument, list[Problem]]:
    """The same for JSON text."""
    blank = ConfigDocument(name=name, data=None, values={(): Position(1, 1)})
    _require_few_values(text, blank)
    try:
        json.loads(text, parse_int=str, parse_float=str)
    except json.JSONDecodeError as error:
        place = ConfigDocument(name=name, data=None, values={(): Position(error.lineno, error.colno)})
        what = f"this is not JSON: {error.msg}" if text.strip() else "the file is empty"
        raise config_error([Problem(place, (), what)]) from None
    except RecursionError:
        raise config_error([Problem(blank, (), _TOO_DEEP)]) from None
    # JSON allows what YAML does not: tabs between tokens (never in strings), and surrogate pairs.
    return read_yaml(_ESCAPE.sub(_one_escape, text.replace("\t", " ")), name=name)


def _one_escape(escape: re.Match[str]) -> str:
    high, low = escape.groups()
    if high is None:
        return escape.group()
    return f"\\U{0x10000 + ((int(high, 16) & 0x3FF) << 10) + (int(low, 16) & 0x3FF):08x}"


def _require_few_values(text: str, blank: ConfigDocument) -> None:
    """Refuse a large text before it becomes a tree of nodes of half a kilobyte each."""
    if len(text) <= _MAX_VALUES:  # a value takes at least one character
        return
    count = 0
    with suppress(yaml.YAMLError):  # reported when the text is parsed
        for event in yaml.parse(text, Loader=_LOADER):
            count += isinstance(event, yaml.NodeEvent)
            if count > _MAX_VALUES:
                place = replace(blank, values={(): _place(event.start_mark)})
                raise config_error([Problem(place, (), _TOO_LARGE)])


def _compose(text: str) -> yaml.Node | None:
    loader = _LOADER(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _Unreadable(Exception):
    """The document cannot be read beyond this node."""

    def __init__(self, path: KeyPath, node: yaml.Node, text: str, *, hint: str = "") -> None:
        super().__init__(text)
        self.path = path
        self.position = _place(node.start_mark)
        self.text = text
        self.hint = hint


_Entries = dict[str, tuple[yaml.ScalarNode, yaml.Node]]


@dataclass
class _Reading:
    """Walks over a document's nodes and collects positions and duplicates."""

    name: str
    keys: dict[KeyPath, Position] = field(default_factory=dict)
    values: dict[KeyPath, Position] = field(default_factory=dict)
    written: dict[KeyPath, str] = field(default_factory=dict)
    duplicates: list[Problem] = field(default_factory=list)
    steps: int = 0

    def value(self, node: yaml.Node, path: KeyPath) -> Plain:
        self._count_step(node, path, depth=len(path))
        self.values[path] = _place(node.start_mark)
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        raise _Unreadable(path, node, "a YAML tag has no meaning here", hint="remove it")

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> Plain:
        data: dict[str, Plain] = {}
        for key, (key_node, value_node) in self._entries(node, path, depth=len(path)).items():
            self.keys[(*path, key)] = _place(key_node.start_mark)
            data[key] = self.value(value_node, (*path, key))
        return data

    def _entries(self, node: yaml.MappingNode, path: KeyPath, *, depth: int) -> _Entries:
        """A mapping's own keys, then those that it merges by `<<: *anchor` and does not have itself."""
        self._count_step(node, path, depth=depth)
        entries: _Entries = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                merged.extend(value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node])
            elif not isinstance(key_node, yaml.ScalarNode):
                raise _Unreadable(path, key_node, "expected a key that is text; found a mapping or a list")
            elif key_node.value in entries:
                self._duplicate((*path, key_node.value), key_node, first=entries[key_node.value][0])
            else:
                entries[key_node.value] = (key_node, value_node)
        for source in merged:
            if not isinstance(source, yaml.MappingNode):
                raise _Unreadable(path, source, "expected a mapping to merge by <<, or a list of mappings")
            for key, entry in self._entries(source, path, depth=depth + 1).items():
                entries.setdefault(key, entry)
        return entries

    def _duplicate(self, path: KeyPath, node: yaml.Node, *, first: yaml.Node) -> None:
        there = ConfigDocument(name=self.name, data=None, keys={path: _place(node.start_mark)})
        line = _place(first.start_mark).line
        self.duplicates.append(
            Problem(there, path, f"duplicate key; the first is on line {line}", spot=Spot.KEY, hint="remove one")
        )

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Plain:
        text: str = node.value
        match node.tag.removeprefix(_TAG):
            case "null":
                self.written[path] = text
                return None
            case "bool":
                self.written[path] = text
                return text.lower() in {"true", "yes", "on"}
            case "int" | "float" if _INT.fullmatch(text) or _DECIMAL.fullmatch(text):
                self.written[path] = text
                return _number(text.replace("_", ""))
            case "int" | "float" | "str" | "timestamp" | "value":
                return text
            case _:
                raise _Unreadable(path, node, "a YAML tag has no meaning here", hint="quote text that begins with !")

    def _count_step(self, node: yaml.Node, path: KeyPath, *, depth: int) -> None:
        self.steps += 1
        if depth > _DEEPEST:
            raise _Unreadable(path[:1], node, _TOO_DEEP)
        if self.steps > _MAX_STEPS:
            raise _Unreadable(path[:1], node, _TOO_REPETITIVE)


def _number(text: str) -> int | float | str:
    """An int, a float if it is exactly the written number, else the text."""
    if _INT.fullmatch(text):
        return int(text)
    exact = Decimal(text)
    return float(text) if exact == Decimal(repr(float(text))) else text


def _place(mark: Any) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _syntax_problem(error: yaml.YAMLError, text: str, blank: ConfigDocument) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: text.find(chr(error.character))] if isinstance(error.character, int) else ""
        position = Position(before.count("\n") + 1, len(before) - before.rfind("\n"))
        what, hint = f"this is not YAML: the character U+{error.character:04X} is not allowed", ""
    elif isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        position = _place(mark)
        what, hint = _words_for(error), _syntax_hint(error, text.splitlines(), position)
    else:
        position, what, hint = Position(1, 1), "this is not YAML", ""
    place = ConfigDocument(name=blank.name, data=None, values={(): position})
    return Problem(place, (), what, hint=hint)


def _words_for(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's message without quoted names: text that begins with * or ! may be a secret."""
    problem = error.problem or "the syntax is wrong"
    if "alias" in problem or "tag" in problem:
        problem = problem.partition(" '")[0]
    return f"this is not YAML: {error.context}, {problem}" if error.context else f"this is not YAML: {problem}"


def _syntax_hint(error: yaml.MarkedYAMLError, lines: list[str], position: Position) -> str:
    line = lines[position.line - 1] if position.line <= len(lines) else ""
    here = line[position.column - 1 : position.column]
    problem = error.problem or ""
    if here == "\t" or "tab" in problem or line[: position.column].endswith("\t"):
        return "indent with spaces, never with tabs"
    if here == "{" and line[: position.column - 1].endswith("$"):
        return 'inside {...} and [...] a reference is quoted: "${NAME}"'
    if "alias" in problem:
        return "quote text that begins with *"
    if "start any token" in problem:
        return f"quote text that begins with {here}"
    if "mapping values" in problem:
        return "check the indentation, and quote text that has a colon in it"
    return ""
