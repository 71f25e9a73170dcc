"""What the commands of one invocation share: the screen, the log, and the secrets to redact."""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from statekeeper.cli.screen import Screen
from statekeeper.config.reading.references import Unset
from statekeeper.logs import LogFormat, RedactingFilter, Redactor, secret_values, set_up_logging

if TYPE_CHECKING:
    from statekeeper.api import StatefulDataExtractor
    from statekeeper.cli.request import RunRequest
    from statekeeper.model.manifest import NextStep
    from statekeeper.runtime.progress import Reporter


class Report(Protocol):
    """What a command shows."""

    def model_dump_json(self, *, indent: int | None = None) -> str: ...


class Result(Report, Protocol):
    """What a command shows, with its exit code."""

    @property
    def exit_code(self) -> int: ...

    def only_bad(self) -> Self: ...


AnyReport = TypeVar("AnyReport", bound=Report)
AnyResult = TypeVar("AnyResult", bound=Result)


class Verbosity(Enum):
    """How much is printed."""

    NORMAL = auto()
    QUIET = auto()
    """Only what went wrong. Requested JSON is printed all the same: it is the result."""


@dataclass(frozen=True)
class Terminal:
    """One invocation of the program."""

    redactor: Redactor = field(default_factory=Redactor)
    verbosity: Verbosity = Verbosity.NORMAL

    @property
    def screen(self) -> Screen:
        """Standard output."""
        return Screen(sys.stdout)

    def show(self, report: AnyReport, render: Callable[[AnyReport, Screen], None], *, is_json: bool) -> None:
        """Print a report for a person, or as JSON."""
        if is_json:
            self.screen.line(report.model_dump_json(indent=2))
        else:
            render(report, self.screen)

    def show_result(self, result: AnyResult, render: Callable[[AnyResult, Screen], None], *, is_json: bool) -> int:
        """Print a result; returns its exit code. In quiet mode, print only the bad part of it."""
        if is_json or self.verbosity is Verbosity.NORMAL:
            self.show(result, render, is_json=is_json)
        elif result.exit_code:
            render(result.only_bad(), self.screen)
        return result.exit_code

    def say(self, text: str) -> None:
        """Print a line of a command without a report, unless quiet."""
        if self.verbosity is Verbosity.NORMAL:
            self.screen.line(text)

    def say_next(self, *steps: NextStep) -> None:
        """Print what to type next, unless quiet."""
        from statekeeper.cli.render import show_next

        if self.verbosity is Verbosity.NORMAL:
            show_next(steps, self.screen)

    @contextmanager
    def reporter(
        self, *, log_format: LogFormat = LogFormat.HUMAN, is_live: bool = False
    ) -> Iterator[tuple[RedactingFilter, Reporter]]:
        """The log and the reporter on standard error: a live display on a terminal, else log lines."""
        from statekeeper.cli.progress import StandardError, live_or_log

        is_quiet = self.verbosity is Verbosity.QUIET
        level = logging.ERROR if is_quiet else logging.INFO
        log = set_up_logging(StandardError(), log_format=log_format, redactor=self.redactor, level=level)
        is_display = is_live and not is_quiet and log_format is LogFormat.HUMAN and sys.stderr.isatty()
        with live_or_log(sys.stderr, is_live=is_display) as reporter:
            yield log, reporter

    @contextmanager
    def extractor(
        self,
        request: RunRequest,
        *,
        log_format: LogFormat = LogFormat.HUMAN,
        is_live: bool = False,
        has_workers: bool = True,
        has_one_run: bool = True,
        unset: Unset = Unset.REFUSE,
    ) -> Iterator[StatefulDataExtractor]:
        """The extractor of a run, with its log and its display on standard error.

        With `Unset.LEAVE` it works without the sources' logins, for whatever needs no source.

        This process and the server that workers are forked from import their modules in parallel.
        """
        from statekeeper.config.loader import load_pipeline
        from statekeeper.engines.spawning import start_fork_server
        from statekeeper.run.work_modules import work_modules

        with self.reporter(log_format=log_format, is_live=is_live) as (log, reporter):
            choices = dataclasses.replace(request.choices, reporter=reporter)
            tables_path = Path(choices.tables_path) if choices.tables_path else None
            pipeline = load_pipeline(request.config, environ=os.environ, tables_path=tables_path, unset=unset)
            self.redactor.add(secret_values(pipeline))
            if has_workers:
                start_fork_server(work_modules(source.type_name() for source in pipeline.sources.values()))
            extractor = _class_for(request).of_pipeline(pipeline, request.config, choices)
            log.run = extractor.identity.run_id if has_one_run else None
            yield extractor


def _class_for(request: RunRequest) -> type[StatefulDataExtractor]:
    if request.is_databricks:
        from statekeeper.databricks.api import StatefulDatabricksDataExtractor

        return StatefulDatabricksDataExtractor
    from statekeeper.api import StatefulDataExtractor

    return StatefulDataExtractor
