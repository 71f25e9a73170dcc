"""The options with which deltalake reaches an object store, from the `storage:` of the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from statekeeper.config.sections.storage import Encryption, StorageConfig
from statekeeper.config.sections.stores import AZURE, AZURE_LAKE, GOOGLE, S3, ObjectStoreKind, object_store_of
from statekeeper.store.objects.aws_login import with_keys

if TYPE_CHECKING:
    from pydantic import SecretStr

_ENCRYPTION = {Encryption.S3: "AES256", Encryption.KMS: "aws:kms"}


def storage_options(place: Path, storage: StorageConfig) -> dict[str, str]:
    """The options for a path; none if it is on a file system. Values may be secret."""
    kind = object_store_of(place)
    if kind is None:
        return {}
    options = _OPTIONS[kind](with_keys(storage)) | _set(
        timeout=f"{storage.request_timeout.total_seconds():.0f}s",
        retry_timeout=f"{storage.retry_timeout.total_seconds():.0f}s",
    )
    if storage.endpoint and storage.endpoint.startswith("http://"):
        options["allow_http"] = "true"
    return options


def _s3(storage: StorageConfig) -> dict[str, str]:
    region, key, secret, token = storage.region, storage.access_key_id, storage.secret_access_key, storage.session_token
    return _set(
        aws_endpoint=storage.endpoint,
        aws_region=region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        aws_conditional_put="etag",
        aws_server_side_encryption=_ENCRYPTION[storage.encryption] if storage.encryption else None,
        aws_sse_kms_key_id=storage.kms_key,
        aws_sse_bucket_key_enabled=storage.bucket_key,
    )


def _azure(storage: StorageConfig) -> dict[str, str]:
    return _set(
        azure_storage_endpoint=storage.endpoint,
        azure_storage_account_name=storage.account_name,
        azure_storage_account_key=storage.account_key,
        azure_storage_sas_key=storage.sas_token,
        azure_storage_tenant_id=storage.tenant_id,
        azure_storage_client_id=storage.client_id,
        azure_storage_client_secret=storage.client_secret,
    )


def _google(storage: StorageConfig) -> dict[str, str]:
    return _set(
        google_base_url=storage.endpoint,
        google_service_account=storage.service_account_file,
        google_service_account_key=storage.service_account_key,
    )


def _set(**options: str | bool | SecretStr | None) -> dict[str, str]:
    """The options that are set."""
    return {name: _text(value) for name, value in options.items() if value is not None}


def _text(value: str | bool | SecretStr) -> str:  # noqa: FBT001 - a value of the configuration
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else value.get_secret_value()


_OPTIONS: Mapping[ObjectStoreKind, Callable[[StorageConfig], dict[str, str]]] = {
    S3: _s3,
    AZURE: _azure,
    AZURE_LAKE: _azure,
    GOOGLE: _google,
}
