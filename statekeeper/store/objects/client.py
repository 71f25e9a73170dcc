"""The client of a bucket: made once in each process, and its errors as the system's own.

A process that was forked from one that used a client cannot use it, nor make another; so no process forks after it has
used one (workers are forked by a process of their own). A disk that is sent to a worker takes its options along, not
its client.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import obstore.exceptions as obstore_errors
from obstore.store import S3Store

from statekeeper.system_errors import HintedOSError

if TYPE_CHECKING:
    from obstore.store import BackoffConfig, ClientConfig, RetryConfig, S3Config

    from statekeeper.config.sections.storage import StorageConfig

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_DENIED = frozenset({"401", "403"})
_FIRST_BACKOFF, _LONGEST_BACKOFF = timedelta(milliseconds=100), timedelta(seconds=15)
_NO_BUCKET = "create it, or correct output.base_path"
_REFUSED = {
    "NoSuchBucket": ("the bucket does not exist", _NO_BUCKET),
    "RequestTimeTooSkewed": (
        "the clock of this machine differs too much from the store's",
        "set the clock (timedatectl), then run again",
    ),
    "SignatureDoesNotMatch": ("the secret key is wrong", "correct storage.secret_access_key, or AWS_SECRET_ACCESS_KEY"),
    "InvalidAccessKeyId": ("the access key is unknown", "correct storage.access_key_id, or AWS_ACCESS_KEY_ID"),
    "ExpiredToken": ("the credentials have expired", "get new ones, then run again"),
    "SlowDown": ("there are too many requests, also after waits that grew", "run again later, with fewer workers"),
}
"""What a code of S3 means, and what to do."""
_HINTS = {
    errno.EACCES: "docs/objects.md says which permissions are needed: to list, read, write and delete objects",
    errno.EIO: "see whether the store can be reached (storage.endpoint); then run again: what was saved is intact",
}


def bucket_of(place: Path) -> str:
    """The bucket of a path in a store."""
    return place.parts[2] if len(place.parts) > 2 else ""


def key_of(place: Path) -> str:
    """The key of the object at a path."""
    return "/".join(place.parts[3:])


@lru_cache(maxsize=16)
def client_of(bucket: str, storage: StorageConfig) -> S3Store:
    """The client of a bucket."""
    config: S3Config = {"copy_if_not_exists": "multipart", "conditional_put": "etag"}
    if storage.endpoint:
        config["endpoint"] = storage.endpoint
    if storage.region:
        config["region"] = storage.region
    if storage.access_key_id:
        config["access_key_id"] = storage.access_key_id
    if storage.secret_access_key:
        config["secret_access_key"] = storage.secret_access_key.get_secret_value()
    if storage.session_token:
        config["session_token"] = storage.session_token.get_secret_value()
    client: ClientConfig = {"timeout": storage.request_timeout}
    if storage.endpoint and storage.endpoint.startswith("http://"):
        client["allow_http"] = True
    backoff: BackoffConfig = {"init_backoff": _FIRST_BACKOFF, "max_backoff": _LONGEST_BACKOFF, "base": 2}
    retry: RetryConfig = {"backoff": backoff, "retry_timeout": storage.retry_timeout}
    return S3Store(bucket, config=config, client_options=client, retry_config=retry)


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn the errors of a request into OSErrors; a missing object stays FileNotFoundError.

    The errors about conditions (`AlreadyExistsError`, `PreconditionError`) are left to the caller.
    """
    try:
        yield
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise _refused(error) from None
        raise FileNotFoundError(errno.ENOENT, "there is no such object") from None
    except (obstore_errors.AlreadyExistsError, obstore_errors.PreconditionError):
        raise
    except obstore_errors.BaseError as error:
        raise _refused(error) from None  # its text has the request and perhaps the key of the login


def is_unsure(error: OSError) -> bool:
    """Whether a request that failed in this way may have been carried out: its answer was lost."""
    return error.errno == errno.EIO


def _refused(error: Exception) -> OSError:
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    if code is not None and code[1] in _REFUSED:
        reason, hint = _REFUSED[code[1]]
        number = errno.EIO if code[1] == "SlowDown" else errno.EACCES
        return HintedOSError(number, f"the store refused: {reason} ({code[1]})", hint=hint)
    said = " ".join(filter(None, (f"HTTP {status[1]}" if status else "", code[1] if code else "")))
    if status is not None and status[1] in _DENIED:
        return HintedOSError(errno.EACCES, f"the store refused: {said or 'no permission'}", hint=_HINTS[errno.EACCES])
    reason = f"the store answered {said}" if said else "the store does not answer"
    return HintedOSError(errno.EIO, reason, hint=_HINTS[errno.EIO])
