"""What the program does before it imports its commands, in a process without the tests' own fork server."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

_PROGRAM = """
import json, sys
from statekeeper.cli.entry import start_early
start_early(sys.argv[1:])
from statekeeper.engines.spawning import fork_server
server = fork_server()
early = not {"click", "pydantic"} & set(sys.modules)
print(json.dumps([server.pid is not None, sorted(server._modules), early]))
"""


@pytest.fixture
def ask(tmp_path):
    def ask(*words):
        """Whether the fork server was started, and which sources it was told to import."""
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == ""
        is_started, modules, is_early = json.loads(done.stdout)
        assert is_early
        return is_started, [name.split(".")[2] for name in modules if name.startswith("statekeeper.sources.")]

    return ask


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("sources: {a: {type: duckdb}}", ["duckdb"]),
        ("sources: {a: {type: oracle}, b: {type: duckdb}}", ["duckdb", "oracle"]),
        ("sources: {a: {type: ${KIND}}}", []),
    ],
)
def test_the_server_is_started_with_what_the_config_mentions(ask, tmp_path, text, kinds):
    (tmp_path / "prod.yml").write_text(text)
    assert ask("run", "prod.yml") == (True, kinds)
    assert ask("resume", "--workers", "2", "prod.yml") == (True, kinds)


@pytest.mark.parametrize(
    "words", [[], ["status", "prod.yml"], ["run", "prod.yml", "--help"], ["run", "none.yml"], ["resume"]]
)
def test_no_server_is_started_where_none_may_be_needed(ask, tmp_path, words):
    (tmp_path / "prod.yml").write_text("sources: {a: {type: duckdb}}")
    assert ask(*words) == (False, [])


def test_what_is_no_text_and_what_can_be_read_only_once_is_left_alone(ask, tmp_path):
    (tmp_path / "prod.yml").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe.yml")
    assert ask("run", "prod.yml", "--tables-file", "pipe.yml") == (False, [])


def test_a_large_file_and_what_is_not_named_like_a_config_are_not_read(ask, tmp_path):
    with (tmp_path / "large.yml").open("wb") as file:
        file.truncate(256 << 20)
    (tmp_path / "orders").write_text("oracle")
    assert ask("run", "large.yml", "--table", "orders") == (False, [])
