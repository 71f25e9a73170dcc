"""Reads Databricks secret scopes, for `${databricks:scope/key}` in a configuration.

The driver reads them with the configuration: with the `dbutils` of the notebook or job if there is one, else with
databricks-sdk, which finds its own credentials (DATABRICKS_HOST and so on).
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

from statekeeper.errors import UsageError, brief

_INSTALL = "install it beside statekeeper: pip install 'statekeeper[databricks]'"
_NO_CONTEXT = "CONTEXT_UNAVAILABLE_FOR_REMOTE_CLIENT"
"""The error of databricks-sdk before 0.117 on standard access mode: it needs a SparkContext from Spark Connect."""


class SecretScopes:
    """Reads each secret once, with the given `dbutils`, or with one that the first read finds."""

    def __init__(self, dbutils: Any = None) -> None:
        self._dbutils = dbutils
        self._known: dict[tuple[str, str], str] = {}

    def __call__(self, scope: str, key: str) -> str:
        """The value of a secret.

        Raises:
            UsageError: the package is missing, or Databricks refuses the secret; no message contains the value.
        """
        if (scope, key) not in self._known:
            self._known[scope, key] = self._read(scope, key)
        return self._known[scope, key]

    def _read(self, scope: str, key: str) -> str:
        try:
            if self._dbutils is None:
                self._dbutils = _notebook_dbutils() or _sdk_dbutils()
            return str(self._dbutils.secrets.get(scope, key))
        except UsageError:
            raise
        except Exception as error:  # of py4j, pyspark, the SDK, requests; ValueError without credentials
            text = f"Databricks did not give the secret: {brief(error) or type(error).__name__}"
            raise UsageError(text, hint=_hint(error, scope)) from error


def _notebook_dbutils() -> Any:
    """The `dbutils` in a notebook's namespace on Databricks; None if there is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    namespaces = ([shell.user_ns] if shell else []) + [vars(sys.modules["__main__"])]
    found = (namespace.get("dbutils") for namespace in namespaces)
    return next((dbutils for dbutils in found if hasattr(dbutils, "secrets")), None)


def _sdk_dbutils() -> Any:
    try:
        from databricks.sdk import WorkspaceClient
    except ImportError as error:
        raise UsageError("databricks-sdk, which reads secrets, is not installed", hint=_INSTALL) from error
    return WorkspaceClient().dbutils


def _hint(error: Exception, scope: str) -> str:
    if _NO_CONTEXT in str(error):
        return (
            f"databricks-sdk {version('databricks-sdk')} reads no secrets on standard access mode: in a notebook "
            "`%pip install 'databricks-sdk>=0.117'` and then `dbutils.library.restartPython()`, in a job the library "
            "databricks-sdk>=0.117; or pass on the notebook's own dbutils, as run_notebook(dbutils) does"
        )
    return f"`databricks secrets list-secrets {scope}` shows its keys; who runs this needs READ on the scope"
