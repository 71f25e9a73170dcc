"""What the documents say is so: every command and key is in them, and nothing that is not there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from statekeeper.cli.app import app
from statekeeper.lifecycle import mermaid

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs/configuration.md").read_text()


def test_the_readme_names_every_command():
    table = README[README.index("## Commands") : README.index("## Python")]
    named = set(re.findall(r"^\| `(\w+)", table, re.MULTILINE))
    assert named == set(app.commands)


def test_the_readme_names_every_command_of_schemas():
    assert set(re.findall(r"^\| `schemas (\w+)", README, re.MULTILINE)) == set(app.commands["schemas"].commands)


COMMANDS = {**app.commands, **{f"schemas {name}": each for name, each in app.commands["schemas"].commands.items()}}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_says_what_it_does(name):
    command = COMMANDS[name]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_the_reference_has_every_key_of_the_configuration():
    schema = json.loads((ROOT / "schemas/json/config.json").read_text())
    keys = set(schema["properties"])
    for definition in schema["$defs"].values():
        keys |= set(definition.get("properties", {}))
    assert [key for key in sorted(keys) if f"`{key}" not in REFERENCE and f".{key}`" not in REFERENCE] == []


def test_the_readmes_diagram_is_the_transition_table():
    def arrows(text):
        found = re.findall(r"^\s*(\S+) --> (\S+)(?:: (.*))?$", text, re.MULTILINE)
        return {(source.lower(), dest.lower(), label.strip()) for source, dest, label in found}

    diagram = README[README.index("stateDiagram-v2") : README.index("(`statekeeper graph`")]
    assert arrows(diagram) == arrows(mermaid())
