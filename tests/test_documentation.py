"""What the documents say is so: every command and key is in them, and nothing that is not there."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import fields
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import yaml

from statekeeper.cli.app import app
from statekeeper.databricks import StatefulDatabricksDataExtractor
from statekeeper.databricks_job import JobParameters
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


def test_graph_prints_the_readmes_diagram():
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", README, re.DOTALL)
    assert diagram == mermaid()


class TestDatabricks:
    DOCUMENT = (ROOT / "docs/databricks.md").read_text()

    def _task(self):
        (bundle,) = re.findall(r"```yaml\n(.*?)```", self.DOCUMENT, re.DOTALL)
        job = yaml.safe_load(bundle)["resources"]["jobs"]["nightly"]
        assert job["max_concurrent_runs"] == 1
        return job["tasks"][0]["python_wheel_task"]

    def _parameters(self):
        values = {"job.parameters.date": "", "job.parameters.force_reprocess": "false"}
        values |= {"job.trigger.time.iso_date": "2026-01-07"}
        arguments = [
            re.sub(r"\{\{(.*?)\}\}", lambda found: values[found[1]], argument)
            for argument in self._task()["parameters"]
        ]
        found = JobParameters.from_arguments(arguments)
        assert found.unknown == ()
        return found

    def test_the_bundle_calls_an_entry_point_of_the_wheel_with_its_parameters(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        task = self._task()
        assert task["package_name"] == project["name"]
        assert task["entry_point"] in project["scripts"]
        assert self._parameters().today == "2026-01-07"

    def test_every_parameter_of_a_job_is_in_the_table(self):
        table = self.DOCUMENT[self.DOCUMENT.index("| parameter |") : self.DOCUMENT.index("An empty parameter")]
        named = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
        assert named == {field.name for field in fields(JobParameters)} - {"unknown"}

    def test_the_example_is_a_pipeline_on_a_cluster(self):
        parameters = self._parameters()
        extractor = StatefulDatabricksDataExtractor.from_config(
            ROOT / parameters.config,
            environ={"DATABRICKS_RUNTIME_VERSION": "16.4"},
            dbutils=SimpleNamespace(secrets=SimpleNamespace(get=lambda scope, key: f"{scope}-{key}")),
            today=date.fromisoformat(parameters.today),
            unity_catalog_volume=parameters.unity_catalog_volume,
        )
        assert extractor.identity.run_id == "erp-20260106"
        assert extractor.pipeline.output.base_path == "/Volumes/main/raw/erp/extracts"
        assert extractor.pipeline.execution.engine.value == "spark"
        assert "erp-oracle-password" in extractor.pipeline.secrets
