"""The choices for a run in addition to its configuration, and which run they identify.

The Python API, Databricks and the command line all start a run with one `RunChoices`. Choices of a single call, such as
its tables, are parameters of that call.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias, TypedDict

from statekeeper.config.resolved import Pipeline, check_run, resolve_date, run_id_of
from statekeeper.config.root import expanded
from statekeeper.config.sections.engines import ENGINES, known_name
from statekeeper.config.suggest import nearest
from statekeeper.errors import UsageError
from statekeeper.model.job_run import JobRun
from statekeeper.runtime.progress import Reporter
from statekeeper.store.layout import check_run_id

if TYPE_CHECKING:  # commands that run nothing, such as `status`, are quicker without it
    from statekeeper.engines.protocol import Engine, EngineType


@dataclass(frozen=True)
class RunIdentity:
    """Which run it is, and from which files it was started."""

    run_id: str
    extraction_date: date
    config_path: str | None = None
    tables_path: str | None = None
    job_run: JobRun | None = None

    @classmethod
    def of(cls, pipeline: Pipeline, *, day: str, run_id: str | None = None, today: date | None = None) -> Self:
        """The run of a pipeline at `day`; the words `today` and `yesterday` refer to `today`.

        Raises:
            UsageError: `day` is not a date, or `run_id` cannot be part of a file name.
            ConfigError: a table of the pipeline names another date or run id.
        """
        today = today or datetime.now(UTC).date()
        try:
            extraction_date = resolve_date(day, today=today)
        except ValueError as error:
            raise UsageError(f"the extraction date is {day!r}; {error}") from error
        name = run_id or run_id_of(pipeline.name, extraction_date)
        check_run_id(name)
        check_run(pipeline, extraction_date=extraction_date, run_id=name, today=today)
        return cls(name, extraction_date)

    def is_default_of(self, pipeline: Pipeline) -> bool:
        """Whether the run has the id that it gets unless another is chosen."""
        return self.run_id == run_id_of(pipeline.name, self.extraction_date)


Day: TypeAlias = date
"""An alias of the type, for classes with a field named `date`."""


GivenEngine: TypeAlias = "str | EngineType | Engine"
"""An engine: its name, an `EngineType` that starts one for each run, or an engine that is already started."""


class RunOptions(TypedDict, total=False):
    """The fields of `RunChoices` as keyword arguments."""

    tables_path: str | Path | None
    date: Day | str | None
    today: Day | None
    run_id: str | None
    job_run: JobRun | None
    engine: GivenEngine | None
    workers: int | None
    reporter: Reporter | None
    spark: object | None


@dataclass(frozen=True, kw_only=True)
class RunChoices:
    """The choices for a run; for None the configuration decides.

    `tables_path` is a file whose tables replace those of the configuration. `date` is the extraction date; the words
    `today` and `yesterday` refer to `today` (default: the current day in UTC). `engine` and `workers` replace those of
    `execution:`; an engine may be a name, an `EngineType`, or an `Engine`, which the run closes at its end. `job_run`
    is the job run that does this, which the metadata then name. `reporter` receives progress (default: it is logged).
    `spark` is a Spark session for `engine: spark`; without it the active session is used, or a new one.
    """

    tables_path: str | Path | None = None
    date: Day | str | None = None
    today: Day | None = None
    run_id: str | None = None
    job_run: JobRun | None = None
    engine: GivenEngine | None = None
    workers: int | None = None
    reporter: Reporter | None = None
    spark: object | None = None

    @classmethod
    def of(cls, options: RunOptions) -> Self:
        """The choices from keyword arguments.

        Raises:
            UsageError: an argument is unknown.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        for name in options:
            if name not in known:
                hint = nearest(name, known) or f"the choices of a run are {', '.join(sorted(known))}"
                raise UsageError(f"a run has no choice {name!r}", hint=hint)
        return cls(**options)

    def configured(self, pipeline: Pipeline) -> Pipeline:
        """The pipeline with the chosen engine and workers.

        Raises:
            UsageError: there is no such engine, or `workers` is less than 1.
        """
        chosen: dict[str, object] = {}
        if isinstance(self.engine, str):
            chosen["engine"] = engine_name(self.engine)
        if self.workers is not None:
            if self.workers < 1:
                raise UsageError(f"expected workers as a whole number of at least 1; found {self.workers}")
            chosen["workers"] = self.workers
        return dataclasses.replace(pipeline, execution=pipeline.execution.model_copy(update=chosen))

    @property
    def own_engine(self) -> EngineType | Engine | None:
        """The engine that was passed as an object, or None. Raises UsageError if the object is not an engine."""
        return checked_engine(None if isinstance(self.engine, str) else self.engine)

    def identity(self, pipeline: Pipeline, path: str | Path) -> RunIdentity:
        """Which run of the pipeline from the configuration file `path` this is. Raises like `RunIdentity.of`."""
        day = str(self.date) if self.date else pipeline.extraction_date
        identity = RunIdentity.of(pipeline, day=day, run_id=self.run_id, today=self.today)
        return dataclasses.replace(
            identity,
            config_path=_absolute(path),
            tables_path=_absolute(self.tables_path) if self.tables_path else None,
            job_run=self.job_run,
        )


def engine_name(name: str) -> str:
    """The full name of an engine. Raises UsageError if there is no such engine."""
    if (found := known_name(name)) is not None:
        return found
    known = ENGINES.names
    hint = nearest(name, known) or ENGINES.hint_of_more
    raise UsageError(f"expected the engine {' or '.join(known)}; found {name!r}", hint=hint)


def checked_engine(engine: EngineType | Engine | None) -> EngineType | Engine | None:
    """The given engine. Raises UsageError if the object is not an engine."""
    from statekeeper.engines.protocol import EngineType

    required = ("run", "in_flight", "why_waiting", "close", "kill")
    if engine is None or isinstance(engine, EngineType) or all(hasattr(engine, name) for name in required):
        return engine
    raise UsageError(
        f"expected engine as a name, an EngineType or an Engine; found {type(engine).__name__}",
        hint="docs/extending.md says what an engine is",
    )


def _absolute(path: str | Path) -> str:
    return str(Path(expanded(str(path))).absolute())
