"""Secrets of Databricks scopes, asked for by the real client of a server that stands in for a workspace."""

from __future__ import annotations

import base64
import json
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from urllib.parse import parse_qs, urlsplit

import pytest
from pyspark.errors import PySparkRuntimeError

from statekeeper.config.loader import load_pipeline
from statekeeper.config.outline import base_path_of
from statekeeper.config.reading.databricks_secrets import SecretScopes
from statekeeper.errors import ConfigError
from statekeeper.logs import secret_values
from tests.messages import raises_message, says

PASSWORD = "tiger-in-a-scope"
CONFIG = """\
pipeline: nightly
sources:
  erp:
    type: oracle
    host: ${databricks:erp/host}
    service: ERP
    user: extractor
    password: ${databricks:erp/oracle.password}
output: {base_path: data}
tables: [{table_name: orders, schema_name: SALES}]
"""
_SECRETS = {("erp", "host"): "db.example.com", ("erp", "oracle.password"): PASSWORD}


class _Workspace(BaseHTTPRequestHandler):
    asked: list[tuple[str, str]]

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path != "/api/2.0/secrets/get":
            self._answer(404, {"error_code": "ENDPOINT_NOT_FOUND", "message": f"no {url.path}"})
            return
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        asked = (query["scope"], query["key"])
        self.server.asked.append(asked)
        if asked in _SECRETS:
            value = base64.b64encode(_SECRETS[asked].encode()).decode()
            self._answer(200, {"key": query["key"], "value": value})
        else:
            message = f"Secret does not exist with scope: {asked[0]} and key: {asked[1]}"
            self._answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": message})

    def _answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args):
        pass


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The secrets that were asked for; the environment names the workspace."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Workspace)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("DATABRICKS_HOST", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("DATABRICKS_TOKEN", "token")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    yield server.asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "nightly.yml"
    path.write_text(CONFIG)
    return path


def test_a_secret_stands_where_it_is_named_and_is_shown_nowhere(asked, config):
    pipeline = load_pipeline(config, environ={})
    source = pipeline.sources["erp"]
    assert source.password.get_secret_value() == PASSWORD
    assert source.host == "db.example.com"
    assert sorted(asked) == sorted(_SECRETS)
    assert {PASSWORD, "db.example.com"} <= set(pipeline.secrets)
    assert {PASSWORD, "db.example.com"} <= set(secret_values(pipeline))
    assert PASSWORD not in repr(pipeline)


def test_each_is_asked_for_once(asked, config):
    config.write_text(CONFIG.replace("user: extractor", "user: ${databricks:erp/host}"))
    load_pipeline(config, environ={})
    assert asked.count(("erp", "host")) == 1


def test_one_that_is_not_there_is_told_with_its_place(asked, config):
    config.write_text(CONFIG.replace("erp/host", "erp/absent"))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(config, environ={})
    message = str(caught.value)
    assert "nightly.yml:5:11: sources.erp.host: ${databricks:erp/absent}: " in message
    assert "Secret does not exist" in message
    assert PASSWORD not in message


def test_where_values_are_written_none_may_stand(asked, config):
    config.write_text(CONFIG.replace("base_path: data", "base_path: '${databricks:erp/host}'"))
    with raises_message(ConfigError, "config.expected_no_secret") as caught:
        load_pipeline(config, environ={})
    assert "output.base_path: expected " in caught.value.message
    assert sorted(asked) == sorted(_SECRETS)  # those of the source


def test_looking_at_a_run_asks_for_none(asked, config):
    assert base_path_of(config, environ={}) == config.parent / "data"
    assert asked == []


def test_without_the_package_the_message_says_how_to_get_it(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "databricks.sdk", None)
    with raises_message(ConfigError, "config.databricks_sdk_is_missing") as caught:
        load_pipeline(config, environ={})
    assert "statekeeper[databricks]" in str(caught.value) + str(caught.value.hint)


class _Dbutils:
    """What a notebook has: its own way to secrets."""

    def __init__(self, values=_SECRETS, error=None):
        self.secrets = self
        self._values, self._error = values, error

    def get(self, scope, key):
        if self._error is not None:
            raise self._error
        return self._values[scope, key]


