"""The `output.catalog:` of the configuration: the catalog in which tables of the format iceberg are.

Decides what may be written, and makes the properties that pyiceberg takes. Nothing here connects to a catalog.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from statekeeper.config.root import from_here
from statekeeper.config.sections.section import Name, Section, refusal

_SQLITE = "sqlite:///"
_SECRET = re.compile(r"secret|password|token|credential|access.?key|\bkey\b", re.IGNORECASE)
_PASSWORD = re.compile(r"^[^/]*//[^/@]*?:([^/@]+)@")


class CatalogType(StrEnum):
    """The kinds of catalog, by pyiceberg's names."""

    SQL = "sql"
    REST = "rest"
    GLUE = "glue"
    HIVE = "hive"
    DYNAMODB = "dynamodb"
    BIGQUERY = "bigquery"


class MetadataLocation(StrEnum):
    """Who decides where the metadata of a new table lies."""

    TABLE = "table"
    """It lies in the table's own folder."""
    CATALOG = "catalog"
    """The catalog decides."""


_NEED_URI = frozenset({CatalogType.SQL, CatalogType.REST, CatalogType.HIVE})
_OF_REST = frozenset({"credential", "token", "oauth2_server"})
_PROPERTIES = {
    "type": "type",
    "name": "name",
    "uri": "uri",
    "warehouse": "warehouse",
    "credential": "credential",
    "token": "token",
    "oauth2_server": "oauth2-server-uri",
    "metadata_location": "statekeeper.location",
}
"""The keys, and pyiceberg's names for them; the last is no name of pyiceberg's, and is for our own package."""
_EXAMPLES = {
    CatalogType.SQL: "sqlite:///catalog.db",
    CatalogType.REST: "https://host/catalog",
    CatalogType.HIVE: "thrift://host:9083",
}


def _namespace(text: str) -> str:
    if not all(part.strip() for part in text.split(".")):
        raise refusal("a namespace such as sales, or sales.emea for one in another")
    return text


def _further(properties: Mapping[str, str | int | bool]) -> Mapping[str, str | int | bool]:
    for key, name in _PROPERTIES.items():
        if name in properties:
            raise refusal(f"`{key}` of the catalog itself instead of the property {name}")
    return properties


class CatalogConfig(Section):
    """The catalog of Iceberg tables."""

    type: CatalogType = Field(description="the kind of catalog, which pyiceberg must support")
    uri: Name | None = Field(
        default=None,
        repr=False,
        description="its address: a database for sql, such as postgresql+psycopg2://user:${PASSWORD}@host/db; a "
        "relative path of sqlite:///catalog.db starts at the root",
    )
    warehouse: Name | None = Field(default=None, description="the warehouse in the catalog, if it has several")
    namespace: Annotated[Name, AfterValidator(_namespace)] | None = Field(
        default=None, description="the namespace of the tables, with dots between its levels; by default the source"
    )
    name: Name = Field(
        default="default", description="the catalog's own name, under which a sql catalog keeps its tables"
    )
    credential: SecretStr | None = Field(default=None, description="rest: id:secret of a client of OAuth2")
    token: SecretStr | None = Field(default=None, description="rest: a bearer token")
    oauth2_server: Name | None = Field(default=None, description="rest: the address that gives a token for credential")
    metadata_location: MetadataLocation = Field(
        default=MetadataLocation.TABLE,
        description="where the metadata of a new table lies: table: in its own folder; catalog: as the catalog says, "
        "for one that manages locations",
    )
    properties: Annotated[Mapping[Name, str | int | bool], AfterValidator(_further)] = Field(
        default_factory=dict,
        repr=False,
        description="further properties of pyiceberg, such as glue.region: eu-central-1",
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is secret in plain values: properties by their names, and the password of an address."""
        found = [str(value) for name, value in self.properties.items() if _SECRET.search(name)]
        return (*found, *_PASSWORD.findall(self.uri or ""))

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.uri is None and self.type in _NEED_URI:
            raise refusal(f"uri beside type: {self.type}, such as {_EXAMPLES[self.type]}")
        if self.type is not CatalogType.REST and (given := sorted(_OF_REST & self.model_fields_set)):
            raise refusal(f"type: rest beside {given[0]}")
        if self.credential is not None and self.token is not None:
            raise refusal("one login, not credential and token")
        if self.uri in {"sqlite://", _SQLITE, f"{_SQLITE}:memory:"}:
            raise refusal(f"a database that stays, such as {_EXAMPLES[CatalogType.SQL]}")
        return self

    def in_root(self, root: Path) -> CatalogConfig:
        """The same, with the path of an SQLite database from the root of the configuration."""
        uri = self.uri or ""
        path, mark, query = uri.removeprefix(_SQLITE).partition("?")
        if not uri.startswith(_SQLITE):
            return self
        return self.model_copy(update={"uri": f"{_SQLITE}{from_here(root, path)}{mark}{query}"})


def catalog_properties(catalog: CatalogConfig) -> dict[str, str]:
    """The properties with which pyiceberg opens a catalog. Values may be secret."""
    own = {name: getattr(catalog, key) for key, name in _PROPERTIES.items()}
    return {name: _text(value) for name, value in {**own, **catalog.properties}.items() if value is not None}


def _text(value: str | int | bool | SecretStr) -> str:  # noqa: FBT001 - a value of the configuration
    if isinstance(value, bool):
        return str(value).lower()
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
