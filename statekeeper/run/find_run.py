"""Finds the run that a command means: the run it names, the newest of its configuration, or the folder's last run."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from statekeeper.config.reading.text_file import WRITE_ONE
from statekeeper.config.root import expanded, folders_above
from statekeeper.config.sections.stores import is_object_store
from statekeeper.errors import ConfigError, StatekeeperError, UnreadableDocument, UsageError
from statekeeper.hints.next_command import command, quoted
from statekeeper.model.manifest import BackfillRange, LastRun, RunManifest, run_id_of
from statekeeper.store import layout
from statekeeper.store.files.disk import Disk
from statekeeper.store.files.slots import read_document
from statekeeper.store.registry import reading_disk

if TYPE_CHECKING:
    from statekeeper.config.identity import ConfigIdentity
    from statekeeper.config.resolved import Pipeline

_MAX_RUNS_NAMED = 5


@dataclass(frozen=True)
class RunLocation:
    """Where a run's manifest is: `<base_path>/_runs/<run_id>.json`."""

    base_path: Path
    run_id: str


def find_run(
    cwd: Path,
    *,
    config: ConfigIdentity | None,
    base_path: Path | None,
    day: date | None = None,
    run_id: str | None = None,
) -> RunLocation:
    """The run that a command means.

    Without a config it is the run that was last started in the root of `cwd`; after a backfill, that of the newest date
    which it has begun. With a config, whose base path the caller
    passes, it is the newest run of that config. With `day` it is the run of that extraction date: the one with the
    default run id, else the newest. `run_id` names any run under the same base path.

    Raises:
        UsageError: there is no such run.
    """
    known, path = None, config.path if config else None
    if base_path is None:
        last = last_run(cwd)
        if last is None:
            raise UsageError(
                f"no run is known here: there is no {layout.LAST_RUN} in {cwd} or above it",
                hint=f"name its config; {WRITE_ONE}",
            )
        base_path = cwd / last.base_path
        known = (
            last.run_id if last.backfill is None or run_id or day else _newest_date_of(last.backfill, last, base_path)
        )
        path = Path(last.config_path) if last.config_path else None
        if day is not None and path is not None:
            from statekeeper.config.identity import ConfigIdentity

            config = ConfigIdentity.of(path, environ=os.environ)
    if known is None or day is not None:
        known = _newest_run(base_path, config, day)
    wanted = run_id or known
    if wanted is None:
        of = f"run of {day}" if day else "run"
        raise UsageError(f"{path or cwd} has no {of} under {base_path}", hint=_run_first(path, day))
    if not reading_disk(base_path).exists(layout.manifest_file(base_path, wanted)):
        others = [path.stem for path in _manifests(base_path)[:_MAX_RUNS_NAMED]]
        named = (str(path),) if path else ()
        shown = quoted(command("status", *named, "--run-id", *others[:1]))
        known_ones = f"the newest there: {', '.join(others)}; {shown}"
        raise UsageError(
            f"there is no run {wanted!r} under {base_path}", hint=known_ones if others else _run_first(path, day)
        )
    if run_id is not None and day is not None and (of := read_manifest(base_path, run_id).extraction_date) != f"{day}":
        raise UsageError(f"the run {run_id!r} is for {of}, not for {day}", hint="leave out --date, or --run-id")
    return RunLocation(base_path=base_path, run_id=wanted)


def _newest_date_of(backfill: BackfillRange, last: LastRun, base_path: Path) -> str:
    """The run of the newest date that a backfill has begun: a date has its manifest from its turn on.

    Raises:
        UsageError: it was killed before it began one.
    """
    disk = reading_disk(base_path)
    for _, run_id in reversed(last.dated_runs):
        if disk.exists(layout.manifest_file(base_path, run_id)):
            return run_id
    raise UsageError(
        f"the backfill from {backfill.first} to {backfill.last} has begun no date yet",
        hint=f"{quoted(command('resume'))} begins it",
    )


def _run_first(config: Path | None, day: date | None) -> str:
    if config is None:
        return "the runs there were started from Python: repeat the call"
    return f"run {quoted(command('run', str(config), *(('--date', day.isoformat()) if day else ())))} first"


