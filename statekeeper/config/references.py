"""`${NAME}` and `${NAME:-default}` in a document's text values, filled in from the environment.

`$${` is a literal `${`. What came in through a reference may be a secret, so from here on messages speak of
`the value of ${NAME}`; that the value fits where it stands is decided later, with the types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from statekeeper.config.document import Document, KeyPath, Plain
from statekeeper.config.problems import Problem

_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")


def fill_references(document: Document, environ: Mapping[str, str]) -> tuple[Document, list[Problem]]:
    """The document with its references filled in, and a problem for each that cannot be.

    A value with a problem is left as it is written. `${NAME:-default}` is the default where NAME is unset or empty.
    """
    filling = _Filling(document, environ)
    data = filling.value(document.data, ())
    filled = {**document.filled, **filling.filled}
    return replace(document, data=data, hidden={**document.hidden, **filling.hidden}, filled=filled), filling.problems


@dataclass
class _Filling:
    document: Document
    environ: Mapping[str, str]
    hidden: dict[KeyPath, str] = field(default_factory=dict)
    filled: dict[KeyPath, tuple[str, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

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

        def filled(found: re.Match[str]) -> str:
            if found.group() == "$${":
                return "${"
            name, default = found.groups()
            if name is None:
                hint = "a literal ${ is written $${"
                wrong.append(Problem(self.document, path, "expected ${NAME} or ${NAME:-default}", hint=hint))
                return ""
            names.append(name)
            value = self.environ.get(name)
            if value is None and default is None:
                hint = f"export {name}, or give a default: ${{{name}:-...}}"
                wrong.append(Problem(self.document, path, f"the environment variable {name} is not set", hint=hint))
            self.filled[path] = (*self.filled.get(path, ()), *([value] if value else []))
            return value or default or ""

        result = _REFERENCE.sub(filled, text)
        self.problems += wrong
        if names or wrong:
            unique = dict.fromkeys(names)
            self.hidden[path] = "the value of " + " and ".join(f"${{{name}}}" for name in unique) if names else "..."
        return text if wrong else result
