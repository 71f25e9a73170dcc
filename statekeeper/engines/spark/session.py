"""Which Spark session is used, and whether it is ours to stop."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from statekeeper.config.spark import SparkConfig


class Flavour(StrEnum):
    """How the session talks to Spark: jobs are tagged and cancelled differently."""

    CLASSIC = "classic"
    CONNECT = "connect"


class Ownership(StrEnum):
    """Whose the session is: one that we made is stopped at the end, any other is left as it is."""

    OURS = "ours"
    GIVEN = "given"


@dataclass(frozen=True)
class HeldSession:
    """A Spark session, and what may be done with it. `spark` is a SparkSession of either flavour."""

    spark: Any
    flavour: Flavour
    ownership: Ownership


def hold_session(settings: SparkConfig, *, given: Any | None = None) -> HeldSession:
    """The session that is used: the caller's, else the active one, else a DatabricksSession where we run there, else
    one that is made as `settings` say.

    Raises:
        ConfigError: pyspark is not installed, or no session can be had.
    """
    raise NotImplementedError
