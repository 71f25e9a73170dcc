"""The run's manifest when a process starts to work on the run, and when it ends.

Decides which tables a run has. Each start adds its tables to those of earlier starts, since several processes may each
extract some tables of one run. A table is left out only if the list that it came from, the config's or that of a
`--tables` file, no longer has it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from statekeeper import __version__
from statekeeper.config.identity import Claim, ConfigIdentity, is_abandoned
from statekeeper.config.resolved import Pipeline
from statekeeper.errors import UsageError, worst_exit_code
from statekeeper.hints.next_command import RunCommands, quoted
from statekeeper.model.job_run import JobRun
from statekeeper.model.manifest import RunManifest, RunProcess, TableList
from statekeeper.model.state import Owner
from statekeeper.model.table import TableRef
from statekeeper.store.place import require_layout
from statekeeper.store.registry import reading_disk


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """One start of a run: its tables, its files, its process. `is_gone` tells whether a process has ended."""

    pipeline: Pipeline
    run_id: str
    extraction_date: date
    config_path: str | None
    tables_path: str | None
    tables: frozenset[TableRef]
    owner: Owner
    at: datetime
    commands: RunCommands
    is_gone: Callable[[Owner], bool]
    engine: str
    job_run: JobRun | None = None

    def begun(self, earlier: RunManifest | None) -> RunManifest:
        """The manifest with this start.

        Raises:
            UsageError: the run belongs to another config, or has another layout.
        """
        require_layout(reading_disk(self.pipeline.base_path), self.pipeline.output, earlier)
        claim = self._claim(earlier)
        lists = self._lists(earlier)
        tables = self._tables(earlier, lists)
        others = self._others(earlier)
        first = RunManifest(
            run_id=self.run_id,
            pipeline=self.pipeline.name,
            extraction_date=self.extraction_date.isoformat(),
            config_path=self.config_path,
            tables_path=self.tables_path,
            config_fingerprint=self.pipeline.fingerprint,
            base_path=str(self.pipeline.base_path),
            layout=self.pipeline.output.layout,
            engine=self.engine,
            statekeeper_version=__version__,
            tables=tables,
            started_at=self.at,
            lists=lists,
            processes=(RunProcess(owner=self.owner, since=self.at),),
            job_run=self.job_run,
        )
        if earlier is None:
            return first
        has = set(tables)
        own = ("layout", "engine", "statekeeper_version", "tables", "lists", "job_run")
        changes = {name: getattr(first, name) for name in own}
        if self.config_path is not None:  # a Python call that joins a config's run does not take it over
            files = ["tables_path", "config_fingerprint", "base_path", "pipeline"]
            files += [] if claim is Claim.COPY else ["config_path"]
            changes |= {name: getattr(first, name) for name in files}
        return earlier.model_copy(
            update={
                **changes,
                "started_at": min((process.since for process in others), default=self.at),
                "ended_at": None,
                "exit_code": earlier.exit_code if others else None,
                "failures": tuple(found for found in earlier.failures if found.table in has),
                "processes": (*others, *first.processes),
            }
        )

    def ended(self, latest: RunManifest | None, *, at: datetime, exit_code: int) -> RunManifest:
        """The manifest without this process; the last active process ends the run."""
        manifest = latest or self.begun(None)
        others = self._others(manifest)
        return manifest.model_copy(
            update={
                "processes": others,
                "ended_at": None if others else at,
                "exit_code": worst_exit_code((exit_code, manifest.exit_code or 0)),
            }
        )

    def _claim(self, earlier: RunManifest | None) -> Claim:
        if earlier is None or self.config_path is None:
            return Claim.NONE
        mine = ConfigIdentity(Path(self.config_path), self.pipeline.name, self.pipeline.fingerprint)
        claim = mine.claim(earlier)
        if claim is not Claim.NONE or is_abandoned(earlier, self.pipeline.base_path, environ=os.environ):
            return claim
        suffix = hashlib.sha256(str(mine.path.resolve()).encode()).hexdigest()[:6]
        commands = replace(self.commands, run_id=f"{self.run_id}-{suffix}")
        raise UsageError(
            f"{self.config_path} and {earlier.config_path} have the same pipeline name and base_path: "
            f"the run {self.run_id} under {earlier.base_path} belongs to {earlier.config_path}",
            hint="give one of the two another `pipeline:` or `base_path:`, or this run its own id: "
            f"{quoted(commands.run())}",
        )

    def _others(self, manifest: RunManifest | None) -> tuple[RunProcess, ...]:
        mine = (self.owner, self.at)
        known = manifest.processes if manifest else ()
        return tuple(each for each in known if (each.owner, each.since) != mine and not self.is_gone(each.owner))

    def _lists(self, earlier: RunManifest | None) -> tuple[TableList, ...]:
        before = earlier.lists if earlier else ()
        if self.config_path is None:
            return before
        mine = TableList(tables_path=self.tables_path, tables=tuple(config.table for config in self.pipeline.tables))
        return (*(other for other in before if not self._is_mine(other) and _exists(other.tables_path)), mine)

    def _tables(self, earlier: RunManifest | None, lists: tuple[TableList, ...]) -> tuple[TableRef, ...]:
        before = dict.fromkeys(earlier.tables if earlier else ())
        listed = {table for each in lists for table in each.tables}
        gone = self._listed_before(earlier) - listed
        ours = dict.fromkeys(config.table for config in self.pipeline.tables)
        wanted = {*self.tables, *before}
        return (
            *(table for table in before if table not in ours and table not in gone),
            *(table for table in ours if table in wanted),
        )

    def _listed_before(self, earlier: RunManifest | None) -> set[TableRef]:
        if earlier is None or self.config_path is None:
            return set()
        if not earlier.lists:  # from Python, or from a version without lists: then its tables are this config's
            return set(earlier.tables) if earlier.config_path is not None else set()
        return set(earlier.listed)

    def _is_mine(self, other: TableList) -> bool:
        if other.tables_path is None or self.tables_path is None:
            return other.tables_path == self.tables_path
        return Path(other.tables_path).resolve() == Path(self.tables_path).resolve()


def _exists(tables_path: str | None) -> bool:
    return tables_path is None or Path(tables_path).exists()
