"""The `execution.spark:` of the configuration: which Spark the chunks are extracted on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from statekeeper.config.section import Name, Section, refusal


class SparkConfig(Section):
    """Where Spark is, for a program that has no session yet; one that is active already is used as it is."""

    master: Name | None = Field(
        default=None, description="the master of a session that is made, such as local[2,4] or spark://host:7077"
    )
    remote: Name | None = Field(default=None, description="the address of a Spark Connect server: sc://host:15002")
    conf: Mapping[Name, str | int | bool] = Field(
        default_factory=dict, description="settings of a session that is made, such as spark.executor.memory: 4g"
    )
    parallelism: int | None = Field(
        default=None, ge=1, description="how many chunks are read at once; without it, as many as Spark has cores"
    )

    @model_validator(mode="after")
    def _one_spark(self) -> Self:
        if self.master is not None and self.remote is not None:
            raise refusal("either `master` or `remote`")
        return self
