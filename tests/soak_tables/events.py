"""The events between two commands. Each event returns the tables that it affected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from .expectation import Table
from .world import World


def rows_change(world: World) -> list[Table]:
    world.version += 1
    return _with_sources(world, version=world.version, rows=world.dice.choice((0, 5, 300, 2500, 7000)), bad=0)


def rows_break_the_schema(world: World) -> list[Table]:
    world.version += 1
    tables = _with_sources(world, version=world.version, rows=world.dice.choice((1, 40, 5000)))
    return _with_sources(world, tables, bad=world.dice.choice((1, 1, 40)))


def columns_appear(world: World) -> list[Table]:
    return _with_sources(world, has_new_column=True)


def tables_disappear(world: World) -> list[Table]:
    return _with_sources(world, exists=False)


def sources_are_mended(world: World) -> list[Table]:
    spoiled = [
        table
        for table in world.tables.values()
        if table.source.bad or table.source.has_new_column or not table.source.exists
    ]
    world.version += 1
    return _with_sources(world, spoiled, version=world.version, bad=0, has_new_column=False, exists=True)


def files_are_damaged(world: World) -> list[Table]:
    whole = [table for table in world.configured if table.state == "complete" and table.damage == "none"]
    tables = world.some(whole)
    for table in tables:
        _damage(world, table)
    return tables


def states_are_torn(world: World) -> list[Table]:
    known = [table for table in world.configured if table.damage == "none" and world.document(table, "state").exists()]
    tables = world.some(known, most=2)
    for table in tables:
        _tear_state(world, table)
    return tables


def rules_are_tightened(world: World) -> list[Table]:
    tables = world.some(world.configured)
    for table in tables:
        table.rule -= 1
    world.write_config()
    return tables


def tables_come_and_go(world: World) -> list[Table]:
    tables = world.some(world.tables.values(), most=2)
    for table in tables:
        table.is_configured = not table.is_configured
    world.write_config()
    return tables


EVENTS: list[Callable[[World], list[Table]]] = [
    rows_change,
    rows_break_the_schema,
    columns_appear,
    tables_disappear,
    sources_are_mended,
    files_are_damaged,
    states_are_torn,
    rules_are_tightened,
    tables_come_and_go,
]


def _with_sources(world: World, tables: list[Table] | None = None, **changes: int) -> list[Table]:
    """Some tables, whose sources have changed."""
    changed = world.some(world.tables.values()) if tables is None else tables
    for table in changed:
        source = replace(table.source, **changes)
        table.source = replace(source, bad=min(source.bad, source.rows))
    world.write_source(changed)
    return changed


def _damage(world: World, table: Table) -> None:
    """Damage the published data of a complete table, so that `verify` must find it."""
    files = world.dataset_files(table)
    kinds: list[Callable[[], object]] = [world.document(table, "metadata").unlink]
    if files:
        file = world.dice.choice(files)
        kinds += [file.unlink, lambda: file.write_bytes(file.read_bytes()[:-1])]
        if table.verify == "full":
            kinds.append(lambda: _flip_a_byte(file))
    world.dice.choice(kinds)()
    table.damage = "data"


def _tear_state(world: World, table: Table) -> None:
    """Spoil a table's state file."""
    path = world.document(table, "state")
    content = path.read_bytes()
    spoiled = world.dice.choice((b"", content[: len(content) // 2], b'{"x": "\\ud800"}', b"[" * 100_000, b"\xff\xfe"))
    path.write_bytes(spoiled)
    table.damage = "state"


def _flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x01
    file.write_bytes(content)
