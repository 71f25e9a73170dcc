"""The client of a bucket: made once in each process, by the kind of store; and how the kinds differ.

A process that was forked from one that used a client cannot use it, nor make another; so no process forks after it has
used one (workers are forked by a process of their own). A disk that is sent to a worker takes its options along, not
its client.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from statekeeper.config.sections.storage import Encryption
from statekeeper.config.sections.stores import AZURE, AZURE_LAKE, GOOGLE, S3, ObjectStoreKind, object_store_of
from statekeeper.store.objects.aws_login import login_of
from statekeeper.store.objects.errors import refused_options

if TYPE_CHECKING:
    from obstore.store import BackoffConfig, ClientConfig, ObjectStore, RetryConfig
    from pydantic import SecretStr

    from statekeeper.config.sections.storage import StorageConfig

_FIRST_BACKOFF, _LONGEST_BACKOFF = timedelta(milliseconds=100), timedelta(seconds=15)
_NO_LIMIT = 1000
"""Attempts of a request: only the time limits them."""
_ENCRYPTION = {Encryption.S3: "AES256", Encryption.KMS: "aws:kms"}
_PUBLIC_CLOUD = "core.windows.net"
_PLACE_PARTS = 3
_Options: TypeAlias = dict[str, Any]
"""How requests are made: `client_options` and `retry_config`."""


@dataclass(frozen=True)
class ClientKind:
    """How clients of a kind of store are made: from the bucket, its options, and how requests are made."""

    make: Callable[[str, StorageConfig, _Options], ObjectStore]
    copies_up_to: int = sys.maxsize
    """The largest object, in bytes, that the store copies."""
    copies_later: bool = False
    """Whether the store may answer a copy before it is there: the object is empty until then."""
    tells_missing: bool = False
    """Whether it is an error to remove an object that does not exist."""
    version: Literal["e_tag", "version"] = "e_tag"
    """What of an object the conditions of writes name: its ETag, or its version (Google's generation)."""


def bucket_of(place: Path) -> Path:
    """The bucket of a path in a store, as a path."""
    return Path(*place.parts[:_PLACE_PARTS])


def key_of(place: Path) -> str:
    """The key of the object at a path."""
    return "/".join(place.parts[_PLACE_PARTS:])


def client_kind_of(place: Path) -> ClientKind:
    """How the store of a path behaves."""
    kind = object_store_of(place)
    assert kind is not None, f"{place} is in an object store"
    return _KINDS[kind]


@lru_cache(maxsize=16)
def client_of(bucket: Path, storage: StorageConfig) -> ObjectStore:
    """The client of a bucket. Raises OSError if the options are not accepted."""
    client: ClientConfig = {"timeout": storage.request_timeout}
    if storage.endpoint and storage.endpoint.startswith("http://"):
        client["allow_http"] = True
    backoff: BackoffConfig = {"init_backoff": _FIRST_BACKOFF, "max_backoff": _LONGEST_BACKOFF, "base": 2}
    retry: RetryConfig = {
        "backoff": backoff,
        "max_retries": _NO_LIMIT,
        "retry_timeout": storage.retry_timeout,
    }
    try:
        return client_kind_of(bucket).make(bucket.name, storage, {"client_options": client, "retry_config": retry})
    except BaseError as error:
        raise refused_options(error) from None  # its text may have a key


def _s3(bucket: str, storage: StorageConfig, options: _Options) -> ObjectStore:
    config = _set(
        endpoint=storage.endpoint,
        region=storage.region,
        access_key_id=storage.access_key_id,
        secret_access_key=storage.secret_access_key,
        session_token=storage.session_token,
        server_side_encryption=_ENCRYPTION[storage.encryption] if storage.encryption else None,
        sse_kms_key_id=storage.kms_key,
        sse_bucket_key_enabled=storage.bucket_key,
    )
    login = login_of(storage)
    if login is not None:
        region = storage.region or login.region  # of the profile
        config |= {"region": region} if region else {}
        options = {**options, "credential_provider": login}
    return S3Store(
        bucket,
        copy_if_not_exists="multipart",
        conditional_put="etag",
        checksum_algorithm="SHA256",  # the store compares what it got with what was sent
        config=config,
        **options,
    )


def _azure(container: str, storage: StorageConfig, options: _Options) -> ObjectStore:
    container, _, host = container.partition("@")
    account, _, cloud = host.partition(".dfs.")
    of_cloud = f"https://{account}.blob.{cloud}" if cloud not in {"", _PUBLIC_CLOUD} else None
    config = _set(
        endpoint=storage.endpoint or of_cloud,
        account_name=account or storage.account_name,
        account_key=storage.account_key,
        sas_key=storage.sas_token,
        tenant_id=storage.tenant_id,
        client_id=storage.client_id,
        client_secret=storage.client_secret,
        credential_type="managed_identity" if storage.managed_identity else None,
    )
    return AzureStore(container, config=config, **options)


def _google(bucket: str, storage: StorageConfig, options: _Options) -> ObjectStore:
    config = _set(
        base_url=storage.endpoint,
        service_account=storage.service_account_file,
        service_account_key=storage.service_account_key,
    )
    return GCSStore(bucket, config=config, **options)


def _set(**options: str | bool | SecretStr | None) -> Any:
    """The options that are set, as obstore takes them: a configuration of one of its stores."""
    return {
        name: value if isinstance(value, str | bool) else value.get_secret_value()
        for name, value in options.items()
        if value is not None
    }


_AZURE_KIND = ClientKind(_azure, copies_later=True, tells_missing=True)
_KINDS: Mapping[ObjectStoreKind, ClientKind] = {
    S3: ClientKind(_s3, copies_up_to=5 << 30),
    AZURE: _AZURE_KIND,
    AZURE_LAKE: _AZURE_KIND,
    GOOGLE: ClientKind(_google, tells_missing=True, version="version"),
}
