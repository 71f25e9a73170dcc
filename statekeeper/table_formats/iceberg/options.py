"""How pyiceberg reaches the files of a table, from the `storage:` of the configuration, and what their addresses are.

pyiceberg has clients of its own: pyarrow's for S3 and Google, adlfs for Azure, and s3fs where S3 is to encrypt, which
pyarrow cannot ask for. They get the login that `statekeeper.store.objects.client` has; the keys of a profile or a role
are those of this moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from statekeeper.config.sections.storage import Encryption, StorageConfig
from statekeeper.config.sections.stores import AZURE, AZURE_LAKE, GOOGLE, S3, ObjectStoreKind, object_store_of
from statekeeper.errors import ConfigError
from statekeeper.store.objects.aws_login import with_keys
from statekeeper.text.places import with_addresses

if TYPE_CHECKING:
    from pydantic import SecretStr

_NOT_IN_AN_ADDRESS = frozenset("#?")
_DEFAULT_REGION = "us-east-1"
_ENCRYPTION = {Encryption.S3: "AES256", Encryption.KMS: "aws:kms"}
_S3FS = {"py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO"}


def address_of(place: Path, storage: StorageConfig) -> str:
    """The address of a folder, as Iceberg writes it: it is no URL, and nothing in it is escaped.

    Raises:
        ConfigError: it has a character that pyiceberg does not take.
    """
    place = place.absolute()
    if wrong := sorted(_NOT_IN_AN_ADDRESS & set(str(place))):
        raise ConfigError(
            f"an Iceberg table cannot be in {place}: found {' and '.join(wrong)} in its path",
            hint="give the table another folder by `path_name`",
        )
    kind = object_store_of(place)
    if kind is None:
        return f"file://{place}"
    if kind is AZURE:
        container, *rest = place.parts[2:]
        return "/".join([f"abfss://{container}@{_account_of(storage)}.dfs.core.windows.net", *rest])
    return with_addresses(str(place))


def _account_of(storage: StorageConfig) -> str:
    if storage.account_name is None:
        raise ConfigError(
            "an Iceberg table in Azure needs the name of the account, which is part of the addresses of its files",
            hint="write `account_name` in `storage`",
        )
    return storage.account_name


def file_options(place: Path, storage: StorageConfig) -> dict[str, str]:
    """The properties by which pyiceberg reaches a path; none if it is on a file system. Values may be secret.

    Raises:
        ConfigError: pyiceberg does not know this login.
        OSError: the profile or the role gives no login.
    """
    kind = object_store_of(place)
    return {} if kind is None else _OPTIONS[kind](with_keys(storage))


def _s3(storage: StorageConfig) -> dict[str, str]:
    region = storage.region or (_DEFAULT_REGION if storage.endpoint else None)
    seconds = f"{storage.request_timeout.total_seconds():.0f}"
    options = {
        "s3.endpoint": storage.endpoint,
        "s3.region": region,
        "s3.access-key-id": storage.access_key_id,
        "s3.secret-access-key": storage.secret_access_key,
        "s3.session-token": storage.session_token,
        "s3.connect-timeout": seconds,
        "s3.request-timeout": seconds,
    }
    return _set(options) | _encryption(storage)


def _encryption(storage: StorageConfig) -> dict[str, str]:
    if storage.encryption is None:
        return {}
    how = {"s3.server-side-encryption": _ENCRYPTION[storage.encryption], "s3.sse-kms-key-id": storage.kms_key}
    return _S3FS | _set(how)


def _azure(storage: StorageConfig) -> dict[str, str]:
    if storage.endpoint:
        raise ConfigError(
            "the format iceberg takes no storage.endpoint in Azure: pyiceberg makes the address from the account",
            hint="use the format delta there",
        )
    options = {
        "adls.account-name": storage.account_name,
        "adls.account-key": storage.account_key,
        "adls.sas-token": storage.sas_token,
        "adls.tenant-id": storage.tenant_id,
        "adls.client-id": storage.client_id,
        "adls.client-secret": storage.client_secret,
    }
    return _set(options)


def _google(storage: StorageConfig) -> dict[str, str]:
    if storage.service_account_file or storage.service_account_key:
        raise ConfigError(
            "the format iceberg takes no storage.service_account_file or storage.service_account_key: pyiceberg knows "
            "the login of the environment alone",
            hint="set GOOGLE_APPLICATION_CREDENTIALS to the file of the key instead",
        )
    return _set({"gcs.service.host": storage.endpoint})


def _set(options: Mapping[str, str | SecretStr | None]) -> dict[str, str]:
    """The options that are set."""
    return {
        name: value if isinstance(value, str) else value.get_secret_value()
        for name, value in options.items()
        if value is not None
    }


_OPTIONS: Mapping[ObjectStoreKind, Callable[[StorageConfig], dict[str, str]]] = {
    S3: _s3,
    AZURE: _azure,
    AZURE_LAKE: _azure,
    GOOGLE: _google,
}
