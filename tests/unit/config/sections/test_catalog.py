"""The `catalog:` of Iceberg tables: what may be written, what is secret, and the properties that pyiceberg gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from statekeeper.config.sections.catalog import CatalogConfig, catalog_properties
from statekeeper.logs import secret_values
from tests.messages import message, says


def catalog(**keys: object) -> CatalogConfig:
    return CatalogConfig.model_validate_json(json.dumps(keys))


def test_each_key_has_the_name_that_pyiceberg_gives_it():
    rest = catalog(
        type="rest",
        uri="https://host/catalog",
        warehouse="lake",
        namespace="sales.emea",
        credential="id:s3cret",
        oauth2_server="https://host/token",
        metadata_location="catalog",
        properties={"scope": "PRINCIPAL_ROLE:ALL", "header.X-Retries": 3, "rest.sigv4-enabled": False},
    )
    assert catalog_properties(rest) == {
        "type": "rest",
        "name": "default",
        "uri": "https://host/catalog",
        "warehouse": "lake",
        "credential": "id:s3cret",
        "oauth2-server-uri": "https://host/token",
        "statekeeper.location": "catalog",
        "scope": "PRINCIPAL_ROLE:ALL",
        "header.X-Retries": "3",
        "rest.sigv4-enabled": "false",
    }
    glue = catalog(type="glue", name="lake", properties={"glue.region": "eu-central-1"})
    assert catalog_properties(glue) == {
        "type": "glue",
        "name": "lake",
        "statekeeper.location": "table",
        "glue.region": "eu-central-1",
    }


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"type": "rest"}, message("config.catalog_uri", type="rest", uri="https://host/catalog")),
        ({"type": "sql"}, message("config.catalog_uri", type="sql", uri="sqlite:///catalog.db")),
        ({"type": "sql", "uri": "sqlite:///:memory:"}, message("config.catalog_that_stays")),
        ({"type": "sql", "uri": "sqlite:///c.db", "token": "x"}, message("config.catalog_type_for", key="token")),
        ({"type": "rest", "uri": "http://h", "token": "x", "credential": "a:b"}, message("config.catalog_login")),
        ({"type": "glue", "namespace": "sales."}, message("config.catalog_namespace")),
        (
            {"type": "glue", "properties": {"oauth2-server-uri": "x"}},
            message("config.catalog_key_instead_of", key="oauth2_server", property="oauth2-server-uri"),
        ),
    ],
)
def test_what_cannot_work_is_refused(keys, words):
    with pytest.raises(ValidationError) as refused:
        catalog(**keys)
    (error,) = refused.value.errors()
    assert says(error["msg"], words)


def test_secrets_are_known_and_not_shown():
    found = catalog(
        type="sql",
        uri="postgresql+psycopg2://reader:of-the-address@host/db",
        properties={"client.secret-access-key": "of-a-property", "glue.region": "eu-central-1"},
    )
    assert set(found.secrets) == {"of-the-address", "of-a-property"}
    assert not any(secret in repr(found) for secret in found.secrets)
    rest = catalog(type="rest", uri="http://host", token="of-the-token")
    assert (list(secret_values(rest)), "of-the-token" in repr(rest)) == (["of-the-token"], False)


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("sqlite:///catalog.db", "sqlite:////root/catalog.db"),
        ("sqlite:////data/catalog.db?timeout=30", "sqlite:////data/catalog.db?timeout=30"),
        ("postgresql://host/db", "postgresql://host/db"),
    ],
)
def test_a_relative_database_starts_at_the_root(uri, found):
    assert catalog(type="sql", uri=uri).in_root(Path("/root")).uri == found
