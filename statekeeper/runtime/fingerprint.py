"""The fingerprint of an extraction: published data is stale once it changes.

It covers the source's identity, what is selected, the schema model, keys and references, and how the window is made.
It does not cover hosts, secrets, workers or retries. A fingerprint is text of `aspect=digest` pairs, so that a message
can name the aspect that differs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

from statekeeper.config.resolved import ExtractionConfig
from statekeeper.schemas.model.fingerprint import model_fingerprint, text_fingerprint

if TYPE_CHECKING:
    from pydantic import BaseModel

SCHEMA = "schema"
_SCHEMA_BEFORE = "schema-0.1"
"""The model's fingerprint as version 0.1 made it. It is compared and never stored, so that data of 0.1 is not stale."""
DRIFT = "on_drift"
VIOLATIONS = "on_violation"
_POLICIES = frozenset({DRIFT, VIOLATIONS})
"""Aspects that are policies: a changed policy makes data stale only if the old one affected that data."""


def fingerprint_of(config: ExtractionConfig, model: type[BaseModel] | None) -> str:
    """The fingerprint of a table's configuration, for example `source=0f3a9c12 query=77ab01ce schema=- window=-`."""
    incremental = config.incremental
    aspects = {
        "source": _digest({"type": config.source.type_name(), **config.source.identity_settings()}),
        "query": _digest(config.relation.model_dump(mode="json")),
        SCHEMA: "-" if model is None else model_fingerprint(model)[:16],
        "window": "-"
        if incremental is None
        else _digest(
            {**incremental.model_dump(mode="json"), "timezone": incremental.zone, "full": config.is_full_extract}
        ),
    }
    aspects[DRIFT] = config.on_drift.value
    aspects[VIOLATIONS] = _violations_policy(config)
    if model is not None and (text := text_fingerprint(model)) is not None:
        aspects[_SCHEMA_BEFORE] = text[:16]
    if config.keys:
        aspects["keys"] = _digest(config.keys.model_dump(mode="json"))
    if config.mark_taken_before:
        aspects["mark_taken_before"] = "true"
    if config.is_in_table:
        aspects["format"] = config.format
    if config.flashback_timestamp is not None or config.flashback_enabled:
        aspects["flashback"] = _digest({"at": str(config.flashback_timestamp)})
    return " ".join(f"{aspect}={digest}" for aspect, digest in aspects.items())


def changed_aspects(old: str, new: str) -> tuple[str, ...]:
    """The names of the aspects that differ between a stored fingerprint and the current one, for messages."""
    before, after = _parse(old), _parse(new)
    if before.get(SCHEMA) == after.pop(_SCHEMA_BEFORE, ""):
        before[SCHEMA] = after[SCHEMA]
    names = before.keys() | after.keys() - _POLICIES
    return tuple(sorted(name for name in names if before.get(name) != after.get(name)))


def kept_fingerprint(fingerprint: str, *, policies: AbstractSet[str]) -> str:
    """The fingerprint as it is stored. Of the policies it has only `policies`, which affected the data."""
    return " ".join(
        f"{aspect}={digest}"
        for aspect, digest in _parse(fingerprint).items()
        if aspect != _SCHEMA_BEFORE and (aspect not in _POLICIES or aspect in policies)
    )


def with_violations(fingerprint: str, config: ExtractionConfig) -> str:
    """A stored fingerprint plus the policy for violations, which affected the data: rows broke the schema."""
    return f"{fingerprint} {VIOLATIONS}={_violations_policy(config)}"


def _violations_policy(config: ExtractionConfig) -> str:
    return f"{config.on_violation}+rows" if config.keep_violating_rows else config.on_violation.value


def _parse(fingerprint: str) -> dict[str, str]:
    return dict(pair.partition("=")[::2] for pair in fingerprint.split())


def _digest(values: dict[str, object]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
