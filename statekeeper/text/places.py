"""How a place in an object store is written for people: `/s3:/bucket/key` is the path of `s3://bucket/key`."""

from __future__ import annotations

import re

_PLACE = re.compile(r"(?<![\w.:/])/([a-z][a-z0-9+-]+):/")
"""A scheme has two letters or more: `/c:/` is no store's."""


def with_addresses(text: str) -> str:
    """A text in which every path in an object store is its address."""
    return _PLACE.sub(r"\1://", text)
