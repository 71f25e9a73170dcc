"""The exact command to type next for a run, for hints and for the last line of a command's output.

Decides how the command line names a run: its config relative to the working directory, its date, and its run id if
that is not the default. A run started in Python without a config has no command; its hint says what to do in Python.
Pure: the callers choose the command.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Self

from statekeeper.model.manifest import RunManifest, run_id_of

_PROGRAM = "statekeeper"


@dataclass(frozen=True, kw_only=True)
class RunCommands:
    """The commands for one run. `run_id` is None if it is the default; `config` is None for a run in Python."""

    config: str | None
    tables_file: str | None
    extraction_date: date
    run_id: str | None

    @classmethod
    def of(
        cls,
        *,
        pipeline: str,
        extraction_date: date,
        run_id: str,
        config_path: Path | None,
        tables_path: Path | None,
        working_folder: Path,
    ) -> Self:
        """The commands as typed in `working_folder`; the paths are absolute."""
        return cls(
            config=_typed(config_path, working_folder) if config_path else None,
            tables_file=_typed(tables_path, working_folder) if tables_path else None,
            extraction_date=extraction_date,
            run_id=None if run_id == run_id_of(pipeline, extraction_date) else run_id,
        )

    @classmethod
    def of_manifest(cls, manifest: RunManifest, tables_path: str | None, working_folder: Path) -> Self:
        """The commands for a run on disk and a list of its tables, as typed in `working_folder`."""
        return cls.of(
            pipeline=manifest.pipeline,
            extraction_date=date.fromisoformat(manifest.extraction_date),
            run_id=manifest.run_id,
            config_path=Path(manifest.config_path) if manifest.config_path else None,
            tables_path=Path(tables_path) if tables_path else None,
            working_folder=working_folder,
        )

    def of_extraction(self, extraction_date: date, run_id: str, *, pipeline: str) -> Self:
        """The commands for the run of another extraction of the same pipeline."""
        is_default = run_id == run_id_of(pipeline, extraction_date)
        return replace(self, extraction_date=extraction_date, run_id=None if is_default else run_id)

    def run(self, *, table: str | None = None) -> str:
        """Extracts what is not complete: the whole config, or one table."""
        if self.config is None:
            return "repeat the same call or command"
        return command("run", self.config, *self._tables_option, *self._new_run, *_table_option(table))

    def run_chosen(self, tables: Sequence[str], exclude: Sequence[str], *, is_forced: bool = False) -> str:
        """Extracts the tables that names and patterns select; complete ones again only if `is_forced`."""
        if self.config is None:
            return self.force() if is_forced else self.run()
        forced = ("--force-reprocess",) if is_forced else ()
        options = (*self._tables_option, *self._new_run, *chosen(tables, exclude), *forced)
        return command("run", self.config, *options)

    def force(self, *, table: str | None = None) -> str:
        """Extracts again what is complete: everything, or one table."""
        if self.config is None:
            of = f"for {table}" if table else "for all tables of the run at once"
            return f"repeat the same call with force_reprocess=True {of}"
        options = (*self._tables_option, *self._new_run, *_table_option(table))
        return command("run", self.config, *options, "--force-reprocess")

    def backfill(self, first: date, last: date, tables: Sequence[str] = (), exclude: Sequence[str] = ()) -> str:
        """Extracts every date of a range that is not complete."""
        if self.config is None:
            return "repeat the same call"
        dates = ("--from", first.isoformat(), "--to", last.isoformat())
        return command("backfill", self.config, *self._tables_option, *dates, *chosen(tables, exclude))

    def resume(self) -> str:
        """Continues what is not complete."""
        return self._again("resume", in_python="repeat the same call or command")

    def resume_stale(self) -> str:
        """The same, and extracts complete tables again whose configuration changed since."""
        return self._again("resume", "--stale", in_python="call run(), or resume(stale=True)")

    def verify(self) -> str:
        """Checks what is published."""
        return self._again("verify", in_python="repeat the same call or command: it verifies what is complete")

    def status(self) -> str:
        """Shows the run's status."""
        if self.config is None:
            return command("status", *self._known_run)
        return self._again("status", in_python="")

    def watch(self) -> str:
        """Shows the run's status repeatedly while it is running."""
        return f"{self.status()} --watch"

    def reset(self, *, table: str | None = None) -> str:
        """Resets one table, or every failed table, so that it starts over."""
        if self.config is None:
            return self.force(table=table)
        return command("reset", self.config, *self._known_run, *(_table_option(table) or ("--failed",)))

    def _again(self, name: str, *options: str, in_python: str) -> str:
        return in_python if self.config is None else command(name, self.config, *self._known_run, *options)

    @property
    def _tables_option(self) -> tuple[str, ...]:
        return _option("--tables", self.tables_file) if self.tables_file else ()

    @property
    def _new_run(self) -> tuple[str, ...]:
        """The options for a run that may not be on disk yet."""
        return ("--date", self.extraction_date.isoformat(), *(_option("--run-id", self.run_id) if self.run_id else ()))

    @property
    def _known_run(self) -> tuple[str, ...]:
        """The options for a run that is on disk."""
        return _option("--run-id", self.run_id) if self.run_id else ("--date", self.extraction_date.isoformat())


def chosen(tables: Sequence[str], exclude: Sequence[str] = ()) -> tuple[str, ...]:
    """The options that select tables by names and patterns."""
    options = [*(_option("--table", name) for name in tables), *(_option("--exclude", name) for name in exclude)]
    return tuple(chain.from_iterable(options))


def command(*words: str) -> str:
    """A command line of this program, quoted for a shell."""
    return shlex.join((_PROGRAM, *words))


def quoted(typed: str) -> str:
    """A command in backticks, for use in a sentence; an instruction for Python is unchanged."""
    return f"`{typed}`" if typed.startswith(f"{_PROGRAM} ") else typed


def _typed(path: Path, working_folder: Path) -> str:
    """A path as typed in `working_folder`, so that it is not taken for an option."""
    typed = str(path.relative_to(working_folder)) if path.is_relative_to(working_folder) else str(path)
    return f"./{typed}" if typed.startswith("-") else typed


def _table_option(table: str | None) -> tuple[str, ...]:
    return _option("--table", table) if table else ()


def _option(name: str, value: str) -> tuple[str, ...]:
    return (f"{name}={value}",) if value.startswith("-") else (name, value)
