"""Which run a command line names: a new one of a config, or one on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from statekeeper.config.root import expanded
from statekeeper.errors import UsageError
from statekeeper.model.manifest import BackfillRange, LastRun
from statekeeper.run.find_run import RunLocation, find_run, last_run, read_manifest

if TYPE_CHECKING:  # `history` of the last run needs no configuration
    from statekeeper.run.choices import RunChoices


def _no_choices() -> RunChoices:
    from statekeeper.run.choices import RunChoices

    return RunChoices()


@dataclass(frozen=True)
class RunRequest:
    """A configuration, and a command line's choices for its run."""

    config: Path
    choices: RunChoices = field(default_factory=_no_choices)
    is_databricks: bool = False

    @classmethod
    def again(
        cls,
        config: Path | None,
        day: date | None,
        run_id: str | None,
        *,
        engine: str | None = None,
        workers: int | None = None,
        is_databricks: bool = False,
    ) -> RunRequest:
        """The request that started a run on disk: its config, its date, its file of tables.

        Raises:
            UsageError: there is no such run, or it was started in Python without a config.
        """
        from statekeeper.run.choices import RunChoices

        found = locate(config, day, run_id)
        manifest = read_manifest(found.base_path, found.run_id)
        known = config or (Path(manifest.config_path) if manifest.config_path else None)
        if known is None:
            raise UsageError(
                f"the run {found.run_id} was started in Python, without a config",
                hint="continue it in Python: run() again, or resume()",
            )
        choices = RunChoices(
            tables_path=manifest.tables_path,
            date=manifest.extraction_date,
            run_id=found.run_id,
            engine=engine,
            workers=workers,
        )
        return cls(known, choices, is_databricks=is_databricks)


@dataclass(frozen=True)
class LastBackfill:
    """The backfill that was last started in this directory, and the request that continues it."""

    last: LastRun
    asked: BackfillRange
    request: RunRequest


def last_backfill() -> LastBackfill | None:
    """None if something else was started last, or if it was started from Python without a config."""
    from statekeeper.run.choices import RunChoices

    last = last_run(Path.cwd())
    if last is None or last.backfill is None or last.config_path is None:
        return None
    asked = last.backfill
    choices = RunChoices(tables_path=asked.tables_path, date=asked.last)
    return LastBackfill(last, asked, RunRequest(Path(last.config_path), choices))


def locate(config: Path | None, day: date | None, run_id: str | None) -> RunLocation:
    """The run that CONFIG, --date and --run-id name; without them, the last run of this directory."""
    if config is None:
        return find_run(Path.cwd(), config=None, base_path=None, day=day, run_id=run_id)
    from statekeeper.config.identity import ConfigIdentity
    from statekeeper.config.outline import base_path_of

    base_path = base_path_of(config, environ=os.environ)
    identity = ConfigIdentity.of(Path(expanded(str(config))), environ=os.environ)
    return find_run(Path.cwd(), config=identity, base_path=base_path, day=day, run_id=run_id)
