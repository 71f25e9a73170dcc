"""Values from Databricks secret scopes, for `${databricks:scope/key}` in a configuration.

They are read where the configuration is read, which is the driver; the client finds its own credentials (in a notebook
or job those of who runs it, elsewhere DATABRICKS_HOST and so on).
"""

from __future__ import annotations

from typing import Any

from statekeeper.errors import UsageError

_INSTALL = "install it beside statekeeper: pip install 'statekeeper[databricks]'"


class SecretScopes:
    """Reads each secret once; the client is made when the first one is asked for."""

    def __init__(self) -> None:
        self._client: Any = None
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, scope: str, key: str) -> str:
        """The value of a secret.

        Raises:
            UsageError: the package is missing, or Databricks does not give it; the value is in no message.
        """
        if (scope, key) not in self._known:
            self._known[scope, key] = self._read(scope, key)
        return self._known[scope, key]

    def _read(self, scope: str, key: str) -> str:
        try:
            from databricks.sdk import WorkspaceClient
        except ImportError as error:
            raise UsageError("databricks-sdk, which reads secrets, is not installed", hint=_INSTALL) from error
        try:
            if self._client is None:
                self._client = WorkspaceClient()
            return str(self._client.dbutils.secrets.get(scope, key))
        except Exception as error:  # the SDK's own, of requests, ValueError for missing credentials
            reason = str(error).strip().splitlines()
            raise UsageError(
                f"Databricks did not give the secret: {reason[0] if reason else type(error).__name__}",
                hint=f"`databricks secrets list-secrets {scope}` shows its keys; who runs this needs READ on the scope",
            ) from error
