"""How a place in an object store is written for people: `/s3:/bucket/key` is the path of `s3://bucket/key`."""

from __future__ import annotations

import re

_PLACE = re.compile(r"(?<![\w.:/])/(s3):/")


def with_addresses(text: str) -> str:
    """A text in which every path in an object store is its address."""
    return _PLACE.sub(r"\1://", text)
