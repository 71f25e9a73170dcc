"""Checks that a hook's command can be run, when the configuration is read. Pure."""

from __future__ import annotations

import shlex
import string

from statekeeper.model.hook_event import HookEvent


def check_template(text: str) -> None:
    """Raise ValueError for an invalid command: unbalanced quotes, no word, or an unknown field of the event."""
    words = shlex.split(text)
    if not words:
        raise ValueError("the command is empty")
    known = ", ".join(f"{{{field}}}" for field in HookEvent.model_fields)
    for word in words:
        for _, name, spec, conversion in string.Formatter().parse(word):
            if name is not None and name not in HookEvent.model_fields:
                raise ValueError(f"{{{name}}} is not known; known are {known} (a literal brace is written twice)")
            if spec or conversion:
                raise ValueError(f"{{{name}}} takes no format")
