"""The format of log lines, and the redaction of secrets in them.

Decides the two formats (lines for people, JSON for machines) and removes secret values from everything logged,
tracebacks included. Which events are logged is decided where they happen.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol
from urllib.parse import quote

from pydantic import BaseModel, SecretStr

from statekeeper.text.printable import in_lines, one_line

REDACTED = "***"
_SHORTEST_SECRET = 4
_ROOT = "statekeeper"


class LogStream(Protocol):
    """What log lines are written to."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


class LogFormat(StrEnum):
    """How log lines are written."""

    HUMAN = "human"
    JSON = "json"


_GRANTEE = re.compile(r'(\bGRANT [^;\n]*? TO |\bALTER USER )([\w$#."-]+)')


class Redactor:
    """Replaces secret values in text: as they are, and as a URL, a `repr` or JSON spells them.

    Values of fewer than four characters stay: they would match ordinary text, and so reveal themselves. The user in a
    GRANT stays too: it is not secret, even if the password is the same word, and people copy the statement.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: tuple[str, ...] = ()
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Redact further secret values, too."""
        forms = set(self._secrets)
        for secret in secrets:
            if len(secret) >= _SHORTEST_SECRET:
                escaped = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
                forms.update((secret, quote(secret), quote(secret, safe=""), *escaped))
        # Longest first, so that a secret that contains another is replaced whole.
        self._secrets = tuple(sorted(forms, key=lambda form: (-len(form), form)))

    def __call__(self, text: str) -> str:
        """`text` without the secrets."""
        parts = _GRANTEE.split(text)  # groups of three: other text, the text before a user, the user
        return "".join(part if number % 3 == 2 else self._redacted(part) for number, part in enumerate(parts))

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text


class RedactingFilter(logging.Filter):
    """Removes secrets from a record before any handler writes it, and adds the run."""

    def __init__(self, redactor: Redactor, *, run: str | None = None) -> None:
        super().__init__()
        self.redactor = redactor
        self.run = run

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact `record` in place; every record passes."""
        record.msg = self.redactor(record.getMessage())
        record.args = None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.redactor(record.exc_text)
        record.exc_info = None
        record.run = getattr(record, "run", None) or self.run
        record.table = getattr(record, "table", None)
        return True


class HumanFormatter(logging.Formatter):
    """`2026-01-06 18:03:11+01:00 INFO    demo-20260106 shop.orders: chunk 3/12 done, 100,000 rows`, in local time."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, followed by the traceback if there is one."""
        at = datetime.fromtimestamp(record.created, tz=UTC).astimezone()
        about = " ".join(str(part) for part in (_field(record, "run"), _field(record, "table")) if part)
        moment = at.isoformat(sep=" ", timespec="seconds")
        line = f"{moment} {record.levelname:<7} {about + ': ' if about else ''}{record.getMessage()}"
        return f"{one_line(line)}\n{in_lines(record.exc_text)}" if record.exc_text else one_line(line)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (UTC), `level`, `run`, `table`, `message`, the event's facts as fields (named in
    `statekeeper.runtime.progress`), and `exception` if there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        fields = {
            "time": datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "run": _field(record, "run"),
            "table": _field(record, "table"),
            "message": record.getMessage(),
            **(getattr(record, "facts", None) or {}),
        }
        if record.exc_text:
            fields["exception"] = record.exc_text
        return one_line(json.dumps(fields, ensure_ascii=False))


def set_up_logging(
    stream: LogStream, *, log_format: LogFormat, redactor: Redactor, level: int = logging.INFO
) -> RedactingFilter:
    """Write statekeeper's log to `stream` only; the filter's `run` may be set later."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if log_format is LogFormat.JSON else HumanFormatter())
    redacting = RedactingFilter(redactor)
    handler.addFilter(redacting)
    logger = logging.getLogger(_ROOT)
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    return redacting


def secret_values(value: object) -> Iterator[str]:
    """Every `SecretStr` in a configuration: in models, dataclasses, mappings and sequences."""
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            yield from secret_values(dict(value))
        case Mapping():
            for inner in value.values():
                yield from secret_values(inner)
        case list() | tuple() | set() | frozenset():
            for inner in value:
                yield from secret_values(inner)
        case _ if is_dataclass(value) and not isinstance(value, type):
            for member in fields(value):
                yield from secret_values(getattr(value, member.name))
        case _:
            return


def _field(record: logging.LogRecord, name: str) -> str | None:
    value: str | None = getattr(record, name, None)
    return value
