"""The `execution.spark:` of the configuration: the Spark that extracts chunks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from statekeeper.config.sections.section import Name, Section, refusal

_TOKEN = re.compile(r";\s*token=([^;]+)", re.IGNORECASE)
_SECRET = re.compile("secret|password|token|access[.]?key", re.IGNORECASE)


class SparkConfig(Section):
    """Where Spark is, for a program without a session; an active session is used as it is."""

    master: Name | None = Field(
        default=None, description="the master of a new session, such as local[2,4] or spark://host:7077"
    )
    remote: Name | None = Field(
        default=None, repr=False, description="the address of a Spark Connect server: sc://host:15002"
    )
    conf: Mapping[Name, str | int | bool] = Field(
        default_factory=dict,
        repr=False,
        description="settings of a new session, such as spark.executor.memory: 4g",
    )
    parallelism: int | None = Field(
        default=None, ge=1, description="how many chunks are read at once; without it, as many as Spark has cores"
    )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The settings that are secret by their names, by Spark's own rule (spark.redaction.regex)."""
        found = tuple(str(value) for name, value in self.conf.items() if _SECRET.search(name))
        return (*found, *_TOKEN.findall(self.remote or ""))

    @model_validator(mode="after")
    def _one_spark(self) -> Self:
        if self.master is not None and self.remote is not None:
            raise refusal("either `master` or `remote`")
        return self
