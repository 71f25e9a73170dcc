"""Whether a hook's command can be run: checked when the configuration is read. Pure."""

from __future__ import annotations

import shlex
import string

from statekeeper.model.hook_event import HookEvent


def check_template(text: str) -> None:
    """Raise ValueError for a command that could not be run: unbalanced quotes, no word, a name that no event has."""
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
