r"""Translates pydantic's regular expressions (Rust's `regex`) to DuckDB's (RE2).

Decides which patterns mean the same in both, and rewrites those whose classes are Unicode in Rust and ASCII in RE2. A
pattern with anything outside a small known grammar is not translated: pydantic then validates every row. Rewritten
classes are right for ASCII strings only (`Translation.is_ascii_only`): pydantic then validates rows with other strings.
Known differences: Rust's \d \w \s \b and (?i) know Unicode; RE2's \s lacks \x0b; RE2 repeats at most 1000 times.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass

_PLAIN = "A-Za-z0-9_ "
_ALTERNATIVES = re.compile(rf"\^\((?:\?:)?([{_PLAIN}-]*(?:\|[{_PLAIN}-]*)*)\)\$")
_SEQUENCE = re.compile(rf"\^((?:[{_PLAIN}]|\[[{_PLAIN}]+\])+)\$")
_MAX_MEMBERS = 32
_PERL = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\x0b\f\r "}
_PROPERTY = re.compile(r"p\{(L|Lu|Ll|N|Nd)\}")
_PROPERTIES = {"L": "A-Za-z", "Lu": "A-Z", "Ll": "a-z", "N": "0-9", "Nd": "0-9"}
"""The ASCII part of Unicode's letters and numbers."""
_POSIX = re.compile(r"\[:(alnum|alpha|digit|lower|upper|xdigit):\]")
_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "digit": "0-9",
    "lower": "a-z",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
_NAMED_GROUP = re.compile(r"\?P?<[A-Za-z_][A-Za-z0-9_]*>")
_CONTROL = {"t": 0x09, "n": 0x0A, "r": 0x0D, "f": 0x0C, "v": 0x0B}
_ANCHORS = {"A": r"\A", "z": r"\z"}
_SET_OPERATORS = ("&&", "--", "~~")
_MAX_REPEAT = 1000


@dataclass(frozen=True)
class Translation:
    """A pattern for RE2; `is_ascii_only`: it equals the original for ASCII strings only."""

    pattern: str
    is_ascii_only: bool


class Untranslatable(Exception):
    """Part of the pattern may mean something else in RE2; the message names it."""


def translate(pattern: str) -> Translation:
    """The pattern for RE2. Raises Untranslatable."""
    return _Translator(pattern).run()


def finite_members(pattern: str) -> tuple[str, ...] | None:
    """All strings that the pattern matches if it simply lists them: `^[FO]$`, `^(new|paid)$`; else None."""
    if (found := _ALTERNATIVES.fullmatch(pattern)) is not None:
        members = tuple(found.group(1).split("|"))
    elif (found := _SEQUENCE.fullmatch(pattern)) is not None:
        choices = [part.strip("[]") for part in re.findall(r"\[[^]]+\]|.", found.group(1))]
        if len(choices) > _MAX_MEMBERS or math.prod(map(len, choices)) > _MAX_MEMBERS:
            return None
        members = tuple("".join(chosen) for chosen in itertools.product(*choices))
    else:
        return None
    return members if len(members) <= _MAX_MEMBERS else None


