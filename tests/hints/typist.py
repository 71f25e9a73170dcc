"""A person at a terminal: runs a command line in this process, and types what the last one said.

The commands are the real ones, down to the exit code; the work of a run is done in this process and not in workers.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from statekeeper.cli import app, data_extractor
from statekeeper.engines.inline import InlineEngine

_IN_BACKTICKS = re.compile(r"`((?:statekeeper|data-extractor) [^`]*)`")
_NEXT = re.compile(r"^next(?:, [^:]*)?: (statekeeper .*)$", re.MULTILINE)
_PROGRAMS = {"statekeeper": app.run_command, "data-extractor": data_extractor.run_command}
CONFIG = """\
pipeline: shop
sources:
  shop: {type: duckdb, path: shop.duckdb}
output: {base_path: data}
defaults:
  retry: {attempts: 1}
tables:
"""


@dataclass(frozen=True)
class Said:
    """What a command printed on both streams, and its exit code."""

    code: int
    text: str

    @property
    def words(self) -> str:
        """The text in one line."""
        return " ".join(self.text.split())

    @property
    def commands(self) -> list[str]:
        """The commands in backticks, in order."""
        return _IN_BACKTICKS.findall(self.words)

    @property
    def next(self) -> list[str]:
        """The commands that come next, in order."""
        return [found.strip() for found in _NEXT.findall(self.text)]

    def command(self, *holds: str) -> str:
        """The one command, in backticks or named as next, that holds these words."""
        found = {each for each in (*self.commands, *self.next) if all(word in each for word in holds)}
        assert len(found) == 1, (holds, self.text)
        return found.pop()


@dataclass(frozen=True)
class Typist:
    """In `folder` is `shop.duckdb`, and the configs that are written there."""

    folder: Path
    capsys: pytest.CaptureFixture[str] = field(repr=False)

    def type(self, line: str) -> Said:
        """Run a command line as it stands."""
        program, *arguments = shlex.split(line)
        self.capsys.readouterr()
        code = _PROGRAMS[program](arguments)
        captured = self.capsys.readouterr()
        return Said(code, captured.out + captured.err)

    def succeeds(self, line: str) -> Said:
        """The same, which must end with 0."""
        said = self.type(line)
        assert said.code == 0, (line, said.text)
        return said

    def write(self, text: str, name: str = "shop.yml") -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def sql(self, *statements: str) -> None:
        with duckdb.connect(self.folder / "shop.duckdb") as connection:
            for statement in statements:
                connection.execute(statement)

    def states(self, line: str = "statekeeper status --json") -> dict[str, str]:
        """The state of each table, by its name."""
        document: dict[str, Any] = json.loads(self.succeeds(line).text)
        return {table["table_name"]: table["state"] for table in document["tables"]}


def inline_engine(*_given: object, **_more: object) -> InlineEngine:
    """The engine of this process."""
    return InlineEngine(memory_limit="100MB")
