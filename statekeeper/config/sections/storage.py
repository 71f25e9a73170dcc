"""The `storage:` of the configuration: how to reach the object store of `output.base_path`, and who logs in.

Decides which options belong to which base path in this process: `remember_storage` is called where a configuration is
read, `storage_of` where a store is opened. Without options the store's own default chain applies (environment
variables, the instance's or container's role). `misplaced_keys` says which keys do not fit the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from statekeeper.config.root import from_here
from statekeeper.config.sections.quantities import PositiveDuration
from statekeeper.config.sections.section import FilePath, Name, Section, refusal
from statekeeper.config.sections.stores import OBJECT_STORES, is_object_store, object_store_of


class Encryption(StrEnum):
    """How S3 encrypts objects."""

    S3 = "sse-s3"
    KMS = "sse-kms"


_NEEDED = {
    "access_key_id": {"secret_access_key"},
    "secret_access_key": {"access_key_id"},
    "session_token": {"access_key_id"},
    "client_secret": {"tenant_id", "client_id"},
    "tenant_id": {"client_secret"},
}
"""What a key is of no use without."""
_ONE_OF = (
    ("profile", "access_key_id"),
    ("account_key", "sas_token", "client_secret", "managed_identity"),
    ("service_account_file", "service_account_key"),
)
"""Keys of which each is a login."""


class StorageConfig(Section):
    """How to reach an object store. Keys that are not set come from the environment."""

    endpoint: Name | None = Field(
        default=None, description="the address of the store, if it is not the provider's own, such as http://host:9000"
    )
    region: Name | None = Field(default=None, description="S3: the region of the bucket, such as eu-central-1")
    access_key_id: Name | None = Field(default=None, description="S3: the access key; use a reference, ${NAME}")
    secret_access_key: SecretStr | None = Field(default=None, description="S3: its secret; use a reference, ${NAME}")
    session_token: SecretStr | None = Field(default=None, description="S3: the token of temporary credentials")
    profile: Name | None = Field(default=None, description="S3: the profile of ~/.aws that logs in; needs boto3")
    role: Name | None = Field(default=None, description="S3: the ARN of a role that is assumed; needs boto3")
    encryption: Encryption | None = Field(
        default=None, description="S3: how the store encrypts; by default as the bucket says"
    )
    kms_key: Name | None = Field(
        default=None, description="S3: the key of encryption: sse-kms; by default the account's own"
    )
    bucket_key: bool | None = Field(default=None, description="S3: whether one data key serves the whole bucket")
    account_name: Name | None = Field(default=None, description="Azure: the storage account of an az:// base path")
    account_key: SecretStr | None = Field(default=None, description="Azure: the account's key")
    sas_token: SecretStr | None = Field(default=None, description="Azure: a shared access signature of the container")
    tenant_id: Name | None = Field(default=None, description="Azure: the tenant of a service principal")
    client_id: Name | None = Field(default=None, description="Azure: the client id of a service principal")
    client_secret: SecretStr | None = Field(default=None, description="Azure: the secret of a service principal")
    managed_identity: bool = Field(
        default=False, description="Azure: log in as the machine, or as its identity client_id"
    )
    service_account_file: FilePath | None = Field(
        default=None, description="Google: the file of a service account's key; a relative path starts at the root"
    )
    service_account_key: SecretStr | None = Field(default=None, description="Google: what is in such a file")
    parallel_uploads: int = Field(
        default=4, ge=1, le=64, description="how many pieces of a large part are on their way at once, of 8 MiB each"
    )
    request_timeout: PositiveDuration = Field(
        default=timedelta(seconds=30), description="how long one request may take before it is asked again"
    )
    retry_timeout: PositiveDuration = Field(
        default=timedelta(minutes=3), description="for how long a request is asked again that fails for a while"
    )

    @model_validator(mode="after")
    def _is_one_login(self) -> Self:
        given = {name for name in self.model_fields_set if getattr(self, name) not in {None, False}}
        for key, needed in _NEEDED.items():
            if key in given and (missing := sorted(needed - given)):
                raise refusal(f"{' and '.join(missing)} beside {key}")
        for logins in _ONE_OF:
            if len(both := [key for key in logins if key in given]) > 1:
                raise refusal(f"one login, not {' and '.join(both)}")
        if given & {"kms_key", "bucket_key"} and self.encryption is not Encryption.KMS:
            raise refusal(f"encryption: {Encryption.KMS} beside {min(given & {'kms_key', 'bucket_key'})}")
        return self

    def in_root(self, root: Path) -> StorageConfig:
        """The same, with a file's path from the root of the configuration."""
        file = self.service_account_file
        return self if file is None else self.model_copy(update={"service_account_file": str(from_here(root, file))})


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