class _Translator:
    """One pass over the pattern, construct by construct."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._out: list[str] = []
        self._is_ascii_only = False
        self._ignores_case = False
        self._can_repeat = False
        self._atom = 1
        """How often the last atom repeats something inside it in total: RE2 refuses more than 1000."""
        self._groups = [1]
        """The most repeats inside each open group."""

    def run(self) -> Translation:
        if self._text.startswith("(?i)"):
            self._at, self._ignores_case, self._is_ascii_only = 4, True, True
        while self._at < len(self._text):
            self._construct()
        flag = "(?i)" if self._ignores_case else ""
        return Translation(flag + "".join(self._out), self._is_ascii_only)

    def _take(self) -> str:
        if self._at >= len(self._text):
            raise Untranslatable("an unfinished construct")
        self._at += 1
        return self._text[self._at - 1]

    def _ahead(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _construct(self) -> None:
        char = self._take()
        if char in "*+?{":
            self._repeat(char)
            return
        self._can_repeat = char not in "^|("
        self._atom = 1
        if char == "\\":
            self._escape()
        elif char == "[":
            self._class()
        elif char == "(":
            self._group()
        elif char == ")":
            self._atom = self._groups.pop()
            self._groups[-1] = max(self._groups[-1], self._atom)
            self._out.append(")")
        elif char in "^$":
            self._can_repeat = False
            self._out.append(char)
        elif char in ".|":
            self._out.append(char)
        else:
            self._out.append(self._literal(char))

    def _repeat(self, char: str) -> None:
        if not self._can_repeat:
            raise Untranslatable(f"a repeat {char} of nothing, of an anchor or of another repeat")
        self._can_repeat = False
        text = char
        if char == "{":
            end = self._text.find("}", self._at)
            parts = self._text[self._at : end].split(",") if end >= 0 else []
            if len(parts) not in {1, 2} or not parts[0].isdecimal() or not (parts[-1].isdecimal() or parts[-1] == ""):
                raise Untranslatable("a repeat of an unusual form")
            self._count(max(int(part) for part in parts if part))
            text, self._at = self._text[self._at - 1 : end + 1], end + 1
        self._out.append(text)
        if self._ahead("?"):
            self._out.append(self._take())

    def _count(self, times: int) -> None:
        self._atom *= max(times, 1)
        self._groups[-1] = max(self._groups[-1], self._atom)
        if self._atom > _MAX_REPEAT:
            raise Untranslatable(f"repeats that come to more than {_MAX_REPEAT}")

    def _group(self) -> None:
        self._groups.append(1)
        if not self._ahead("?"):
            self._out.append("(?:")
        elif self._ahead("?:"):
            self._at += 2
            self._out.append("(?:")
        elif (named := _NAMED_GROUP.match(self._text, self._at)) is not None:
            self._at = named.end()
            self._out.append("(?:")
        else:
            raise Untranslatable("a group with flags")

    def _escape(self) -> None:
        char = self._take()
        if char in "dwsDWS":
            self._is_ascii_only = True
            self._out.append(f"[{'^' if char.isupper() else ''}{_PERL[char.lower()]}]")
        elif char == "p" and (members := self._property(self._at - 1)) is not None:
            self._out.append(f"[{members}]")
        elif char in "bB":
            if self._ahead("{"):
                raise Untranslatable("a special word boundary")
            self._is_ascii_only = True
            self._can_repeat = False
            self._out.append(f"\\{char}")
        elif char in _ANCHORS:
            self._can_repeat = False
            self._out.append(_ANCHORS[char])
        else:
            self._out.append(self._literal(self._escaped_char(char)))

    def _property(self, start: int) -> str | None:
        """The members of `p{...}`, which begins at `start`; None, without advancing, if it is unknown."""
        if (found := _PROPERTY.match(self._text, start)) is None:
            return None
        self._at, self._is_ascii_only = found.end(), True
        return _PROPERTIES[found.group(1)]

    def _escaped_char(self, char: str) -> str:
        if char in _CONTROL:
            return chr(_CONTROL[char])
        if char == "x" and len(digits := self._text[self._at : self._at + 2]) == 2 and "{" not in digits:
            self._at += 2
            return chr(int(digits, 16))
        if char.isascii() and not char.isalnum() and char not in "<> " and char.isprintable():
            return char
        raise Untranslatable(f"the escape \\{char}")

    def _literal(self, char: str) -> str:
        if not char.isascii() and self._ignores_case:
            raise Untranslatable("a non-ASCII letter without regard to case")
        return char if char.isalnum() or not char.isascii() else f"\\x{ord(char):02x}"

    def _class(self) -> None:
        out = ["["]
        if self._ahead("^"):
            out.append(self._take())
        is_first = True
        while not self._ahead("]") or is_first:
            out.append(self._class_item(is_first=is_first))
            is_first = False
        self._at += 1
        self._out.append("".join(out) + "]")

    def _class_item(self, *, is_first: bool) -> str:
        if is_first and self._ahead("]"):
            raise Untranslatable("a class that begins with a bracket")
        start = self._take()
        if start == "\\" and self._text[self._at : self._at + 1] in {"d", "w", "s"}:
            self._is_ascii_only = True
            return _PERL[self._take()]
        if start == "\\" and (members := self._property(self._at)) is not None:
            return members
        if start == "[" and (posix := _POSIX.match(self._text, self._at - 1)) is not None:
            self._at = posix.end()
            return _POSIX_CLASSES[posix.group(1)]  # ASCII only, in Rust as well
        if start == "-" and not is_first and not self._ahead("]"):
            raise Untranslatable("a dash in the middle of a class")
        text = self._class_char(start)
        if any(self._ahead(operator) for operator in _SET_OPERATORS):
            raise Untranslatable("a class made of classes")
        if self._ahead("-") and not self._ahead("-]"):
            self._at += 1
            return f"{text}-{self._class_char(self._take())}"
        return text

    def _class_char(self, char: str) -> str:
        if char == "[" or self._text[self._at - 1 : self._at + 1] in _SET_OPERATORS:
            raise Untranslatable("a class made of classes")
        return self._literal(self._escaped_char(self._take()) if char == "\\" else char)
