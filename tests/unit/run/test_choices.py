"""What is chosen for a run is one value, checked when the run is named."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from statekeeper.config.resolved import EngineKind
from statekeeper.errors import UsageError
from statekeeper.run.choices import RunChoices, RunOptions
from tests.messages import text_of
from tests.unit.small_shop import CONFIG, configured


@pytest.fixture(autouse=True)
def _config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shop.yml").write_text(CONFIG)


def test_keyword_arguments_and_fields_are_the_same():
    typed = {name: annotation.__forward_arg__ for name, annotation in RunOptions.__annotations__.items()}
    assert typed == {field.name: field.type for field in fields(RunChoices)}


def test_without_a_choice_the_configuration_decides():
    extractor = configured()
    assert (extractor.identity.run_id, extractor.pipeline.execution.workers) == ("shop-20260106", 1)
    assert extractor.pipeline.execution.engine is EngineKind.LOCAL
    assert extractor.identity.config_path == str(Path("shop.yml").absolute())


def test_a_choice_replaces_the_configuration():
    extractor = configured(date="2026-02-03", run_id="mine", engine="spark", workers=7)
    assert (extractor.identity.run_id, f"{extractor.identity.extraction_date}") == ("mine", "2026-02-03")
    execution = extractor.pipeline.execution
    assert (execution.engine, execution.workers) == (EngineKind.SPARK, 7)


@pytest.mark.parametrize(
    ("choices", "message", "hint"),
    [
        (
            {"run_idd": "x"},
            text_of("run.no_such_choice", name="run_idd"),
            text_of("config.did_you_mean", key="run_id"),
        ),
        (
            {"engine": "sparc"},
            text_of("run.expected_the_engine", known="local or spark", found="sparc"),
            text_of("config.did_you_mean", key="spark"),
        ),
        ({"workers": 0}, text_of("run.expected_workers", found=0), None),
        (
            {"date": "soon"},
            text_of("run.extraction_date_is", date="soon", why=text_of("config.expected_a_date")),
            None,
        ),
    ],
)
def test_an_impossible_choice_is_refused_when_the_extractor_is_made(choices, message, hint):
    with pytest.raises(UsageError) as caught:
        configured(**choices)
    assert (str(caught.value), caught.value.hint) == (message, hint)
