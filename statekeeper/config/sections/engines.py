"""The engines that a configuration may name; `statekeeper.engines.choice` defines them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from statekeeper.config.sections.section import refusal
from statekeeper.config.suggest import nearest
from statekeeper.registry import Registry


class EngineKind(StrEnum):
    """The engines that statekeeper ships."""

    LOCAL = "local"
    SPARK = "spark"


ENGINES = Registry(
    group="statekeeper.engines",
    what="engine",
    shipped={kind.value: f"choice:{kind.name}" for kind in EngineKind},
)
"""The engines by name; a shipped one's path is relative to `statekeeper.engines`."""


def known_name(name: str) -> str | None:
    """The name of an engine, as an `EngineKind` if it is shipped; None if there is no such engine."""
    if name in ENGINES.shipped:
        return EngineKind(name)
    return name if ENGINES.has(name) else None


def _known(name: str) -> str:
    if (known := known_name(name)) is not None:
        return known
    hint = "; ".join(filter(None, (nearest(name, ENGINES.names), ENGINES.hint_of_more)))
    raise refusal(f"one of {', '.join(map(repr, ENGINES.names))}", hint=hint)


class _Names:
    """Lists the engines in the JSON Schema."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        found: dict[str, Any] = {**handler(schema), "enum": list(ENGINES.names)}
        return {"anyOf": [found, {"type": "string", "pattern": r"\$\{"}]}


EngineName = Annotated[str, AfterValidator(_known), _Names()]
"""The name of an engine."""