def require_output_of_earlier_runs(pipeline: Pipeline, config: Path, cwd: Path) -> None:
    """Refuse a config whose runs are where version 0.1 started relative paths: under the working directory.

    With another root, everything would be extracted again.

    Raises:
        ConfigError: its paths start elsewhere now, and the config does not set a root.
    """
    former, present = cwd / expanded(pipeline.written_output.base_path), pipeline.base_path.absolute()
    if pipeline.is_root_named or former == present or not _has_run_of(config, former):
        return
    there, here = (os.path.relpath(folder, config.resolve().parent) for folder in (cwd, pipeline.root))
    raise ConfigError(
        f"{config}: its earlier runs are in {former}, but its relative paths start at {pipeline.root} now: everything "
        f"would be extracted again to {present}",
        hint=f"write `root: {there}` into it to continue them, or `root: {here}` to extract everything again",
    )


def _has_run_of(config: Path, base_path: Path) -> bool:
    for path in _manifests(base_path):
        try:
            manifest = RunManifest.from_bytes(read_document(reading_disk(path), path), where=str(path))
        except (OSError, UnreadableDocument):
            continue
        if manifest.config_path is not None and Path(manifest.config_path).resolve() == config.resolve():
            return True
    return False


def last_run(cwd: Path) -> LastRun | None:
    """The run that was last started in the nearest root, from `cwd` upward; None if there is none.

    Raises:
        UsageError: the file that names it cannot be read.
    """
    for folder in folders_above(cwd):
        path = folder / layout.LAST_RUN
        try:
            last = LastRun.model_validate_json(read_document(reading_disk(path), path))
        except FileNotFoundError:
            continue
        except (OSError, ValidationError) as error:
            raise UsageError(f"{path} cannot be read", hint=f"remove it and name a config; {error}") from error
        if last.config_path is not None and is_object_store(Path(last.base_path)):
            from statekeeper.config.outline import base_path_of  # not for output in folders: it loads configurations

            # Its configuration says how to reach the store; if it is gone, the environment does.
            with suppress(StatekeeperError):
                base_path_of(cwd / last.config_path, environ=os.environ)
        return last
    return None


def read_manifest(base_path: Path, run_id: str) -> RunManifest:
    """The manifest of a run. Raises UsageError if there is none, StateDamaged if it is damaged."""
    path = layout.manifest_file(base_path, run_id)
    try:
        return RunManifest.from_bytes(read_document(reading_disk(path), path), where=str(path))
    except OSError as error:
        raise UsageError(f"the run {run_id!r} cannot be read: {error}") from error


def _newest_run(base_path: Path, config: ConfigIdentity | None, day: date | None) -> str | None:
    """The newest run of a config (None: of Python); with `day`, preferably the run of that day with the default id."""
    newest: str | None = None
    for path in _manifests(base_path):
        try:
            manifest = RunManifest.from_bytes(read_document(reading_disk(path), path), where=str(path))
        except (OSError, UnreadableDocument):
            continue  # --run-id can name it, and then the error says what is wrong with it
        matches = manifest.config_path is None if config is None else config.owns(manifest)
        if not matches or (day and manifest.extraction_date != day.isoformat()):
            continue
        newest = newest or manifest.run_id
        if day is None or manifest.run_id == run_id_of(manifest.pipeline, day):
            return manifest.run_id
    return newest


def _manifests(base_path: Path) -> list[Path]:
    """The manifests under a base path, the newest file first; of the same second, which is all that an object store
    tells, the one with the later name: a date's, after a backfill.
    """
    disk, folder = reading_disk(base_path), layout.runs_folder(base_path)
    names: list[str] = []
    with suppress(OSError):
        names = disk.names(folder)
    paths = [folder / name for name in names if name.endswith(".json") and not name.startswith(".")]
    return sorted(paths, key=lambda path: (_written(disk, path), path.name), reverse=True)


def _written(disk: Disk, path: Path) -> float:
    try:
        return disk.changed_at(path)
    except FileNotFoundError:
        return 0.0
