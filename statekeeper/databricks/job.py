"""The entry points of Databricks jobs and notebooks: run a configuration, or load it, by the parameters of the job.

A wheel task calls `main` or `load_main`, with parameters as command-line arguments; a notebook calls `run_notebook`,
with parameters as widgets. All raise if a table is not complete, so that the task fails and its retries continue the
run. None ends the interpreter, unless a signal asks for it.
"""

from __future__ import annotations

import difflib
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, chdir, nullcontext
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any, Self

from statekeeper.config.sections.dates import RELATIVE_DAYS, day_of
from statekeeper.databricks.api import StatefulDatabricksDataExtractor
from statekeeper.databricks.load import LoadOutcome, LoadReport, load_tables
from statekeeper.errors import StatekeeperError, UsageError
from statekeeper.logs import LogFormat, RedactingFilter, Redactor, set_up_logging
from statekeeper.model.job_run import JobRun
from statekeeper.run.choices import engine_name
from statekeeper.run.report import RunIncomplete, RunReport

__all__ = [
    "JobParameters",
    "LoadIncomplete",
    "RunIncomplete",
    "load_job",
    "load_main",
    "main",
    "run_job",
    "run_notebook",
]

_LOG = logging.getLogger("statekeeper.databricks")
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0", ""})


class LoadIncomplete(StatekeeperError):
    """A load ended without loading every table; `report` says which tables, and why."""

    def __init__(self, report: LoadReport) -> None:
        wrong = [table for table in report.tables if table.outcome is LoadOutcome.FAILED]
        lines = [f"{table.table.key}: {table.reason}" for table in wrong]
        super().__init__(
            "\n".join([f"{report.run_id}: {len(wrong)} of {len(report.tables)} tables are not loaded", *lines]),
            hint="run the task again: it continues from here",
        )
        self.report = report


