"""Logins at S3 that obstore does not know itself: a profile of `~/.aws`, and a role to assume. Both need boto3."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from pydantic import SecretStr

from statekeeper.system_errors import HintedOSError

if TYPE_CHECKING:
    from obstore.auth.boto3 import Boto3CredentialProvider, StsCredentialProvider
    from obstore.store import S3Credential

    from statekeeper.config.sections.storage import StorageConfig

_SESSION_NAME = "statekeeper"
_NEEDS_BOTO3 = "storage.profile and storage.role need boto3, which is not installed"


@dataclass(frozen=True)
class Login:
    """Credentials of boto3, asked for again before they expire; `region` is that of the profile."""

    provider: Boto3CredentialProvider | StsCredentialProvider

    @property
    def region(self) -> str | None:
        return self.provider.config.get("region")

    def __call__(self) -> S3Credential:
        """Credentials whose expiry is in UTC: obstore takes no other time zone, and boto3 has the machine's."""
        found = self.provider()
        if found["expires_at"] is not None:
            found["expires_at"] = found["expires_at"].astimezone(UTC)
        return found


def login_of(storage: StorageConfig) -> Login | None:
    """The login by boto3; None if obstore finds credentials itself.

    Raises:
        OSError: boto3 is not installed, or there is no such profile, or it has no credentials.
    """
    if storage.profile is None and storage.role is None:
        return None
    try:
        import boto3  # optional, and slow to load
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider, StsCredentialProvider
    except ModuleNotFoundError as error:
        raise HintedOSError(errno.EINVAL, _NEEDS_BOTO3, hint="pip install boto3") from error
    secret, token = storage.secret_access_key, storage.session_token
    try:
        session = boto3.Session(
            profile_name=storage.profile,
            aws_access_key_id=storage.access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            aws_session_token=token.get_secret_value() if token else None,
            region_name=storage.region,
        )
        if storage.role is not None:
            return Login(StsCredentialProvider(session, RoleArn=storage.role, RoleSessionName=_SESSION_NAME))
        return Login(Boto3CredentialProvider(session))
    except (BotoCoreError, ValueError) as error:
        raise HintedOSError(
            errno.EACCES,
            f"the profile {storage.profile} gives no login",
            hint="`aws configure list-profiles` lists the profiles; storage.profile names one",
        ) from error


def with_keys(storage: StorageConfig) -> StorageConfig:
    """The same options with the keys that a profile or a role has at this moment, for libraries that know neither.

    Raises:
        OSError: as `login_of`.
    """
    login = login_of(storage)
    if login is None:
        return storage
    found = login()
    token = found.get("token")
    keys = {
        "access_key_id": found["access_key_id"],
        "secret_access_key": SecretStr(found["secret_access_key"]),
        "session_token": SecretStr(token) if token else None,
        "region": storage.region or login.region,
    }
    return storage.model_copy(update=keys)
