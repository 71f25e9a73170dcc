"""What the documents say is so: every command and key is in them, and nothing that is not there."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import yaml

from statekeeper.cli.app import app
from statekeeper.databricks import StatefulDatabricksDataExtractor
from statekeeper.databricks.job import JobParameters
from statekeeper.databricks.managed_table import Origin
from statekeeper.model.metadata import Metadata
from statekeeper.run.lifecycle import mermaid

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "docs/configuration.md").read_text()


PROGRAM = app.load_all()


def test_the_readme_names_every_command():
    table = README[README.index("## Commands") : README.index("## Python")]
    named = set(re.findall(r"^\| `(\w+)", table, re.MULTILINE))
    assert named == set(PROGRAM)


def test_the_readme_names_every_command_of_schemas():
    assert set(re.findall(r"^\| `schemas (\w+)", README, re.MULTILINE)) == set(PROGRAM["schemas"].commands)


COMMANDS = {**PROGRAM, **{f"schemas {name}": each for name, each in PROGRAM["schemas"].commands.items()}}


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


def test_graph_prints_the_readmes_diagram():
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", README, re.DOTALL)
    assert diagram == mermaid()


class TestDatabricks:
    DOCUMENT = (ROOT / "docs/databricks.md").read_text()

    def test_every_parameter_of_a_job_is_in_the_table(self):
        table = self.DOCUMENT[self.DOCUMENT.index("| parameter |") : self.DOCUMENT.index("In `parameters` of a wheel")]
        named = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
        assert named == {field.name for field in fields(JobParameters)} - {"unknown"}

    def test_the_example_is_a_pipeline_on_a_cluster(self):
        extractor = StatefulDatabricksDataExtractor.from_config(
            ROOT / "configs/databricks.yml",
            environ={"DATABRICKS_RUNTIME_VERSION": "17.3"},
            dbutils=SimpleNamespace(secrets=SimpleNamespace(get=lambda scope, key: f"{scope}-{key}")),
            today=date(2026, 1, 7),
            unity_catalog_volume="main.raw.erp",
        )
        assert extractor.identity.run_id == "erp-20260106"
        assert extractor.pipeline.output.base_path == "/Volumes/main/raw/erp/extracts"
        assert extractor.pipeline.execution.engine.value == "spark"
        assert "erp-oracle-password" in extractor.pipeline.secrets

    def test_what_it_tells_to_type_is_of_the_bundle(self):
        bundle = yaml.safe_load((ROOT / "databricks.yml").read_text())
        assert set(re.findall(r"BUNDLE_VAR_(\w+)", self.DOCUMENT)) == {
            name for name, each in bundle["variables"].items() if "default" not in each
        }
        assert set(re.findall(r"--target (\w+)", self.DOCUMENT)) == set(bundle["targets"])
        assert set(re.findall(r"bundle run --target \w+ (\w+)", self.DOCUMENT)) == set(bundle["resources"]["jobs"])
        (job,) = bundle["resources"]["jobs"].values()
        assert set(re.findall(r"--params (\w+)=", self.DOCUMENT)) <= {each["name"] for each in job["parameters"]}

    def test_what_it_reads_of_the_metadata_is_in_them(self):
        (fields_read,) = re.findall(r'\.schema\("(.*?)"\)', self.DOCUMENT)
        names = {part.split()[0] for part in fields_read.split(",")} | set(
            re.findall(r'record\["(\w+)"\]', self.DOCUMENT)
        )
        assert names <= set(Metadata.model_fields)
        assert "job_run" in Metadata.model_fields

    def test_the_columns_of_a_managed_table_are_in_the_order_that_it_says(self):
        table = self.DOCUMENT[
            self.DOCUMENT.index("Five columns come first") : self.DOCUMENT.index("**Every row once.**")
        ]
        assert re.findall(r"`(_\w+)`", table) == list(Origin.TYPES)

    def test_the_cell_of_the_checklist_prints_what_is_expected(self, tmp_path, capsys):
        cell = next(
            each for each in re.findall(r"```python\n(.*?)```", self.DOCUMENT, re.DOTALL) if "exclusive" in each
        )
        exec(cell.replace("/Volumes/main/raw/erp", str(tmp_path)), {})
        assert capsys.readouterr().out.split() == ["exclusive", "1", "2"]

    def test_nothing_in_it_needs_a_web_terminal_or_loops_over_one_run(self):
        assert "web terminal" not in self.DOCUMENT
        assert "for_each_task:" not in self.DOCUMENT