@dataclass(frozen=True, kw_only=True)
class JobParameters:
    """The parameters of a job, all text; an empty one counts as left out.

    `config` is the path of the configuration. `folder` is where relative paths start: of `config`, of the models that
    it names, of `tables_file`. `table` is one name, or several separated by commas. The words `today` and `yesterday`,
    in `date` and in the configuration, refer to the day `today`. Both days may be timestamps, as Databricks gives them.
    `into` is the schema that tables are loaded into. `workspace_url`, `job_id` and `job_run_id` become links in the
    metadata. `unknown` are the names of other parameters, which are ignored, because a job passes its parameters to
    every task.
    """

    config: str
    folder: str = ""
    tables_file: str = ""
    table: str = ""
    date: str = ""
    today: str = ""
    run_id: str = ""
    force_reprocess: str = ""
    unity_catalog_volume: str = ""
    engine: str = ""
    workers: str = ""
    into: str = ""
    workspace_url: str = ""
    job_id: str = ""
    job_run_id: str = ""
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """The parameters by their names.

        Raises:
            UsageError: `config` is missing, or a value cannot be used.
        """
        ours = {name: value.strip() for name, value in given.items() if name in _NAMES}
        if not ours.get("config"):
            raise UsageError("the parameter config is missing", hint="give the path of a configuration file")
        parameters = cls(**ours, unknown=tuple(name for name in given if name not in _NAMES))
        if parameters.force_reprocess.lower() not in _TRUE | _FALSE:
            raise UsageError(f"expected force_reprocess as true or false; found {parameters.force_reprocess!r}")
        if parameters.workers and not (parameters.workers.isdecimal() and int(parameters.workers)):
            raise UsageError(f"expected workers as a whole number of at least 1; found {parameters.workers!r}")
        if parameters.engine:
            engine_name(parameters.engine)
        day = parameters.date if parameters.date in RELATIVE_DAYS else _day(parameters.date, "date")
        return replace(parameters, date=day, today=_day(parameters.today, "today"))

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Self:
        """The parameters of a wheel task, as it is started by `parameters` or by `named_parameters`.

        They are `--name value` or `--name=value`, with hyphens or underscores; one without a name is `config`.

        Raises:
            UsageError: an argument has another form; or as `of`.
        """
        given: dict[str, str] = {}
        rest = iter(arguments)
        for argument in rest:
            name, equals, value = argument.removeprefix("--").partition("=")
            if not argument.startswith("--") and "config" not in given:
                given["config"] = argument
                continue
            if not argument.startswith("--") or not name:
                raise UsageError(f"expected --name value or --name=value; found {argument!r}")
            if not equals:
                value = next(rest, "--")
                if value.startswith("--"):
                    raise UsageError(f"expected a value after {argument}", hint=f"an empty one is {argument}=")
            given[name.replace("-", "_")] = value
        return cls.of(given)

    @classmethod
    def from_widgets(cls, dbutils: Any) -> Self:
        """The parameters of a notebook, from its widgets; other widgets are ignored.

        Raises:
            UsageError: as `of`.
        """
        widgets = dbutils.widgets.getAll()
        return cls.of({name: str(widgets[name]) for name in _NAMES if name in widgets})

    @property
    def tables(self) -> list[str]:
        """The names in `table`."""
        return [name.strip() for name in self.table.split(",") if name.strip()]

    @property
    def job_run(self) -> JobRun | None:
        """The current job run; None if a parameter for it is missing. Raises UsageError if one is wrong."""
        if not (self.workspace_url and self.job_id and self.job_run_id):
            return None
        return JobRun.on_databricks(workspace_url=self.workspace_url, job_id=self.job_id, job_run_id=self.job_run_id)

    def warnings(self) -> Iterator[str]:
        """A warning for each ignored parameter."""
        for name in self.unknown:
            near = difflib.get_close_matches(name, _NAMES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the parameters are {', '.join(_NAMES)}"
            yield f"there is no parameter {name!r}; it is ignored: {hint}"


_NAMES = tuple(field.name for field in fields(JobParameters) if field.name != "unknown")


def main() -> None:
    """The entry point of a wheel task."""
    report = run_job(JobParameters.from_arguments(sys.argv[1:]))
    print(report.model_dump_json(indent=2))  # noqa: T201 - a task's output is what it prints


def load_main() -> None:
    """The entry point of a wheel task that loads what a run has published."""
    report = load_job(JobParameters.from_arguments(sys.argv[1:]))
    print(report.model_dump_json(indent=2))  # noqa: T201 - a task's output is what it prints


def run_notebook(dbutils: Any, *, spark: object | None = None) -> None:
    """Run with the parameters of the notebook's widgets, and end the notebook with the report as JSON.

    Raises:
        RunIncomplete, and what `run_job` raises.
    """
    report = run_job(JobParameters.from_widgets(dbutils), spark=spark, dbutils=dbutils)
    dbutils.notebook.exit(report.model_dump_json())


def run_job(parameters: JobParameters, *, spark: object | None = None, dbutils: object | None = None) -> RunReport:
    """Run a configuration; returns the report if all tables are complete. The log goes to standard error.

    `spark` and `dbutils` are those of a notebook; if they are not passed, they are searched for.

    Raises:
        RunIncomplete: some table is not complete. ConfigError, UsageError: nothing was started.
    """
    log, job_run = _set_up(parameters), parameters.job_run
    with _within(parameters.folder):
        extractor = StatefulDatabricksDataExtractor.from_config(
            parameters.config,
            environ=os.environ,
            tables_path=parameters.tables_file or None,
            root="." if parameters.folder else None,
            date=parameters.date or None,
            today=_today(parameters),
            run_id=parameters.run_id or None,
            job_run=job_run,
            engine=parameters.engine or None,
            workers=int(parameters.workers) if parameters.workers else None,
            spark=spark,
            dbutils=dbutils,
            unity_catalog_volume=parameters.unity_catalog_volume or None,
        )
        log.redactor.add(extractor.pipeline.secrets)
        log.run = extractor.identity.run_id
        _warn_of_the_clock(parameters, extractor)
        report = extractor.run(tables=parameters.tables, force_reprocess=parameters.force_reprocess.lower() in _TRUE)
    return report.raise_for_failure()


def load_job(parameters: JobParameters, *, spark: object | None = None) -> LoadReport:
    """Load what a run has published into the schema `into`; returns the report if all tables are loaded.

    Raises:
        LoadIncomplete: some table is not loaded. ConfigError, UsageError: nothing was started.
    """
    if not parameters.into:
        raise UsageError("the parameter into is missing", hint="give the schema to load into, as catalog.schema")
    _set_up(parameters)
    with _within(parameters.folder):
        report = load_tables(
            parameters.config,
            into=parameters.into,
            tables=parameters.tables,
            date=parameters.date or None,
            today=_today(parameters),
            run_id=parameters.run_id or None,
            tables_path=parameters.tables_file or None,
            root="." if parameters.folder else None,
            unity_catalog_volume=parameters.unity_catalog_volume or None,
            spark=spark,
        )
    if report.exit_code:
        raise LoadIncomplete(report)
    return report


def _today(parameters: JobParameters) -> date | None:
    return date.fromisoformat(parameters.today) if parameters.today else None


def _set_up(parameters: JobParameters) -> RedactingFilter:
    log = set_up_logging(sys.stderr, log_format=LogFormat.HUMAN, redactor=Redactor())
    for warning in parameters.warnings():
        _LOG.warning(warning)
    return log


def _within(folder: str) -> AbstractContextManager[None]:
    return chdir(folder) if folder else nullcontext()


def _warn_of_the_clock(parameters: JobParameters, extractor: StatefulDatabricksDataExtractor) -> None:
    day = parameters.date or extractor.pipeline.extraction_date
    if day in RELATIVE_DAYS and not parameters.today:
        _LOG.warning(
            "%s depends on the current time: if the job is repaired after midnight (UTC), it extracts another day. "
            "Set the parameter today to {{job.trigger.time.iso_date}}",
            day,
        )


def _day(text: str, name: str) -> str:
    """A day from Databricks, as YYYY-MM-DD; empty if there is none.

    Raises:
        UsageError: the text is not a day.
    """
    if not text:
        return ""
    try:
        return day_of(text).isoformat()
    except ValueError as error:
        hint = "Databricks passes an unknown reference on unchanged" if "{{" in text else None
        raise UsageError(
            f"expected {name} as a day such as 2026-01-31, or a timestamp; found {text!r}", hint=hint
        ) from error
