"""Whether this process runs on Databricks, and on which compute, by its environment. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

_OLDEST = (17, 3)
"""The first long-term runtime whose Python packages are new enough."""
_OLDEST_SERVERLESS = 4
"""The environment version with the packages of that runtime."""
_VERSION = re.compile(r"^(\d+)\.(\d+)")
_CLIENT = re.compile(r"^client\.(\d+)")
_TOO_OLD = "its Python packages are too old (NumPy 1, pydantic before 2.10)"


class Compute(StrEnum):
    """What runs this process."""

    ELSEWHERE = "elsewhere"
    CLUSTER = "cluster"
    SERVERLESS = "serverless"


@dataclass(frozen=True)
class Runtime:
    """The Databricks Runtime of this process. `version` is empty elsewhere, such as `17.3`, `client.4.9` serverless."""

    compute: Compute
    version: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """From `DATABRICKS_RUNTIME_VERSION` and `IS_SERVERLESS`."""
        version = environ.get("DATABRICKS_RUNTIME_VERSION", "")
        if version.startswith("client.") or environ.get("IS_SERVERLESS", "").lower() in {"true", "1"}:
            return cls(Compute.SERVERLESS, version)
        return cls(Compute.CLUSTER, version) if version else cls(Compute.ELSEWHERE)

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Why this runtime is too old, and what to use; an unknown version counts as a newer one."""
        if (client := _CLIENT.match(self.version)) is not None:
            if int(client[1]) >= _OLDEST_SERVERLESS:
                return None
            return (
                f"serverless environment {client[1]} is not supported, only {_OLDEST_SERVERLESS} or newer: {_TOO_OLD}",
                f"use environment version {_OLDEST_SERVERLESS} or newer",
            )
        found = _VERSION.match(self.version)
        if found is None or (int(found[1]), int(found[2])) >= _OLDEST:
            return None
        return (
            f"Databricks Runtime {found[0]} is not supported, only {_OLDEST[0]}.{_OLDEST[1]} LTS or newer: {_TOO_OLD}",
            f"use Databricks Runtime {_OLDEST[0]}.{_OLDEST[1]} LTS or newer",
        )
