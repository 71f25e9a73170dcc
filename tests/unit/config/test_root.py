"""One configuration is one pipeline, from wherever it is run: where its relative paths start."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest

from statekeeper.api import StatefulDataExtractor
from statekeeper.cli import app
from statekeeper.config.loader import load_pipeline, pipeline_of
from statekeeper.config.outline import base_path_of
from statekeeper.config.root import expanded, find_root
from statekeeper.engines.context import JobSource
from statekeeper.engines.inline import InlineEngine
from statekeeper.errors import ConfigError, UsageError
from statekeeper.run.find_run import find_run, last_run
from statekeeper.run.report import Outcome
from statekeeper.run.runner import RunIdentity, Runner
from statekeeper.runtime.fingerprint import fingerprint_of
from statekeeper.runtime.progress import NullReporter
from statekeeper.schemas.model.load import load_model
from statekeeper.store.layout import LAST_RUN
from tests.messages import raises_message, text_of

MODEL = "from pydantic import BaseModel\n\n\nclass Order(BaseModel):\n    ID: int\n"
CONFIG = """\
pipeline: shop
sources: {shop: {type: duckdb, path: db/shop.duckdb}}
output: {base_path: lake}
tables: [{table_name: orders, schema: "schemas/shop.py:Order"}]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git project with a configuration in a folder of its own, a model and a database."""
    folder = tmp_path / "project"
    for name in (".git", "configs", "schemas", "db", "elsewhere"):
        (folder / name).mkdir(parents=True)
    (folder / "schemas" / "shop.py").write_text(MODEL)
    (folder / "configs" / "shop.yml").write_text(CONFIG)
    with duckdb.connect(folder / "db" / "shop.duckdb") as connection:
        connection.execute("create table orders as select 1::integer as ID")
    return folder


def _run(config: Path) -> Outcome:
    pipeline = load_pipeline(config, environ={})
    runner = Runner(
        pipeline=pipeline,
        identity=RunIdentity("shop-20260106", date(2026, 1, 6), str(config)),
        reporter=NullReporter(),
        make_engine=lambda _pipeline: InlineEngine(memory_limit="100MB"),
    )
    return runner.run(pipeline.tables).tables[0].outcome


class TestRoot:
    @pytest.mark.parametrize("mark", [".statekeeper", "pyproject.toml", ".git"])
    def test_is_the_nearest_marked_folder(self, tmp_path: Path, mark: str) -> None:
        config = tmp_path / "outer" / "inner" / "configs" / "p.yml"
        config.parent.mkdir(parents=True)
        (tmp_path / "outer" / ".git").mkdir()
        assert find_root(config) == tmp_path / "outer"
        (tmp_path / "outer" / "inner" / mark).touch()
        assert find_root(config) == tmp_path / "outer" / "inner"

    def test_without_a_mark_is_the_folder_of_the_config(self, tmp_path: Path) -> None:
        assert find_root(tmp_path / "configs" / "p.yml") == tmp_path / "configs"

    def test_is_no_folder_above_that_is_everybodys(self, tmp_path: Path) -> None:
        config = tmp_path / "shared" / "mine" / "p.yml"
        config.parent.mkdir(parents=True)
        (tmp_path / "shared" / ".statekeeper").mkdir()
        (tmp_path / "shared" / LAST_RUN).write_text('{"run_id": "r", "base_path": "/", "config_path": "/evil.yml"}')
        assert find_root(config) == tmp_path / "shared"
        assert last_run(config.parent) is not None
        (tmp_path / "shared").chmod(0o1777)
        assert find_root(config) == config.parent
        assert last_run(config.parent) is None

    def test_of_a_link_is_that_of_the_file_it_leads_to(self, project: Path, tmp_path: Path) -> None:
        link = tmp_path / "link.yml"
        link.symlink_to(project / "configs" / "shop.yml")
        assert load_pipeline(link, environ={}).root == project

    @pytest.mark.parametrize(("written", "found"), [("..", ""), (".", "configs"), ("../elsewhere", "elsewhere")])
    def test_is_what_the_config_says(self, project: Path, written: str, found: str) -> None:
        config = project / "configs" / "shop.yml"
        config.write_text(f"root: {written}\n" + CONFIG.replace(', schema: "schemas/shop.py:Order"', ""))
        assert load_pipeline(config, environ={}).root == project / found
        assert base_path_of(config, environ={}) == project / found / "lake"

    def test_that_is_no_folder_is_a_mistake_with_its_place(self, project: Path) -> None:
        config = project / "configs" / "shop.yml"
        config.write_text("root: ../nowhere\n" + CONFIG)
        with raises_message(ConfigError, "config.expected_a_folder", found="'../nowhere'") as caught:
            load_pipeline(config, environ={})
        assert "shop.yml:1:7: root: " in caught.value.message

    def test_may_be_given_by_the_caller_where_the_config_says_none(self, project: Path) -> None:
        config = project / "configs" / "shop.yml"
        (project / ".git").rmdir()
        given = load_pipeline(config, environ={}, root=project)
        assert (given.root, given.tables[0].root) == (project, project)
        config.write_text("root: ..\n" + CONFIG)
        assert load_pipeline(config, environ={}, root=project / "elsewhere").root == project

    def test_of_a_mapping_is_the_working_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        pipeline = pipeline_of({"sources": {"a": {"type": "duckdb", "path": "a"}}, "tables": [{"table_name": "t"}]})
        assert (pipeline.root, pipeline.base_path) == (tmp_path, Path("data"))


class TestFromAnywhere:
    def test_the_same_files_are_meant(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        config = project / "configs" / "shop.yml"
        fingerprints = set()
        for folder in (project, project / "configs", project / "elsewhere", Path("/")):
            monkeypatch.chdir(folder)
            pipeline = load_pipeline(config, environ={})
            (table,) = pipeline.tables
            assert pipeline.base_path.absolute() == project / "lake" == base_path_of(config, environ={}).absolute()
            assert Path(JobSource.of(table).config.path).absolute() == project / "db" / "shop.duckdb"
            fingerprints.add(fingerprint_of(table, load_model(table.model, base=table.root)))
        assert len(fingerprints) == 1

    def test_a_run_goes_on_where_one_from_another_folder_ended(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(project / "elsewhere")
        assert _run(Path("../configs/shop.yml")) is Outcome.COMPLETED
        monkeypatch.chdir(project)
        assert _run(Path("configs/shop.yml")) is Outcome.SKIPPED
        assert sorted(path.name for path in project.iterdir() if path.is_dir()) == [
            *(".git", ".statekeeper", "configs", "db", "elsewhere", "lake", "schemas")
        ]
        assert list((project / "elsewhere").iterdir()) == []

    def test_the_last_run_is_found_from_below_its_root(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(project)
        _run(Path("configs/shop.yml"))
        monkeypatch.chdir(project / "elsewhere")
        found = find_run(Path.cwd(), config=None, base_path=None)
        assert (found.base_path, found.run_id) == (project / "lake", "shop-20260106")
        assert (project / LAST_RUN).is_file()
        assert last_run(project.parent) is None

    def test_single_tables_of_a_pipeline_lie_with_its_others(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(project / "elsewhere")
        extractor = StatefulDataExtractor.from_config("../configs/shop.yml", environ={})
        assert extractor._runner_of([{"table_name": "orders"}], "2026-01-06", None).pipeline.root == project

    def test_a_config_that_version_0_1_ran_from_elsewhere_is_not_extracted_anew_unsaid(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config, elsewhere = project / "configs" / "shop.yml", project / "elsewhere"
        (elsewhere / "schemas").symlink_to(project / "schemas")
        monkeypatch.chdir(elsewhere)
        (elsewhere / "db").symlink_to(project / "db")
        config.write_text("root: ../elsewhere\n" + CONFIG)
        assert _run(config) is Outcome.COMPLETED  # as version 0.1 did without the key
        config.write_text(CONFIG)
        with raises_message(ConfigError, "run.earlier_runs_are_elsewhere", folder=elsewhere / "lake") as caught:
            StatefulDataExtractor.from_config(config, environ={})
        assert caught.value.hint == text_of("run.write_the_root", there="../elsewhere", here="..")
        for root in ("../elsewhere", ".."):
            config.write_text(f"root: {root}\n" + CONFIG)
            assert StatefulDataExtractor.from_config(config, environ={}).base_path

    def test_in_the_root_itself_paths_are_shown_as_they_are_written(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(project)
        assert load_pipeline(Path("configs/shop.yml"), environ={}).base_path == Path("lake")


class TestHome:
    @pytest.fixture(autouse=True)
    def home(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(project))
        monkeypatch.chdir(project / "elsewhere")

    def test_is_meant_by_a_tilde_wherever_a_path_is_given(self, project: Path) -> None:
        config = project / "elsewhere" / "p.yml"
        text = CONFIG.replace("db/", "~/db/").replace("lake", "~/lake").replace("schemas/", "~/schemas/")
        config.write_text(text + "root: ~/configs\n")
        pipeline = load_pipeline(Path("~/elsewhere/p.yml"), environ={})
        (table,) = pipeline.tables
        assert pipeline.root == project / "configs"
        assert pipeline.base_path == project / "lake" == base_path_of(Path("~/elsewhere/p.yml"), environ={})
        assert JobSource.of(table).config.path == str(project / "db" / "shop.duckdb")
        assert load_model(table.model, base=table.root) is not None

    def test_is_meant_by_a_tilde_on_a_command_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert app.run_command(["check", "~/configs/shop.yml"]) == 0
        assert "is valid" in capsys.readouterr().out

    def test_of_nobody_is_a_mistake(self, project: Path) -> None:
        config = project / "configs" / "shop.yml"
        config.write_text(CONFIG.replace("lake", "~nobody-here/lake"))
        with raises_message(ConfigError, "config.path_with_a_known_home") as caught:
            load_pipeline(config, environ={})
        assert "shop.yml:3:21: output.base_path: expected " in caught.value.message
        with raises_message(UsageError, "config.home_is_not_known", home="~nobody-here"):
            expanded("~nobody-here/lake")

    def test_holds_what_oracle_keeps_in_files(self, project: Path) -> None:
        login = {"service": "s", "host": "h", "user": "u", "password": "p"}
        section = {"type": "oracle", **login, "wallet_location": "~/wallet", "config_dir": "tns"}
        pipeline = pipeline_of({"sources": {"ora": section}, "tables": [{"table_name": "T"}]}, root=project)
        source = pipeline.tables[0].source_here
        assert (source.wallet_location, source.config_dir) == (str(project / "wallet"), str(project / "tns"))


def test_a_draft_says_where_its_paths_start_unless_that_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with duckdb.connect(tmp_path / "shop.duckdb") as connection:
        connection.execute("create table orders as select 1::integer as ID")
    assert app.run_command(["init", "--duckdb", "shop.duckdb", "--out", "configs/a.yml"]) == 0
    assert "\nroot: ..\n" in (tmp_path / "configs" / "a.yml").read_text()
    assert app.run_command(["check", "configs/a.yml"]) == 0
    assert load_pipeline(tmp_path / "configs" / "a.yml", environ={}).root == tmp_path
    (tmp_path / ".git").mkdir()
    assert app.run_command(["init", "--duckdb", "shop.duckdb", "--out", "configs/b.yml"]) == 0
    assert "root:" not in (tmp_path / "configs" / "b.yml").read_text()
    capsys.readouterr()
