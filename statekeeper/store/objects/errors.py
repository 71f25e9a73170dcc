"""The errors of a store as the system's own, with what to do: each code of a store that people can act on is named."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

import obstore.exceptions as obstore_errors

from statekeeper.system_errors import HintedOSError

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>|\(code: (\w+)\)")
"""In the XML of an answer, or among the answers to a request that removes several objects."""
_DENIED = frozenset({"401", "403"})
_NO_BUCKET = ("the bucket does not exist", "create it, or correct output.base_path")
_NO_CONTAINER = ("the container does not exist", "create it, or correct output.base_path")
_CLOCK = (
    "the clock of this machine differs too much from the store's",
    "set the clock (timedatectl), then run again",
)
_BUSY = ("there are too many requests, also after waits that grew", "run again later, with fewer workers")
_REFUSED = {
    "NoSuchBucket": _NO_BUCKET,
    "RequestTimeTooSkewed": _CLOCK,
    "SignatureDoesNotMatch": ("the secret key is wrong", "correct storage.secret_access_key, or AWS_SECRET_ACCESS_KEY"),
    "InvalidAccessKeyId": ("the access key is unknown", "correct storage.access_key_id, or AWS_ACCESS_KEY_ID"),
    "ExpiredToken": ("the credentials have expired", "get new ones, then run again"),
    "ContainerNotFound": _NO_CONTAINER,
    "AuthenticationFailed": (
        "the key or token is wrong, or the clock of this machine differs from the store's by more than 15 minutes",
        "correct storage.account_key, sas_token or client_secret, and the clock (timedatectl)",
    ),
    "AuthorizationFailure": (
        "the key is wrong, or the account's firewall does not let this machine in",
        "correct storage.account_key, or allow this network in the storage account",
    ),
    "AuthorizationPermissionMismatch": (
        "no permission",
        "grant the role Storage Blob Data Contributor on the container (docs/objects.md)",
    ),
}
"""What a code means, and what to do; S3's, then Azure's."""
_THROTTLED = {"SlowDown": _BUSY, "ServerBusy": _BUSY, "OperationTimedOut": _BUSY}
_MISSING_BUCKETS = ("NoSuchBucket", "ContainerNotFound")
_HINTS = {
    errno.EACCES: "docs/objects.md says which permissions are needed: to list, read, write and delete objects",
    errno.EIO: "see whether the store can be reached (storage.endpoint); then run again: what was saved is intact",
}


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn the errors of a request into OSErrors; a missing object stays FileNotFoundError.

    The errors about conditions (`AlreadyExistsError`, `PreconditionError`) are left to the caller.
    """
    try:
        yield
    except FileNotFoundError as error:
        if any(code in str(error) for code in _MISSING_BUCKETS):
            raise _refused(error) from None
        raise FileNotFoundError(errno.ENOENT, "there is no such object") from None
    except (obstore_errors.AlreadyExistsError, obstore_errors.PreconditionError):
        raise
    except obstore_errors.BaseError as error:
        raise _refused(error) from None  # its text has the request and perhaps the key of the login
    except OSError as error:
        if error.errno is not None:
            raise
        raise _refused(error) from None  # of an upload, whose errors have no class of their own


def is_unsure(error: OSError) -> bool:
    """Whether a request that failed in this way may have been carried out: its answer was lost."""
    return error.errno == errno.EIO


def _refused(error: Exception) -> OSError:
    text = str(error)
    status, found = _STATUS.search(text), _CODE.search(text)
    code = (found[1] or found[2]) if found is not None else ""
    for meanings, number in ((_REFUSED, errno.EACCES), (_THROTTLED, errno.EIO)):
        if code in meanings:
            reason, hint = meanings[code]
            return HintedOSError(number, f"the store refused: {reason} ({code})", hint=hint)
    said = " ".join(filter(None, (f"HTTP {status[1]}" if status else "", code)))
    if status is not None and status[1] in _DENIED:
        return HintedOSError(errno.EACCES, f"the store refused: {said or 'no permission'}", hint=_HINTS[errno.EACCES])
    reason = f"the store answered {said}" if said else "the store does not answer"
    return HintedOSError(errno.EIO, reason, hint=_HINTS[errno.EIO])