class TestNotebook:
    """The notebook's `dbutils` is asked, whichever databricks-sdk there is."""

    @pytest.fixture(autouse=True)
    def _no_sdk(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "databricks.sdk", None)

    def test_secrets_are_read_by_the_dbutils_that_is_passed_on(self, config):
        pipeline = load_pipeline(config, environ={}, secrets=SecretScopes(_Dbutils()))
        assert pipeline.sources["erp"].password.get_secret_value() == PASSWORD

    def test_secrets_are_read_by_the_dbutils_of_the_main_module(self, config, monkeypatch):
        monkeypatch.setattr(sys.modules["__main__"], "dbutils", _Dbutils(), raising=False)
        assert load_pipeline(config, environ={}).sources["erp"].host == "db.example.com"

    def test_secrets_are_read_by_the_dbutils_of_ipython(self, config, monkeypatch):
        shell = types.SimpleNamespace(user_ns={"dbutils": _Dbutils()})
        monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
        assert load_pipeline(config, environ={}).sources["erp"].host == "db.example.com"

    def test_another_object_of_that_name_is_not_asked(self, config, monkeypatch):
        monkeypatch.setattr(sys.modules["__main__"], "dbutils", object(), raising=False)
        with raises_message(ConfigError, "config.databricks_sdk_is_missing"):
            load_pipeline(config, environ={})

    def test_an_error_of_java_is_told_by_its_cause(self, config):
        error = RuntimeError(
            "An error occurred while calling o372.get.\n"
            ": java.lang.IllegalArgumentException: Secret does not exist with scope: erp and key: host\n\tat com.data"
        )
        with pytest.raises(ConfigError, match="IllegalArgumentException: Secret does not exist") as caught:
            load_pipeline(config, environ={}, secrets=SecretScopes(_Dbutils(error=error)))
        assert "o372" not in str(caught.value)
        assert says(caught.value, "config.list_secrets", scope="erp")


class TestStandardAccessMode:
    """Spark is Connect's there, and has no SparkContext, which the namespace of Databricks' runtime wants to make."""

    @pytest.fixture(autouse=True)
    def _runtime(self, monkeypatch):
        class UserNamespaceInitializer:
            @staticmethod
            def getOrCreate():  # noqa: N802 - as Databricks spells it
                raise PySparkRuntimeError(errorClass="CONTEXT_UNAVAILABLE_FOR_REMOTE_CLIENT", messageParameters={})

        runtime = types.SimpleNamespace(UserNamespaceInitializer=UserNamespaceInitializer)
        monkeypatch.setitem(sys.modules, "dbruntime", runtime)
        monkeypatch.delitem(sys.modules, "databricks.sdk.runtime", raising=False)

    def test_the_sdk_reads_secrets(self, asked, config):
        assert load_pipeline(config, environ={}).sources["erp"].password.get_secret_value() == PASSWORD
        assert sorted(asked) == sorted(_SECRETS)

    def test_an_sdk_that_cannot_is_named_with_what_to_install(self, config):
        class Older:
            """The constructor of databricks-sdk 0.116 ends so there."""

            @property
            def secrets(self):
                sys.modules["dbruntime"].UserNamespaceInitializer.getOrCreate()

        with pytest.raises(ConfigError, match="CONTEXT_UNAVAILABLE_FOR_REMOTE_CLIENT") as caught:
            load_pipeline(config, environ={}, secrets=SecretScopes(Older()))
        told = str(caught.value)
        assert says(told, "config.no_secrets_on_standard_access", version=version("databricks-sdk"))


@pytest.mark.parametrize("text", ["${databricks:}", "${databricks:scope}", "${databricks:a/b/c}"])
def test_a_reference_that_is_no_reference_says_what_one_is(config, text):
    config.write_text(CONFIG.replace("${databricks:erp/host}", text))
    with raises_message(ConfigError, "config.expected_a_reference"):
        load_pipeline(config, environ={})
