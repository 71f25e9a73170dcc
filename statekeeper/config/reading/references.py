"""Resolves `${NAME}` and `${NAME:-default}` in a document's text values from the environment, and
`${databricks:scope/key}` from a secret scope.

`$${` is a literal `${`. Secrets are allowed only where values are never written: in sources, hooks and storage. A value
from a reference may be secret, so messages call it `the value of ${NAME}`. Whether it has the right type is checked
later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TypeAlias

from statekeeper.config.reading.document import ConfigDocument, KeyPath, Plain
from statekeeper.config.reading.problems import Problem
from statekeeper.errors import StatekeeperError

_REFERENCE = re.compile(
    r"\$\$\{|\$\{(?:databricks:([A-Za-z0-9_.@-]+)/([A-Za-z0-9_.-]+)\}|([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?"
)
_STORAGE: KeyPath = ("storage",)
_MAY_HOLD_SECRETS: tuple[KeyPath, ...] = (("sources",), ("states",), ("execution", "spark"), _STORAGE)

Secrets: TypeAlias = Callable[[str, str], str]
"""The value of a secret by its scope and key. Raises StatekeeperError if it cannot be read."""


class Unset(Enum):
    """How an unset reference in sources and hooks is handled: as an error, or left unresolved."""

    REFUSE = auto()
    LEAVE = auto()


@dataclass(frozen=True)
class ResolvedDocument:
    """A document with resolved references; `problems` has the invalid ones, `unset` those to unset variables."""

    document: ConfigDocument
    problems: tuple[Problem, ...]
    unset: tuple[Problem, ...]

    @property
    def wrong(self) -> tuple[Problem, ...]:
        """All problems."""
        return (*self.problems, *self.unset)


def may_hold_secrets(path: KeyPath) -> bool:
    """Whether a value at `path` may be a secret, which is never written or quoted."""
    return any(path[: len(area)] == area for area in _MAY_HOLD_SECRETS)


def may_be_left(path: KeyPath) -> bool:
    """Whether only a run needs the value at `path`: what reaches the store is needed by whoever reads a run's files."""
    return may_hold_secrets(path) and path[:1] != _STORAGE


def resolve_references(
    document: ConfigDocument,
    environ: Mapping[str, str],
    *,
    secrets: Secrets | None = None,
    unset: Unset = Unset.REFUSE,
) -> ResolvedDocument:
    """The document with its references resolved.

    Without `secrets`, references to secrets count as unset; with `Unset.LEAVE` those that may be left are not read, and
    count as unset. A value with a problem stays unresolved.
    `${NAME:-default}` is the default if NAME is unset or empty.
    """
    resolver = _Resolver(document, environ, secrets, unset)
    data = resolver.value(document.data, ())
    filled = replace(
        document,
        data=data,
        hidden={**document.hidden, **resolver.hidden},
        filled={**document.filled, **resolver.filled},
        secrets=(*document.secrets, *resolver.found),
    )
    return ResolvedDocument(filled, tuple(resolver.problems), tuple(resolver.unset))


@dataclass
class _Resolver:
    document: ConfigDocument
    environ: Mapping[str, str]
    secrets: Secrets | None
    leaves: Unset
    found: list[str] = field(default_factory=list)
    hidden: dict[KeyPath, str] = field(default_factory=dict)
    filled: dict[KeyPath, tuple[str, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unset: list[Problem] = field(default_factory=list)

    def value(self, value: Plain, path: KeyPath) -> Plain:
        match value:
            case dict():
                return {key: self.value(inner, (*path, key)) for key, inner in value.items()}
            case list():
                return [self.value(inner, (*path, index)) for index, inner in enumerate(value)]
            case str() if "${" in value:
                return self._text(value, path)
            case _:
                return value

    def _text(self, text: str, path: KeyPath) -> str:
        names: list[str] = []
        wrong: list[Problem] = []
        unset: list[Problem] = []

        def filled(found: re.Match[str]) -> str:
            if found.group() == "$${":
                return "${"
            scope, key, name, default = found.groups()
            if scope is not None:
                names.append(f"databricks:{scope}/{key}")
                return self._secret(scope, key, path, wrong, unset)
            if name is None:
                hint = "a literal ${ is written $${"
                expected = "expected ${NAME}, ${NAME:-default} or ${databricks:scope/key}"
                wrong.append(Problem(self.document, path, expected, hint=hint))
                return ""
            names.append(name)
            value = self.environ.get(name)
            if value is None and default is None:
                hint = f"export {name}, or give a default: ${{{name}:-...}}"
                unset.append(Problem(self.document, path, f"the environment variable {name} is not set", hint=hint))
            if value is not None and not _is_text(value):
                text = f"the environment variable {name} holds bytes that are not UTF-8"
                wrong.append(Problem(self.document, path, text))
                return ""
            self.filled[path] = (*self.filled.get(path, ()), *([value] if value else []))
            return value or default or ""

        result = _REFERENCE.sub(filled, text)
        self.problems += wrong
        self.unset += unset
        if names or wrong:
            unique = dict.fromkeys(names)
            self.hidden[path] = "the value of " + " and ".join(f"${{{name}}}" for name in unique) if names else "..."
        return text if wrong or unset else result

    def _secret(self, scope: str, key: str, path: KeyPath, wrong: list[Problem], unset: list[Problem]) -> str:
        if not may_hold_secrets(path):
            text = "expected no secret here: it would be written to files and logs"
            hint = f"${{databricks:{scope}/{key}}} may stand in sources, in hooks, in execution.spark and in storage"
            wrong.append(Problem(self.document, path, text, hint=hint))
            return ""
        try:
            if self.secrets is None or (self.leaves is Unset.LEAVE and may_be_left(path)):
                unset.append(Problem(self.document, path, f"${{databricks:{scope}/{key}}}: secrets are not read here"))
                return ""
            value = self.secrets(scope, key)
        except StatekeeperError as error:
            text = f"${{databricks:{scope}/{key}}}: {error.message}"
            wrong.append(Problem(self.document, path, text, hint=error.hint or ""))
            return ""
        self.found.append(value)
        self.filled[path] = (*self.filled.get(path, ()), value)
        return value


def _is_text(value: str) -> bool:
    return value.encode(errors="replace").decode() == value
