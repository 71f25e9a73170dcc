"""The Python API on Databricks: the same extractors, with its paths, its Spark session and its kinds of compute.

Decides where output may be and where chunks are read: on executors, or on the driver if executors cannot reach a
database (serverless compute). Everything else, including the files on disk, is the same as elsewhere.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self, Unpack

from statekeeper.api import DataExtractor, StatefulDataExtractor
from statekeeper.api.keys import ExtractorKeys
from statekeeper.config.databricks import Compute, Runtime, file_path, refusal_on_databricks, volume_folder
from statekeeper.config.reading.databricks_secrets import SecretScopes
from statekeeper.config.reading.references import Secrets
from statekeeper.config.resolved import EngineKind, Pipeline
from statekeeper.config.root import expanded
from statekeeper.config.sections.stores import place_of
from statekeeper.errors import UsageError
from statekeeper.run.choices import GivenEngine, RunIdentity, RunOptions, engine_name
from statekeeper.runtime.progress import Reporter

_LOG = logging.getLogger("statekeeper.databricks")
_MAX_WORKERS = 4


def refuse_old_runtime(runtime: Runtime) -> None:
    """Raises UsageError if the runtime is too old, before anything else is read."""
    if (refused := runtime.refusal) is not None:
        reason, hint = refused
        raise UsageError(reason, hint=hint)


@dataclass(frozen=True)
class Place:
    """The runtime of this process, and the Spark session that may be used."""

    runtime: Runtime
    spark: object | None
    may_use_spark: bool

    @classmethod
    def of(cls, environ: Mapping[str, str], *, spark: object | None, use_existing_spark: bool) -> Self:
        """This process.

        Raises:
            UsageError: the runtime is too old, or `spark` contradicts `use_existing_spark`.
        """
        if spark is not None and not use_existing_spark:
            raise UsageError(
                "expected either a session in `spark`, or use_existing_spark=False; found both",
                hint="use_existing_spark=False reads everything on the driver, without Spark",
            )
        runtime = Runtime.of(environ)
        refuse_old_runtime(runtime)
        return cls(runtime, spark, use_existing_spark)

    def folder(self, volume: str | None, path: str | None, *, root: Path) -> str:
        """The output folder: `volume`, `path`, or `path` in `volume`; outside Databricks, a path may start at `root`.

        An address of an object store is the path that stands for it.

        Raises:
            UsageError: output cannot be there; the message says why, and the hint what to use instead.
        """
        place = _path_of(path) if path else None
        if volume is not None:
            top = PurePosixPath(volume_folder(volume))
            if place is not None and place.is_absolute() and not place.is_relative_to(top):
                raise UsageError(
                    f"unity_catalog_volume is {top}, but the output path {place} is not in it",
                    hint="leave one of the two out, or give the path within the volume",
                )
            place = top / place if place else top
        if place is None:
            raise UsageError(
                "expected unity_catalog_volume or a path for the output; found neither",
                hint="unity_catalog_volume='catalog/schema/volume'",
            )
        if self.runtime.compute is Compute.ELSEWHERE:
            return str(root / place)
        self._check(str(place))
        return str(place)

    def engine(self, configured: str | None) -> str:
        """The engine for chunks; `configured` is the configured one, or None."""
        if self.runtime.compute is Compute.SERVERLESS:
            _LOG.warning("serverless compute: its executors have no network, so everything is read on the driver")
            return EngineKind.LOCAL
        if not self.may_use_spark:
            return EngineKind.LOCAL
        if configured is not None:
            return configured
        is_there = self.spark is not None or self.runtime.compute is Compute.CLUSTER
        return EngineKind.SPARK if is_there else EngineKind.LOCAL

    @property
    def workers(self) -> int:
        """The default number of processes on the driver, which also serves notebooks and Spark."""
        cores = os.cpu_count() or 1
        return min(_MAX_WORKERS, cores if self.runtime.compute is Compute.ELSEWHERE else max(1, cores // 2))

    def _check(self, place: str) -> None:
        refused = refusal_on_databricks(place)
        if refused is not None:
            reason, hint = refused
            raise UsageError(reason, hint=hint)
        if place.startswith("/dbfs/"):
            _LOG.warning("%s: DBFS is deprecated and not on every kind of compute; use a Unity Catalog volume", place)


def _path_of(text: str) -> PurePosixPath:
    """A path, or the path of an address in an object store. Raises UsageError if output cannot be there."""
    try:
        stored = place_of(text)
    except ValueError as error:
        raise UsageError(
            f"expected an address such as {error}; found {text}", hint="docs/objects.md has an address of each store"
        ) from None
    return PurePosixPath(stored) if stored is not None else PurePosixPath(expanded(file_path(text)))


class DatabricksDataExtractor(DataExtractor):
    """`DataExtractor` on Databricks.

    Output goes to `unity_catalog_volume` (`catalog/schema/volume` or `catalog.schema.volume`), to `output_base_path` in
    that volume, or to `output_base_path` alone, which may be the address of an object store. Chunks are read on the
    executors of the existing Spark session (or the one passed as `spark`); with `use_existing_spark=False`, and on
    serverless compute, by processes of the driver. Everything else is as for `DataExtractor`.

    Raises:
        UsageError: the output cannot be there; or what `DataExtractor` raises.
    """

    def __init__(
        self,
        *,
        unity_catalog_volume: str | None = None,
        output_base_path: str | Path | None = None,
        spark: object | None = None,
        use_existing_spark: bool = True,
        environ: Mapping[str, str] | None = None,
        **others: Unpack[ExtractorKeys],
    ) -> None:
        place = Place.of(_environ(environ), spark=spark, use_existing_spark=use_existing_spark)
        asked = dict(others.pop("execution", {}))
        if isinstance(others.get("engine"), str):
            asked["engine"] = others.pop("engine")
        asked["engine"] = place.engine(engine_name(asked["engine"]) if "engine" in asked else None)
        asked.setdefault("workers", place.workers)
        others["execution"] = asked
        path = str(output_base_path) if output_base_path else None
        super().__init__(
            output_base_path=place.folder(unity_catalog_volume, path, root=Path.cwd()),
            spark=spark,
            **others,
        )


class StatefulDatabricksDataExtractor(StatefulDataExtractor):
    """`StatefulDataExtractor` on Databricks: what `output` and `execution` of the configuration say, made fit for it.

    `unity_catalog_volume` stands for an `output.base_path` that the configuration does not have to name, or holds a
    relative one. The rest is as for `DatabricksDataExtractor`.

    Raises:
        UsageError: the output cannot lie there.
    """

    def __init__(  # noqa: PLR0913 - of a pipeline, with what is said on Databricks, all by keyword
        self,
        pipeline: Pipeline,
        identity: RunIdentity,
        *,
        reporter: Reporter | None = None,
        engine: GivenEngine | None = None,
        spark: object | None = None,
        unity_catalog_volume: str | None = None,
        use_existing_spark: bool = True,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        place = Place.of(_environ(environ), spark=spark, use_existing_spark=use_existing_spark)
        fit = _fitted(pipeline, place, unity_catalog_volume)
        super().__init__(fit, identity, reporter=reporter, engine=engine, spark=spark)

    @classmethod
    def from_config(  # noqa: PLR0913 - what is said on Databricks, all by keyword
        cls,
        path: str | Path,
        *,
        environ: Mapping[str, str] | None = None,
        root: str | Path | None = None,
        secrets: Secrets | None = None,
        dbutils: object | None = None,
        unity_catalog_volume: str | None = None,
        use_existing_spark: bool = True,
        **choices: Unpack[RunOptions],
    ) -> Self:
        """The extractor of a configuration file on Databricks; see `StatefulDataExtractor.from_config` for the rest.

        The notebook's `dbutils` reads secrets; if it is not passed, it is searched for. `secrets` replaces both.

        Raises:
            ConfigError: the file cannot be used. UsageError: the output cannot be where the file says.
        """
        refuse_old_runtime(Runtime.of(_environ(environ)))
        plain = StatefulDataExtractor.from_config(
            path, environ=environ, root=root, secrets=secrets or SecretScopes(dbutils), **choices
        )
        return cls(
            plain.pipeline,
            plain.identity,
            reporter=choices.get("reporter"),
            engine=plain._engine,  # noqa: SLF001 - of the class that this is one of
            spark=choices.get("spark"),
            unity_catalog_volume=unity_catalog_volume,
            use_existing_spark=use_existing_spark,
            environ=environ,
        )


def _fitted(pipeline: Pipeline, place: Place, volume: str | None) -> Pipeline:
    execution = pipeline.execution
    chosen: dict[str, object] = {
        "engine": place.engine(execution.engine if "engine" in execution.model_fields_set else None)
    }
    if "workers" not in execution.model_fields_set:
        chosen["workers"] = place.workers
    fit = fitted_output(pipeline, place, volume)
    return dataclasses.replace(fit, execution=execution.model_copy(update=chosen))


def fitted_output(pipeline: Pipeline, place: Place, volume: str | None) -> Pipeline:
    """The pipeline with its output folder on Databricks; see `Place.folder`.

    Raises:
        UsageError: the output cannot be there.
    """
    output = pipeline.written_output
    is_named = "base_path" in output.model_fields_set
    path = output.base_path if is_named or volume is None else None
    folder = place.folder(volume, path, root=pipeline.root)
    return dataclasses.replace(pipeline, written_output=output.model_copy(update={"base_path": folder}))


def _environ(given: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if given is None else given
