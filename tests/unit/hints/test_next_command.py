"""The command to type next: what it says, and that it is typed as it stands."""

from __future__ import annotations

import shlex
from datetime import date
from pathlib import Path

import pytest

from statekeeper.hints.next_command import RunCommands, quoted

DAY = date(2026, 1, 6)


def _commands(
    config: str | None = "/home/ann/shop.yml", *, run_id: str = "shop-20260106", tables: str | None = None
) -> RunCommands:
    return RunCommands.of(
        pipeline="shop",
        extraction_date=DAY,
        run_id=run_id,
        config_path=Path(config) if config else None,
        tables_path=Path(tables) if tables else None,
        working_folder=Path("/home/ann"),
    )


def test_run_with_the_default_id_is_named_by_its_date():
    commands = _commands()
    assert commands.run() == "statekeeper run shop.yml --date 2026-01-06"
    assert commands.resume() == "statekeeper resume shop.yml --date 2026-01-06"
    assert commands.status() == "statekeeper status shop.yml --date 2026-01-06"
    assert commands.watch() == "statekeeper status shop.yml --date 2026-01-06 --watch"
    assert commands.verify() == "statekeeper verify shop.yml --date 2026-01-06"
    assert commands.reset() == "statekeeper reset shop.yml --date 2026-01-06 --failed"
    assert commands.reset(table="shop.orders") == "statekeeper reset shop.yml --date 2026-01-06 --table shop.orders"
    assert commands.force() == "statekeeper run shop.yml --date 2026-01-06 --force-reprocess"
    forced = "statekeeper run shop.yml --date 2026-01-06 --table shop.orders --force-reprocess"
    assert commands.force(table="shop.orders") == forced


def test_run_with_an_id_of_its_own_is_named_by_it():
    commands = _commands(run_id="again")
    assert commands.run() == "statekeeper run shop.yml --date 2026-01-06 --run-id again"
    assert commands.resume() == "statekeeper resume shop.yml --run-id again"


def test_tables_of_a_file_of_their_own_are_named_where_a_run_is_begun():
    commands = _commands(tables="/home/ann/some/tables.json")
    assert commands.run() == "statekeeper run shop.yml --tables some/tables.json --date 2026-01-06"
    assert commands.resume() == "statekeeper resume shop.yml --date 2026-01-06"


@pytest.mark.parametrize(
    ("config", "typed"),
    [
        ("/home/ann/configs/shop.yml", "configs/shop.yml"),
        ("/elsewhere/shop.yml", "/elsewhere/shop.yml"),
        ("/home/ann/-shop.yml", "./-shop.yml"),
        ("/home/ann/my shop's $HOME.yml", "my shop's $HOME.yml"),
    ],
)
def test_config_is_named_as_it_can_be_typed_in_the_working_folder(config, typed):
    assert shlex.split(_commands(config).status())[2] == typed


def test_names_that_look_like_options_or_have_blanks_are_typed_safely():
    commands = _commands(run_id="--run me")
    assert shlex.split(commands.resume())[-1] == "--run-id=--run me"
    assert shlex.split(commands.force(table="shop.two words"))[-3:] == [
        "--table",
        "shop.two words",
        "--force-reprocess",
    ]


def test_run_of_python_has_no_command_but_a_way():
    commands = _commands(None)
    assert "force_reprocess=True for shop.orders" in commands.force(table="shop.orders")
    for way in (commands.run(), commands.resume(), commands.verify(), commands.reset(), commands.force()):
        assert "statekeeper" not in way
        assert quoted(way) == way
    assert commands.status() == "statekeeper status --date 2026-01-06"


def test_command_stands_in_backticks_in_a_sentence():
    assert quoted(_commands().resume()) == "`statekeeper resume shop.yml --date 2026-01-06`"
