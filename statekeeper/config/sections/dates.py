"""Extraction dates in the configuration: a day, `today` or `yesterday`; and timestamps."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from statekeeper.config.sections.section import refusal

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_AGO = {"today": 0, "yesterday": 1}
RELATIVE_DAYS = frozenset(_AGO)
"""The words whose day depends on the current date."""


def resolve_date(text: str, *, today: date) -> date:
    """The day of `today`, `yesterday` or `YYYY-MM-DD`.

    Raises:
        ValueError: the text is none of them, or the day does not exist.
    """
    if text in _AGO:
        return today - timedelta(days=_AGO[text])
    if not _DAY.fullmatch(text):
        raise ValueError("expected today, yesterday or a day such as 2026-01-31")
    return date.fromisoformat(text)


def day_of(text: str) -> date:
    """The day in a scheduler's text: a date, or an ISO 8601 timestamp, whose UTC date it is.

    Raises:
        ValueError: the text is neither.
    """
    return date.fromisoformat(text) if _DAY.fullmatch(text) else read_moment(text).astimezone(UTC).date()


def read_moment(text: str) -> datetime:
    """An ISO 8601 timestamp; without an offset it is UTC. Raises ValueError for other text."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _moment(text: str) -> str:
    try:
        read_moment(text)
    except ValueError as error:
        raise refusal("an ISO 8601 timestamp such as 2026-01-31T23:59:59+00:00") from error
    return text


def _day_or_word(text: str) -> str:
    try:
        resolve_date(text, today=date(2000, 1, 1))
    except ValueError as error:
        raise refusal("today, yesterday or a day such as 2026-01-31") from error
    return text


Moment = Annotated[str, AfterValidator(_moment)]
ExtractionDate = Annotated[
    str,
    AfterValidator(_day_or_word),
    WithJsonSchema({"type": "string", "pattern": r"^(today|yesterday|[0-9]{4}-[0-9]{2}-[0-9]{2})$|\$\{"}),
]
