"""Whether this process runs on Databricks, and on which kind of compute: told by its environment. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

_OLDEST = (13, 3)
"""The first runtime with volumes. An older one may write a path below /Volumes to a disk that ends with the cluster."""
_VERSION = re.compile(r"^(\d+)\.(\d+)")


class Compute(StrEnum):
    """What runs this process."""

    ELSEWHERE = "elsewhere"
    CLUSTER = "cluster"
    SERVERLESS = "serverless"


@dataclass(frozen=True)
class Runtime:
    """The Databricks Runtime of this process. `version` is empty elsewhere, such as `15.4`, `client.4.9` serverless."""

    compute: Compute
    version: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """As `DATABRICKS_RUNTIME_VERSION` and `IS_SERVERLESS` say."""
        version = environ.get("DATABRICKS_RUNTIME_VERSION", "")
        if version.startswith("client.") or environ.get("IS_SERVERLESS", "").lower() in {"true", "1"}:
            return cls(Compute.SERVERLESS, version)
        return cls(Compute.CLUSTER, version) if version else cls(Compute.ELSEWHERE)

    @property
    def has_volumes(self) -> bool:
        """Whether a path below /Volumes is a volume there; a version that cannot be read is taken for a newer one."""
        found = _VERSION.match(self.version)
        return found is None or (int(found[1]), int(found[2])) >= _OLDEST
