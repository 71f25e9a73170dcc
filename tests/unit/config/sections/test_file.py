import subprocess
import sys
from typing import Annotated, Literal

import jsonschema
import pytest
import yaml
from pydantic import Field, SecretStr

from statekeeper.config.reading.document import ConfigDocument
from statekeeper.config.reading.validate import check
from statekeeper.config.sections.file import config_json_schema
from statekeeper.config.sections.section import Section


class File(Section):
    type: Literal["file"]
    path: str


class Server(Section):
    type: Literal["server"]
    password: SecretStr
    port: int = 1521


class Sources(Section):
    sources: dict[str, Annotated[File | Server, Field(discriminator="type")]]


def messages(data, **document):
    return [
        str(p) for p in check(Sources, ConfigDocument(name="c.yml", data={"sources": {"s": data}}, **document)).problems
    ]


def test_a_union_of_sources_reports_the_key_without_its_tag():
    assert messages({"type": "server", "password": 7, "prot": 1}) == [
        "c.yml: sources.s.prot: unknown key. hint: did you mean 'port'?",
        "c.yml: sources.s.password: expected text; found a value that is not shown",
    ]
    assert messages({"type": "file"}) == ["c.yml: sources.s.path: this key is missing"]
    assert messages({"type": "serve"}) == [
        "c.yml: sources.s.type: expected one of 'file', 'server'; found 'serve'. hint: did you mean 'server'?"
    ]
    assert messages({"path": "x"}) == ["c.yml: sources.s.type: this key is missing"]


def test_a_number_of_a_union_member_may_come_through_a_reference():
    data = {"sources": {"s": {"type": "server", "password": "x", "port": "1522"}}}
    document = ConfigDocument(name="c.yml", data=data, hidden={("sources", "s", "port"): "the value of ${PORT}"})
    assert check(Sources, document).value.sources["s"].port == 1522
    assert check(Sources, ConfigDocument(name="c.yml", data=data)).value is None, "quoted numbers are text"


SCHEMA = config_json_schema()
GOOD = """
pipeline: p
sources: {shop: {type: duckdb, path: x, max_sessions: "${N:-3}"}}
output: {row_group_bytes: 128MiB, lease_ttl: 60s, compression: "${C}"}
states: {extracting: {timeout: 6h}, on_enter: {failed: [{webhook: "https://x.org"}]}}
defaults: {chunking: {strategy: key, key: ID}, lookback: "${L}"}
tables: [{table_name: A, schema: "x.py:Y", retry: {initial_delay: 2s}, columns: {X: {type: int, ge: 1}}}]
"""


def test_editors_accept_what_the_loader_accepts():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(yaml.safe_load(GOOD), SCHEMA)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("path: x", "pth: x"),
        ("128MiB", "128 apples"),
        ("6h", "6"),
        ("strategy: key", "strategy: rows"),
        ("key: ID", "k: ID"),
    ],
)
def test_editors_flag_what_the_loader_refuses(old, new):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(GOOD.replace(old, new)), SCHEMA)


def test_every_key_of_a_configuration_is_described():
    bare = [
        f"{name}.{key}"
        for name, definition in {"ConfigFile": SCHEMA, **SCHEMA["$defs"]}.items()
        for key, field in definition.get("properties", {}).items()
        if not field.get("description") and name != "ColumnRule" and "$ref" not in field
    ]
    assert bare == []


def test_loading_a_configuration_imports_nothing_heavy():
    code = (
        "import sys, statekeeper.config.loader as l\n"
        "l.pipeline_of({'sources': {'s': {'type': 'duckdb', 'path': 'x'}}, 'tables': [{'table_name': 'A'}]})\n"
        "print(sorted({'duckdb', 'pyarrow', 'oracledb', 'pyspark', 'transitions'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
