import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from statekeeper.cli import app
from statekeeper.cli.json_schemas import files
from statekeeper.model.state import State
from tests.messages import says, text_of
from tests.unit.run.run_on_disk import RunOnDisk

CONFIG = """
pipeline: demo
sources:
  shop: {type: duckdb, path: shop.duckdb}
output: {base_path: data}
tables:
  - {schema_name: HR, table_name: A}
  - {schema_name: HR, table_name: B}
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunOnDisk:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo.yml").write_text(CONFIG)
    return RunOnDisk(tmp_path)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_command(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("run", "resume", "status", "plan", "verify", "reset", "check", "graph", "schemas"):
        assert f"\n  {command} " in text


COMMANDS = app.app.load_all()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_explained(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert command.help.rstrip().endswith(".")
    for parameter in command.params:
        assert parameter.param_type_name == "argument" or getattr(parameter, "help", None), parameter.name


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["status"],
        ["status", "--json"],
        ["status", "demo.yml"],
        ["check", "demo.yml"],
        ["graph"],
        ["schemas", "json"],
    ],
)
def test_light_commands_load_no_driver_and_no_arrow(run: RunOnDisk, arguments: list[str]) -> None:
    run.write_manifest("A", config_path=str(run.cwd / "demo.yml"))
    program = (
        "import sys; from statekeeper.cli.app import run_command; code = run_command(sys.argv[1:]); "
        "loaded = {'pyarrow', 'duckdb', 'pyspark', 'oracledb'} & set(sys.modules); "
        "sys.exit(f'loaded {loaded}' if loaded else code)"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=run.cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["--version"], ["statekeeper.cli.options", "statekeeper.model.base", "yaml"]),
        (
            ["history", "A"],
            ["statekeeper.config.loader", "statekeeper.cli.progress", "statekeeper.run.choices", "yaml"],
        ),
        (
            ["status"],
            ["statekeeper.config.loader", "statekeeper.cli.schemas", "statekeeper.cli.upkeep", "statekeeper.scaffold"],
        ),
    ],
)
def test_no_command_waits_for_the_modules_of_another(run: RunOnDisk, arguments: list[str], unneeded: list[str]) -> None:
    """To import all of them takes half a second, which `history` of a thousand dates must not."""
    run.write_manifest("A", config_path=str(run.cwd / "demo.yml"))
    program = (
        "import sys; from statekeeper.cli.app import run_command; code = run_command(sys.argv[1:]); "
        f"sys.exit(', '.join({set(unneeded)!r} & set(sys.modules)) or code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=run.cwd, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_loads_no_driver_and_no_arrow_in_its_own_process(tmp_path: Path) -> None:
    """Workers need them, and theirs are imported meanwhile, in the fork server."""
    program = (
        "import sys; import statekeeper.api; "
        "sys.exit(', '.join({'pyarrow', 'numpy', 'duckdb', 'oracledb'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_status_without_a_run_says_what_to_do(run: RunOnDisk, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_command(["status"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"error: no run is known here: there is no .statekeeper/last-run.json in {run.cwd} or above it",
        "hint: name its config; `statekeeper init --help` says how to write one from a database",
    ]


@pytest.mark.parametrize("arguments", [[], ["demo.yml"], ["demo.yml", "--run-id", "demo-20260106"]])
def test_status_shows_tables_failures_and_hints(
    run: RunOnDisk, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    run.write_manifest("A", "B", config_path=str(run.cwd / "demo.yml"))
    run.write_state("A", State.COMPLETE)
    run.write_state("B", State.FAILED)
    assert app.run_command(["status", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["table", "state", "chunks", "rows", "size", "attempts", "time", "where"]
    assert lines[1].split() == ["shop.HR.B", "failed", "0/12", "2"]
    assert lines[2].split()[:6] == ["shop.HR.A", "complete", "12/12", "107", "4.1", "kB"]
    assert lines[4:6] == ["shop.HR.B: no such table", "  hint: make it"]
    assert lines[7] == "demo-20260106 of 2026-01-06 is failed: 1 complete, 1 failed"
    assert lines[-1] == "next: statekeeper resume demo.yml --date 2026-01-06"


def test_status_json_satisfies_its_schema(run: RunOnDisk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_manifest("A", "B", "C", "D")
    run.write_state("A", State.COMPLETE)
    run.write_state("B", State.FAILED)
    run.write_state("C", State.EXTRACTING)
    files(tmp_path / "schemas").write()
    schema = json.loads((tmp_path / "schemas" / "status.json").read_text())
    assert app.run_command(["status", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema).validate(document)
    assert document["state"] == "failed"
    assert [table["state"] for table in document["tables"]] == ["complete", "failed", "extracting", "pending"]
    expected = {"run_id", "pipeline", "extraction_date", "state", "tables", "counts", "processes", "next_steps"}
    assert set(document) == expected
    assert document["tables"][1]["failure"] == {
        "kind": "source",
        "code": "ORA-00942",
        "message": "no such table",
        "hint": "make it",
    }


def test_status_of_a_config_asks_for_no_secret(run: RunOnDisk, capsys: pytest.CaptureFixture[str]) -> None:
    config = run.cwd / "demo.yml"
    config.write_text(CONFIG.replace("shop.duckdb", '"${NO_SUCH_VARIABLE_IS_SET}"'))
    run.write_manifest("A", config_path=str(config))
    assert app.run_command(["status", "demo.yml"]) == 0
    assert "pending" in capsys.readouterr().out


def test_watching_a_run_that_is_over_ends_at_once(run: RunOnDisk, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_manifest("A", ended=True)
    run.write_state("A", State.COMPLETE)
    assert app.run_command(["status", "--watch"]) == 0
    assert "is complete" in capsys.readouterr().out


def test_status_into_a_closed_pipe_is_no_defect(run: RunOnDisk) -> None:
    names = [f"T{index:04}" for index in range(2000)]
    run.write_manifest(*names)
    program = f"{sys.executable} -c 'from statekeeper.cli.app import main; main()' status | head -1"
    done = subprocess.run(program, shell=True, cwd=run.cwd, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("table")


@pytest.mark.usefixtures("run")
def test_check_of_a_valid_config_counts_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_command(["check", "demo.yml"]) == 0
    said, step = capsys.readouterr().out.splitlines()
    assert said == text_of("cli.config_is_valid", config="demo.yml", pipeline="demo", tables="2 tables")
    assert step == "next: statekeeper check --connect demo.yml"
    assert app.run_command(["check", "demo.yml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"pipeline": "demo", "tables": ["shop.HR.A", "shop.HR.B"]}


def test_wrong_config_is_told_with_places_and_exit_code_2(run: RunOnDisk, capsys: pytest.CaptureFixture[str]) -> None:
    (run.cwd / "demo.yml").write_text(CONFIG.replace("type: duckdb", "type: duck").replace("table_name: B", "tabel: B"))
    for command in ("check", "run", "plan"):
        assert app.run_command([command, "demo.yml"]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: demo.yml:4:")
        assert "demo.yml:8:" in err
        assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["no-such-command"], "No such command"),
        (["run"], "Missing argument 'CONFIG'"),
        (["run", "demo.yml", "--date", "06.01.2026"], "expected YYYY-MM-DD"),
        (["run", "demo.yml", "--workers", "0"], "--workers"),
        (["reset", "demo.yml"], "--failed"),
        (["reset", "demo.yml", "--failed", "--table", "A"], "--failed"),
        (["check", "absent.yml"], "absent.yml"),
    ],
)
@pytest.mark.usefixtures("run")
def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str) -> None:
    assert complaint in _complaint(capsys, *arguments)


@pytest.mark.parametrize("arguments", [[], ["--run-id", "x"]])
@pytest.mark.usefixtures("run")
def test_nothing_is_resumed_where_no_run_is_known(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert says(_complaint(capsys, "resume", *arguments), "run.no_run_is_known_here")


def _complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What wrong usage is answered with, which has exit code 2."""
    assert app.run_command(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


def test_run_that_was_made_in_python_cannot_be_resumed_from_the_command_line(
    run: RunOnDisk, capsys: pytest.CaptureFixture[str]
) -> None:
    run.write_manifest("A", config_path=None)
    assert app.run_command(["resume"]) == 2
    assert says(capsys.readouterr().err, "cli.run_was_started_in_python")


def test_graph_is_the_transition_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_command(["graph"]) == 0
    text = capsys.readouterr().out
    assert "stateDiagram-v2" in text
    assert "extracted" in text
