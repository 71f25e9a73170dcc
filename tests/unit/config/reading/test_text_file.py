"""Files that a person names are regular, and small enough to have been written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from statekeeper.cli import app
from statekeeper.config.loader import load_pipeline
from statekeeper.config.outline import base_path_of
from statekeeper.config.reading.text_file import MAX_MEBIBYTES, read_text_file
from statekeeper.config.reading.yaml_text import read_json, read_yaml
from statekeeper.errors import ConfigError
from statekeeper.model.schema import SchemaRef
from statekeeper.schemas.model.load import load_model
from tests.messages import raises_message, text_of

CONFIG = "pipeline: p\nsources: {shop: {type: duckdb, path: shop.duckdb}}\n"
SOME_VALUES = "[" + ",".join("1" * 500_000) + "]"


@pytest.fixture
def strange(tmp_path: Path) -> dict[str, Path]:
    """What is no regular file, by what it is called."""
    os.mkfifo(tmp_path / "pipe.yml")
    return {"a device": Path("/dev/full"), "a pipe": tmp_path / "pipe.yml", "a folder": tmp_path}


class TestWhatIsNoFile:
    @pytest.mark.parametrize("kind", ["a device", "a pipe", "a folder"])
    def test_is_refused_as_a_config(self, strange: dict[str, Path], kind: str) -> None:
        for load in (load_pipeline, base_path_of):
            with raises_message(ConfigError, "config.expected_a_file", kind=kind):
                load(strange[kind], environ={})

    @pytest.mark.parametrize("kind", ["a device", "a pipe", "a folder"])
    def test_is_refused_as_a_file_of_tables(self, strange: dict[str, Path], tmp_path: Path, kind: str) -> None:
        (tmp_path / "c.yml").write_text(CONFIG)
        with raises_message(ConfigError, "config.expected_a_file", kind=kind):
            load_pipeline(tmp_path / "c.yml", environ={}, tables_path=strange[kind])

    def test_is_refused_as_a_model(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "hr.py")
        with pytest.raises(ConfigError, match=r"schema 'hr\.py:Employee': .*expected a file; found a pipe"):
            load_model(SchemaRef(path="hr.py:Employee"), base=tmp_path)

    def test_ends_a_check_at_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert app.run_command(["check", "/dev/full"]) == 2
        assert (
            capsys.readouterr().err
            == f"error: {text_of('config.expected_a_file', path='/dev/full', kind='a device')}\n"
        )


class TestWhatIsTooLarge:
    def test_is_not_read(self, tmp_path: Path) -> None:
        with (tmp_path / "large.yml").open("wb") as file:
            file.truncate(MAX_MEBIBYTES * 1024 * 1024)
            assert len(read_text_file(tmp_path / "large.yml")) == MAX_MEBIBYTES * 1024 * 1024
            file.truncate(100 << 30)
        for read in (read_text_file, lambda path: load_pipeline(path, environ={})):
            with raises_message(ConfigError, "config.file_is_too_large", path="large.yml", size=8):
                read(tmp_path / "large.yml")

    @pytest.mark.parametrize("read", [read_yaml, read_json])
    def test_becomes_no_tree_of_values(self, read: object) -> None:
        with raises_message(ConfigError, "config.file_has_too_many_values", count="500,000") as caught:
            read(SOME_VALUES, name="c")  # type: ignore[operator]
        assert caught.value.message.startswith("c:1:")
