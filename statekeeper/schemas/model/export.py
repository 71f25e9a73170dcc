"""A table's model as JSON Schema (draft 2020-12), from pydantic's validation schema, with the columns' names. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

from statekeeper.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(model: type[BaseModel], *, table: str) -> dict[str, Any]:
    """The schema of a row: a property per column, in the model's order; the same model gives the same schema.

    Args:
        model: the table's model.
        table: the table's name, used as the schema's title.

    Raises:
        ConfigError: JSON Schema cannot express a field's type.
    """
    is_by_alias = model.model_config.get("validate_by_alias", True)  # as rows are validated
    try:
        body = model.model_json_schema(mode="validation", by_alias=is_by_alias)
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError) as error:
        raise ConfigError(
            f"{table}: model {model.__name__} has no JSON Schema: {str(error).splitlines()[0]}",
            hint="give the field a type that JSON Schema knows, or a __get_pydantic_json_schema__",
        ) from error
    return {"$schema": DIALECT, **body, "title": table}
