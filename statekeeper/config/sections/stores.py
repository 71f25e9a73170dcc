"""The stores that a base path may use, by its scheme; `statekeeper.store.registry` defines them.

A place in a store that is not a file system is an absolute path that begins with the scheme: `mem://team/lake` is
`/mem:/team/lake`. So all stores build file names the same way, in every process.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from statekeeper.registry import Registry


@dataclass(frozen=True)
class ObjectStoreKind:
    """A kind of object store that statekeeper ships.

    `schemes` are those of its base paths, `keys` the keys of `storage:` that only it has, and `address` is the form of
    what follows the scheme, `example` such an address. `statekeeper.store.objects.client` makes its clients.
    """

    title: str
    schemes: tuple[str, ...]
    keys: frozenset[str]
    address: re.Pattern[str] = re.compile(r"[^/@]+(/.*)?", re.DOTALL)
    example: str = "bucket/prefix"


FILE = "file"
S3 = ObjectStoreKind(
    title="Amazon S3",
    schemes=("s3",),
    keys=frozenset(
        {"region", "profile", "access_key_id", "secret_access_key", "session_token", "role"}
        | {"encryption", "kms_key", "bucket_key"}
    ),
)
_AZURE_KEYS = frozenset(
    {"account_name", "account_key", "sas_token", "tenant_id", "client_id", "client_secret", "managed_identity"}
)
AZURE = ObjectStoreKind(title="Azure Blob Storage", schemes=("az",), keys=_AZURE_KEYS, example="container/prefix")
AZURE_LAKE = ObjectStoreKind(
    title="Azure Data Lake Storage",
    schemes=("abfss",),
    keys=_AZURE_KEYS - {"account_name"},
    address=re.compile(r"[^/@]+@[a-z0-9]+\.dfs\.[a-z0-9.]+(/.*)?", re.DOTALL),
    example="container@account.dfs.core.windows.net/prefix",
)
GOOGLE = ObjectStoreKind(
    title="Google Cloud Storage", schemes=("gs",), keys=frozenset({"service_account_file", "service_account_key"})
)
OBJECT_STORES = (S3, AZURE, AZURE_LAKE, GOOGLE)
"""The object stores that statekeeper ships."""
_BY_SCHEME = {scheme: kind for kind in OBJECT_STORES for scheme in kind.schemes}

STORES = Registry(
    group="statekeeper.stores",
    what="store",
    shipped={FILE: "files.store:STORE", **dict.fromkeys(_BY_SCHEME, "objects.store:STORE")},
)
"""The stores by the scheme of base paths; a shipped one's path is relative to `statekeeper.store`."""

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$", re.DOTALL)


def place_of(base_path: str) -> Path | None:
    """A base path in a store that is not the file system, as a path; None for other text.

    Raises:
        ValueError: it is no address of its store; the message is an address of the right form.
    """
    found = _URL.match(base_path)
    scheme = found[1].lower() if found else FILE
    if found is None or scheme == FILE or not STORES.has(scheme):
        return None
    address = found[2].lstrip("/")
    kind = _BY_SCHEME.get(scheme)
    if kind is not None and not kind.address.fullmatch(address):
        raise ValueError(f"{scheme}://{kind.example}")
    return Path(f"/{scheme}:") / address


def scheme_of(place: Path) -> str:
    """The scheme of a place's store."""
    first = place.parts[1] if len(place.parts) > 1 and place.is_absolute() else ""
    scheme = first.removesuffix(":")
    return scheme if scheme != first and STORES.has(scheme) else FILE


def object_store_of(place: Path) -> ObjectStoreKind | None:
    """The object store that a place is in; None if it is in none that statekeeper ships."""
    return _BY_SCHEME.get(scheme_of(place))


def is_object_store(place: Path) -> bool:
    """Whether a place is in an object store that statekeeper ships."""
    return object_store_of(place) is not None
