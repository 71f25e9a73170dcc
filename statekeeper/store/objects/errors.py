"""The errors of a store as the system's own, with what to do: each code of a store that people can act on is named.

obstore itself asks again after server errors, throttling (503 SlowDown, 429) and time-outs, with waits that grow. What
arrives here has failed for `storage.retry_timeout`, or will fail again.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import obstore.exceptions as obstore_errors

from statekeeper.system_errors import HintedOSError

Answer = TypeVar("Answer")

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([\w.]+)</Code>|\(code: ([\w.]+)\)")
"""In the XML of an answer, or among the answers to a request that removes several objects."""
_METHOD = re.compile(r"Error performing (GET|HEAD|PUT|POST|DELETE) ")
_REMOVES, _LISTS = re.compile(r"(DeleteObjects|Bulk delete) request|\?delete\b"), "list request"
_DENIED = frozenset({"401", "403"})
_NO_BUCKET = ("the bucket does not exist", "create it, or correct output.base_path")
_NO_CONTAINER = ("the container does not exist", "create it, or correct output.base_path")
_REGION = ("the bucket is in another region", "set storage.region (AWS_REGION) to the region of the bucket")
_EXPIRED = ("the credentials have expired, or are not valid", "get new ones, then run again")
_BUSY = ("there are too many requests, also after waits that grew", "run again later, with fewer workers")
_KMS = ("the KMS key cannot be used", "correct storage.kms_key; docs/objects.md says what it must allow")
_REFUSED = {
    "NoSuchBucket": _NO_BUCKET,
    "RequestTimeTooSkewed": (
        "the clock of this machine differs too much from the store's",
        "set the clock (timedatectl), then run again",
    ),
    "SignatureDoesNotMatch": ("the secret key is wrong", "correct storage.secret_access_key, or AWS_SECRET_ACCESS_KEY"),
    "InvalidAccessKeyId": ("the access key is unknown", "correct storage.access_key_id, or AWS_ACCESS_KEY_ID"),
    "ExpiredToken": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "KMS.NotFoundException": _KMS,
    "KMS.DisabledException": _KMS,
    "KMS.KMSInvalidStateException": _KMS,
    "ContainerNotFound": _NO_CONTAINER,
    "AuthenticationFailed": (
        "the key or token is wrong, or the clock of this machine differs from the store's by more than 15 minutes",
        "correct storage.account_key, sas_token or client_secret, and the clock (timedatectl)",
    ),
    "AuthorizationFailure": (
        "the key is wrong, or the account's firewall does not let this machine in",
        "correct storage.account_key, or allow this network in the storage account",
    ),
}
"""What a code means, and what to do; S3's, then Azure's."""
_THROTTLED = dict.fromkeys(("SlowDown", "ServerBusy", "OperationTimedOut", "TooManyRequests"), _BUSY)
_MISSING_BUCKETS = ("NoSuchBucket", "ContainerNotFound")
_PASSING_CONFLICTS = ("ConditionalRequestConflict", "OperationAborted")
_CONFLICT_WAITS = (0.1, 0.4, 1.6, 5.0)
_ASSUMED_ROLE = "AssumeRole"
_NO_LOGIN = re.compile(r"169\.254\.|metadata\.google|token request|External AWS credential")
_OTHER_REGION = "incorrectly configured region"
_PERMISSIONS = {
    "list": "s3:ListBucket on the bucket",
    "read": "s3:GetObject on the objects, and s3:ListBucket on the bucket, without which a missing object is refused",
    "write": "s3:PutObject on the objects",
    "delete": "s3:DeleteObject on the objects",
}
_ACTIONS = {"GET": "read", "HEAD": "read", "PUT": "write", "POST": "write", "DELETE": "delete"}
_ELSEWHERE = "Azure: the role Storage Blob Data Contributor; Google: Storage Object User (docs/objects.md)"
_UNREACHABLE = "see whether the store can be reached (storage.endpoint); then run again: what was saved is intact"


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


def after_conflicts(ask: Callable[[], Answer]) -> Answer:
    """What a request answers that creates an object; asked again while the store says that another is under way.

    S3 refuses so also where the other one then fails, and there is no object.
    """
    for wait in _CONFLICT_WAITS:
        try:
            return ask()
        except obstore_errors.AlreadyExistsError as error:
            if not any(code in str(error) for code in _PASSING_CONFLICTS):
                raise
        time.sleep(wait)
    return ask()


def refused_options(error: obstore_errors.BaseError) -> OSError:
    """The error if no client can be made of the options."""
    text = str(error)
    for said, key in (("Account must be", "account_name"), ("Access Key", "account_key"), ("SAS", "sas_token")):
        if said in text:
            return HintedOSError(
                errno.EINVAL, f"storage.{key} is missing or not valid", hint=f"correct storage.{key} (docs/objects.md)"
            )
    if "ervice account" in text or "redential" in text:
        hint = "correct storage.service_account_file, or GOOGLE_APPLICATION_CREDENTIALS"
        return HintedOSError(errno.EINVAL, "the key of the service account cannot be read", hint=hint)
    return HintedOSError(errno.EINVAL, "the options are not accepted", hint="correct `storage:` (docs/objects.md)")


def _refused(error: Exception) -> OSError:
    text = str(error)
    if _ASSUMED_ROLE in text:
        hint = "let the login assume storage.role: sts:AssumeRole, and the trust policy of the role"
        return HintedOSError(errno.EACCES, "the role cannot be assumed", hint=hint)
    if _NO_LOGIN.search(text):
        hint = "set the keys of `storage:` or the environment, or give this machine a role (docs/objects.md)"
        return HintedOSError(errno.EACCES, "there is no login for the store", hint=hint)
    status, found = _STATUS.search(text), _CODE.search(text)
    code = (found[1] or found[2]) if found is not None else ""
    if not code and _OTHER_REGION in text:
        code = "PermanentRedirect"
    for meanings, number in ((_REFUSED, errno.EACCES), (_THROTTLED, errno.EIO)):
        if code in meanings:
            reason, hint = meanings[code]
            return HintedOSError(number, f"the store refused: {reason} ({code})", hint=hint)
    said = " ".join(filter(None, (f"HTTP {status[1]}" if status else "", code)))
    if code == "AccessDenied" or (status is not None and status[1] in _DENIED):
        action = _action_of(text)
        hint = f"grant S3's permission {_PERMISSIONS[action]}; {_ELSEWHERE}"
        return HintedOSError(errno.EACCES, f"the store refused to {action}: {said}", hint=hint)
    reason = f"the store answered {said}" if said else "the store does not answer"
    return HintedOSError(errno.EIO, reason, hint=_UNREACHABLE)


def _action_of(text: str) -> str:
    """What a request was about that is told in an error."""
    if _REMOVES.search(text):
        return "delete"
    found = _METHOD.search(text)
    return "list" if found is None or _LISTS in text else _ACTIONS[found[1]]
