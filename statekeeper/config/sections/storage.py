"""The `storage:` of the configuration: how to reach the object store of `output.base_path`, and who logs in.

Decides which options belong to which base path in this process: `remember_storage` is called where a configuration is
read, `storage_of` where a store is opened. Without options the store's own default chain applies (environment
variables, the instance's or container's role). `misplaced_keys` says which keys do not fit the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr

from statekeeper.config.sections.quantities import PositiveDuration
from statekeeper.config.sections.section import Name, Section
from statekeeper.config.sections.stores import OBJECT_STORES, is_object_store, object_store_of


class StorageConfig(Section):
    """How to reach an object store. Keys that are not set come from the environment."""

    endpoint: Name | None = Field(
        default=None, description="the address of the store, if it is not the provider's own, such as http://host:9000"
    )
    region: Name | None = Field(default=None, description="S3: the region of the bucket, such as eu-central-1")
    access_key_id: Name | None = Field(default=None, description="S3: the access key; use a reference, ${NAME}")
    secret_access_key: SecretStr | None = Field(default=None, description="S3: its secret; use a reference, ${NAME}")
    session_token: SecretStr | None = Field(default=None, description="S3: the token of temporary credentials")
    account_name: Name | None = Field(default=None, description="Azure: the storage account of an az:// base path")
    account_key: SecretStr | None = Field(default=None, description="Azure: the account's key")
    sas_token: SecretStr | None = Field(default=None, description="Azure: a shared access signature of the container")
    tenant_id: Name | None = Field(default=None, description="Azure: the tenant of a service principal")
    client_id: Name | None = Field(default=None, description="Azure: the client id of a service principal")
    client_secret: SecretStr | None = Field(default=None, description="Azure: the secret of a service principal")
    request_timeout: PositiveDuration = Field(
        default=timedelta(seconds=30), description="how long one request may take before it is asked again"
    )
    retry_timeout: PositiveDuration = Field(
        default=timedelta(minutes=3), description="for how long a request is asked again that fails for a while"
    )


_KNOWN: dict[Path, StorageConfig] = {}
"""The options by base path, as the configurations that this process has read say."""


def remember_storage(base_path: Path, storage: StorageConfig) -> None:
    """The store of this base path is reached by these options from now on, in this process."""
    if is_object_store(base_path):
        _KNOWN[base_path] = storage


def storage_of(place: Path) -> StorageConfig:
    """The options for a base path, or for a path below one; the defaults if none are known."""
    known = (_KNOWN[each] for each in (place, *place.parents) if each in _KNOWN)
    return next(known, StorageConfig())


def misplaced_keys(storage: StorageConfig, base_path: Path) -> Iterator[tuple[str, str]]:
    """The keys that the store of this base path does not have, each with the stores that have it."""
    here = object_store_of(base_path)
    theirs = frozenset[str]().union(*(kind.keys for kind in OBJECT_STORES))
    for key in sorted(storage.model_fields_set):
        if here is not None and key in theirs and key not in here.keys:
            yield key, " or ".join(f"{kind.title} ({kind.schemes[0]}://)" for kind in OBJECT_STORES if key in kind.keys)
