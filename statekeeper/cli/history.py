"""`statekeeper history`: every extraction of a table, and what they cover of its incremental column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from statekeeper.cli import options
from statekeeper.cli.request import locate
from statekeeper.cli.screen import Column, Fit, Grid, Screen
from statekeeper.cli.terminal import Terminal
from statekeeper.config.selection import select
from statekeeper.errors import UsageError
from statekeeper.hints.next_command import RunCommands
from statekeeper.model.history import PastExtraction, TableHistory
from statekeeper.model.table import Position
from statekeeper.run.find_run import read_manifest
from statekeeper.text.amounts import count, moment, plural, size


@click.command()
@click.argument("table")
@click.argument("config", type=options.FILE, required=False)
@options.output
@click.make_pass_decorator(Terminal)
def history(terminal: Terminal, *, table: str, config: Path | None, is_json: bool) -> int:
    """Show each extraction of TABLE: date, state, rows and window; and which rows no extraction has. TABLE is a name as
    in --table. Without CONFIG: the config of the last run of this directory.
    """
    from statekeeper.run.table_history import read_history

    found = locate(config, None, None)
    manifest = read_manifest(found.base_path, found.run_id)
    known = tuple(dict.fromkeys((*manifest.tables, *manifest.listed)))
    chosen = select(known, (table,), exclude=(), names_of=lambda each: (each.key, *each.names))
    if len(chosen) > 1:
        raise UsageError(
            f"{table!r} names {plural(len(chosen), 'table')}: {', '.join(each.key for each in chosen)}",
            hint="name one of them",
        )
    commands = RunCommands.of_manifest(manifest, manifest.tables_path, Path.cwd())
    shown = read_history(
        found.base_path, chosen[0], layout=manifest.layout, pipeline=manifest.pipeline, commands=commands
    )
    terminal.show(shown, show_history, is_json=is_json)
    return 0


def show_history(history: TableHistory, screen: Screen) -> None:
    """Show a table's extractions by date, with holes between their windows as rows of their own."""
    has_windows = any(each.end is not None for each in history.extractions)
    windows = (Column("from"), Column("to before")) if has_windows else ()
    columns = (
        Column("date"),
        Column("state"),
        Column("rows", "right"),
        Column("size", "right"),
        *windows,
        Column("run", fit=Fit.SHORTEN),
        Column("note", fit=Fit.DROP),
    )
    overlapping = {run_id: other for each in history.overlaps for run_id, other in _both(each.run_ids)}
    holes = {hole.end: hole for hole in history.holes}
    kept = tuple(each for each in history.extractions if each.state != "removed")
    rows: list[tuple[str, ...]] = [*_removed(history, has_windows=has_windows)]
    for each in kept:
        if each.start is not None and (hole := holes.pop(each.start, None)):
            rows.append(("", "hole", "", "", _start(hole.start), moment(hole.end), "", "in no extraction"))
        note = f"overlaps {overlapping[each.run_id]}" if each.run_id in overlapping else ""
        rows.append(_row(each, note, has_windows=has_windows))
    screen.grid(Grid(columns, tuple(rows)))
    screen.line()
    screen.line(f"{history.table.key}: {plural(len(kept), 'extraction')}{_covered(history)}")
    for remark in history.remarks:
        screen.line(remark)


def _both(run_ids: tuple[str, str]) -> tuple[tuple[str, str], tuple[str, str]]:
    return run_ids, (run_ids[1], run_ids[0])


def _removed(history: TableHistory, *, has_windows: bool) -> Iterator[tuple[str, ...]]:
    """One row for all extractions whose files were removed from the old end, of which there may be thousands."""
    removed = [each for each in history.extractions if each.state == "removed"]
    if removed:
        last = removed[-1]
        window = (_start(removed[0].start), moment(last.end)) if has_windows else ()
        yield (f"to {last.extraction_date}", "removed", "", "", *window, "", plural(len(removed), "extraction"))


def _row(each: PastExtraction, note: str, *, has_windows: bool) -> tuple[str, ...]:
    window = (_start(each.start), moment(each.end)) if each.end is not None else ("", "") if has_windows else ()
    return (each.extraction_date, each.state, count(each.records), size(each.bytes), *window, each.run_id, note)


def _start(at: Position | None) -> str:
    return "the beginning" if at is None else moment(at)


def _covered(history: TableHistory) -> str:
    if history.covered_through is None:
        return ""
    return f"; every value of {history.incremental_column} before {moment(history.covered_through)} is covered"
