import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from statekeeper.cli import app
from statekeeper.cli.json_schemas import files
from statekeeper.model.state import State
from statekeeper.store import layout
from tests.unit.run.run_on_disk import RunOnDisk
from tests.unit.schemas.staged_columns import PYDANTIC

_REPOSITORY = Path(__file__).parents[3]


@pytest.mark.skipif(PYDANTIC < (2, 14), reason="pydantic writes some rules and defaults another way before 2.14")
def test_schemas_of_the_repository_are_up_to_date() -> None:
    assert files(_REPOSITORY / "schemas" / "json").stale() == ()


def test_every_schema_is_a_schema(tmp_path: Path) -> None:
    paths = files(tmp_path).write()
    assert {"config.json", "state.json", "metadata.json", "status.json"} <= {path.name for path in paths}
    for path in paths:
        Draft202012Validator.check_schema(json.loads(path.read_text()))


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in files(tmp_path / "a").write()}
    second = {path.name: path.read_bytes() for path in files(tmp_path / "b").write()}
    assert first == second


def test_changed_missing_and_orphaned_files_are_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files(tmp_path).write()
    assert app.run_command(["schemas", "json", "--out", str(tmp_path), "--check"]) == 0
    (tmp_path / "state.json").write_text("{}")
    (tmp_path / "status.json").unlink()
    (tmp_path / "orphan.json").write_text("{}")
    assert [path.name for path in files(tmp_path).stale()] == ["state.json", "status.json", "orphan.json"]
    assert app.run_command(["schemas", "json", "--out", str(tmp_path), "--check"]) == 1
    assert "state.json is not up to date" in capsys.readouterr().out
    assert (tmp_path / "state.json").read_text() == "{}"


@pytest.mark.parametrize("state", list(State))
def test_state_files_satisfy_their_schema_and_another_format_does_not(tmp_path: Path, state: State) -> None:
    run = RunOnDisk(tmp_path)
    run.write_state("A", state)
    run.write_manifest("A")
    files(tmp_path / "schemas").write()
    validator = Draft202012Validator(json.loads((tmp_path / "schemas" / "state.json").read_text()))
    document = json.loads(run.files("A").state.read_text())
    validator.validate(document)
    assert not validator.is_valid({**document, "format": "statekeeper.plan"})
    assert not validator.is_valid({**document, "state": "finished"})
    manifest = json.loads(layout.manifest_file(run.base_path, run.run_id).read_text())
    Draft202012Validator(json.loads((tmp_path / "schemas" / "manifest.json").read_text())).validate(manifest)


def test_config_schema_takes_the_design_s_example_and_refuses_a_typo(tmp_path: Path) -> None:
    files(tmp_path).write()
    validator = Draft202012Validator(json.loads((tmp_path / "config.json").read_text()))
    config = {
        "pipeline": "demo",
        "sources": {"shop": {"type": "duckdb", "path": "${SHOP_DB:-shop.duckdb}", "max_sessions": "${SESSIONS}"}},
        "tables": [{"schema_name": "HR", "table_name": "EMPLOYEES", "schema": "schemas/hr.py:Employee"}],
    }
    validator.validate(config)
    assert not validator.is_valid({**config, "tabels": []})
