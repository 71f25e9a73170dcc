"""Unfinished uploads of S3: their pieces are in no listing of objects, and stay until somebody aborts them.

obstore uploads in pieces, but can neither list nor abort what a dead process has left. It can sign addresses, though,
with whatever credentials it has: so it signs the two requests of S3's interface, and urllib sends them. What obstore
appends to an address is put where S3 ignores it.

Where these requests are refused or unknown, uploads stay: docs/objects.md advises a lifecycle rule in any case.
"""

from __future__ import annotations

import errno
import http.client
import logging
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import obstore
from obstore.store import S3Store

from statekeeper.system_errors import HintedOSError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_LOG = logging.getLogger("statekeeper.objects")
_VALID = timedelta(minutes=10)
_IGNORED = "x-id"
"""A parameter that S3's own tools add for the reader of logs, whatever its value."""
_NOT_OFFERED = frozenset({400, 401, 403, 404, 405, 501})
_TRIES = 3
PAGE = 1000
"""So many uploads are asked for at once."""


@dataclass(frozen=True)
class _Unfinished:
    """An upload that was begun, and neither completed nor aborted."""

    key: str
    upload_id: str


def abort_unfinished(client: ObjectStore, prefix: str, is_own: Callable[[str], bool], timeout: timedelta) -> None:
    """Abort the unfinished uploads of the keys that begin with `prefix` and are `is_own`. Raises OSError."""
    if not isinstance(client, S3Store):
        return  # others remove pieces of their own accord
    for upload in list(_unfinished(client, prefix, timeout)):
        if is_own(upload.key):
            _abort(client, upload, timeout)


def _unfinished(client: S3Store, prefix: str, timeout: timedelta) -> Iterator[_Unfinished]:
    """Those whose keys begin with `prefix`; none if the store does not tell. Raises OSError."""
    after: dict[str, str] = {}
    while True:
        asked = {"uploads": "", "prefix": prefix, "max-uploads": str(PAGE), **after}
        try:
            page = ET.fromstring(_send(client, "GET", "", asked, timeout))  # noqa: S314 - from the store of the user
        except _RefusedError as error:
            _LOG.info("unfinished uploads below %s are not looked for: %s", prefix, error)
            return
        for each in page.iterfind("{*}Upload"):
            upload = _Unfinished(each.findtext("{*}Key", ""), each.findtext("{*}UploadId", ""))
            if upload.key.startswith(prefix):  # some stores ignore the prefix
                yield upload
        if page.findtext("{*}IsTruncated") != "true":
            return
        after = {
            "key-marker": page.findtext("{*}NextKeyMarker", ""),
            "upload-id-marker": page.findtext("{*}NextUploadIdMarker", ""),
        }


def _abort(client: S3Store, upload: _Unfinished, timeout: timedelta) -> None:
    """Remove its pieces; one that is gone already is no error. Raises OSError."""
    try:
        _send(client, "DELETE", upload.key, {"uploadId": upload.upload_id}, timeout)
    except _RefusedError as error:
        _LOG.info("an unfinished upload of %s stays: %s", upload.key, error)


class _RefusedError(Exception):
    """The store does not do what was asked."""


def _send(
    client: S3Store, method: Literal["GET", "DELETE"], key: str, parameters: dict[str, str], timeout: timedelta
) -> bytes:
    request = urllib.request.Request(_signed(client, method, key, parameters), method=method)  # noqa: S310 - http(s)
    for left in reversed(range(_TRIES)):
        try:
            with urllib.request.urlopen(request, timeout=timeout.total_seconds()) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            if error.code in _NOT_OFFERED:
                raise _RefusedError(f"HTTP {error.code}") from None  # its address has the signature
            reason = f"the store answered HTTP {error.code}"
        except (OSError, http.client.HTTPException):
            reason = "the store does not answer"
        if not left:
            break
    raise HintedOSError(errno.EIO, reason, hint="run again later") from None


def _signed(client: S3Store, method: Literal["GET", "DELETE"], key: str, parameters: dict[str, str]) -> str:
    """The signed address of a request about an object, or, without a key, about the bucket."""
    spelled = obstore.sign(client, method, key or "x", _VALID).partition("?")[0]
    place = spelled if key else spelled.removesuffix("/x")
    query = urllib.parse.urlencode({**parameters, _IGNORED: ""}, quote_via=urllib.parse.quote)
    config: Any = {**client.config, "endpoint": f"{place}?{query}", "virtual_hosted_style_request": True}
    aimed = S3Store(
        config.pop("bucket"),
        config=config,
        client_options=client.client_options,
        credential_provider=client.credential_provider,
    )
    return obstore.sign(aimed, method, "", _VALID)
