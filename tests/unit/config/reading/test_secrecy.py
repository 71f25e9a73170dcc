"""No secret is in what is told of a configuration: by where it comes from, and by where it goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from statekeeper.config.loader import load_pipeline
from statekeeper.errors import ConfigError
from statekeeper.logs import Redactor, secret_values

TABLES = "tables: [{table_name: A}]\n"
ORACLE = "type: oracle, host: h, service: s, user: u, password: p"
DUCKDB = "sources: {a: {type: duckdb, path: a}}\n"
SECRET = "hunter2-T0KEN"


def error(text: str, **environ: str) -> str:
    Path("c.yml").write_text(f"pipeline: p\n{text}{TABLES}")
    with pytest.raises(ConfigError) as caught:
        load_pipeline(Path("c.yml"), environ=environ)
    return f"{caught.value.message} {caught.value.hint}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        f"sources: {{o: {{type: oracle, dsn: READER/{SECRET}@h/s, user: u, password: p}}}}\n",
        "sources: {o: {type: oracle, dsn: '${DSN}', user: u, password: p}}\n",
        f"sources: {{o: 'READER/{SECRET}@h/s'}}\n",
        f"sources: 'oracle://READER:{SECRET}@h/s'\n",
        f"sources: {{o: {{{ORACLE}, wallet_location: '~{SECRET}/x'}}}}\n",
        f"sources: {{o: {{{ORACLE}, wallet_password: [{SECRET}]}}}}\n",
        "sources: {o: {type: '${DSN}', path: x}}\n",
        DUCKDB + f"states: {{on_enter: {{failed: ['https://hooks.example.com/{SECRET}']}}}}\n",
        DUCKDB + f"states: {{on_enter: {{failed: 'https://hooks.example.com/{SECRET}'}}}}\n",
        DUCKDB + f"states: {{on_enter: {{failed: [{{webhook: 'ftp://hooks.example.com/{SECRET}'}}]}}}}\n",
        DUCKDB + f"states: {{on_enter: {{failed: [{{command: 'curl -H {SECRET} {{nope}}'}}]}}}}\n",
        DUCKDB + f"states: {{on_enter: {{failed: [{{command: ['curl', '{SECRET}']}}]}}}}\n",
        DUCKDB + f"execution: {{spark: {{conf: {{spark.x: [{SECRET}]}}}}}}\n",
        DUCKDB + f"execution: {{spark: {{conf: {SECRET}}}}}\n",
        DUCKDB + f"execution: {{spark: 'sc://h/;token={SECRET}'}}\n",
        DUCKDB + "execution: {spark: {remote: 'sc://h/;token=${DSN}', master: local}}\n",
    ],
)
def test_an_error_quotes_no_text_where_secrets_are(text: str) -> None:
    assert SECRET not in error(text, DSN=f"READER/{SECRET}@h/s")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sources: {o: {type: orakle}}\n", "found 'orakle'. hint: did you mean 'oracle'?"),
        (f"sources: {{o: {{{ORACLE}, snapshot: scm}}}}\n", "found 'scm'. hint: did you mean 'scn'?"),
        (f"sources: {{o: {{{ORACLE}, connect_timeout: 5x}}}}\n", "found '5x'"),
        (f"sources: {{o: {{{ORACLE}, port: x1}}}}\n", "found 'x1'"),
        (DUCKDB + "states: {extracting: {timeout: 6x}}\n", "found '6x'"),
    ],
)
def test_an_error_quotes_words_and_numbers_there(text: str, words: str) -> None:
    assert words in error(text)


def test_settings_of_spark_are_redacted_and_in_no_repr() -> None:
    conf = f"{{spark.hadoop.fs.s3a.secret.key: {SECRET}-1, spark.x: '${{X}}', spark.executor.memory: 4096m}}"
    Path("c.yml").write_text(
        f"pipeline: p\n{DUCKDB}execution: {{spark: {{conf: {conf}, remote: 'sc://h/;token={SECRET}-2'}}}}\n{TABLES}"
    )
    pipeline = load_pipeline(Path("c.yml"), environ={"X": f"{SECRET}-3"})
    assert SECRET not in repr(pipeline)
    told = Redactor(secret_values(pipeline))(f"{SECRET}-1 {SECRET}-2 {SECRET}-3 4096m")
    assert told == "*** *** *** 4096m"
    assert {f"{SECRET}-{n}" for n in (1, 2, 3)} <= set(pipeline.secrets)


def test_a_source_shows_nothing_of_how_it_is_reached() -> None:
    Path("c.yml").write_text(f"pipeline: p\nsources: {{o: {{{ORACLE}}}}}\n{TABLES}")
    source = load_pipeline(Path("c.yml"), environ={}).sources["o"]
    assert repr(source) == "OracleSource(type='oracle')"
    assert source.user == "u"  # for a hint, which needs it


def test_a_key_of_another_kind_of_source_is_told_as_one() -> None:
    told = error("sources: {a: {type: duckdb, path: a, snapshot: scn, pth: x}}\n")
    assert "sources.a.snapshot: unknown key. hint: it is a key of type: oracle\n" in told
    assert "sources.a.pth: unknown key. hint: did you mean 'path'?" in told


def test_a_value_of_megabytes_is_cut_off_wherever_it_is_quoted() -> None:
    long = "x" * 2_000_000
    for text in (
        f"extraction_date: {long}\n{DUCKDB}",
        f"{DUCKDB}{long}: 1\n",
        f"{DUCKDB}defaults: {{source_name: {long}}}\n",
        f"{DUCKDB}defaults: {{schema: '{long}.py:A'}}\n",
        f"{DUCKDB}states: {{on_enter: {{{long}: []}}}}\n",
        f"{DUCKDB}states: {{extracting: {{timeout: {long}}}}}\n",
        f"{DUCKDB}execution: {{workers: {'1' * 900}.5}}\n",
    ):
        assert len(error(text)) < 1000
