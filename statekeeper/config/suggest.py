"""Suggests the known name that is nearest to a mistyped one. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST_GUESSED = 200


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint for a word that is not in `known`: the nearest of them; empty if none is near."""
    if len(word) > _LONGEST_GUESSED:
        return ""
    by_folded = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), list(by_folded), n=1, cutoff=0.55)
    return f"did you mean '{by_folded[close[0]]}'?" if close else ""
