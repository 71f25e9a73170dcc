"""Errors for executors that cannot run jobs; executors are threads of this process, or prepared answers."""

from __future__ import annotations

import pytest

from statekeeper import __version__
from statekeeper.engines.spark import preflight
from statekeeper.engines.spark.exchange import Exchange
from statekeeper.engines.spark.preflight import Answer, inspect, send_package
from statekeeper.engines.spark.session import HeldSession, Ownership
from statekeeper.errors import ConfigError
from statekeeper.store.process import this_process
from tests.messages import message, raises_message, text_of

from .thread_spark import ThreadSpark


@pytest.fixture
def exchange(tmp_path):
    exchange = Exchange(tmp_path / "_runs" / ".run.spark-1")
    exchange.make(this_process())
    return exchange.folder


def held(spark=None):
    return HeldSession.of(spark or ThreadSpark(slots=3), Ownership.GIVEN)


def answering(monkeypatch, **changes):
    """Executors that pass, except for some of their answers."""
    modules = dict.fromkeys(("pyarrow", "pydantic", "duckdb", "oracledb", "psutil", "yaml"), "1") | {
        "statekeeper": __version__
    }
    modules |= changes.pop("modules", {})
    answer = Answer(host="node-7", python="3.11.7", modules=modules, word="", refusal=None, unconnected={})
    answer = answer.model_copy(update=changes)

    def run_job(_held, question, *, partitions, tag):
        word = changes.get("word", (question.__closure__ and _word_in(question)))
        return tuple(answer.model_copy(update={"word": word}).model_dump_json() for _ in range(partitions))

    monkeypatch.setattr(preflight, "run_job", run_job)


def _word_in(question):
    (place,) = [cell.cell_contents for cell in question.__closure__ if "trial" in repr(cell.cell_contents)]
    return place("node-7")[0]


def test_every_slot_is_checked_and_only_the_token_file_is_left(exchange):
    spark = ThreadSpark(slots=3)
    cluster = inspect(held(spark), exchange, parallelism=None, sources={})
    assert (cluster.parallelism, cluster.is_speculating) == (3, False)
    assert [partitions for _, partitions in spark.jobs] == [3]
    assert sorted(path.name for path in exchange.iterdir()) == ["owner.json", "pulse", "word"]


def test_speculation_is_known(exchange):
    spark = ThreadSpark(conf={"spark.speculation": "true"})
    assert inspect(held(spark), exchange, parallelism=5, sources={}).is_speculating


def test_another_folder_of_the_same_name_is_reported(exchange, monkeypatch):
    answering(monkeypatch, word="of another folder")
    with raises_message(
        ConfigError, "spark.folder_is_not_shared", host="node-7", why=text_of("spark.another_folder_of_the_name")
    ) as caught:
        inspect(held(), exchange, parallelism=1, sources={})
    assert "base_path" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"modules": {"duckdb": None}}, message("spark.executors_lack", host="node-7", modules="duckdb")),
        (
            {"modules": {"statekeeper": "0.0.1"}},
            message(
                "spark.executors_have_another_version", host="node-7", found="statekeeper 0.0.1", version=__version__
            ),
        ),
        (
            {"refusal": "Permission denied"},
            message("spark.executors_cannot_write", host="node-7", why="Permission denied"),
        ),
    ],
)
def test_what_executors_lack_is_reported(exchange, monkeypatch, changes, told):
    answering(monkeypatch, **changes)
    with raises_message(ConfigError, told) as caught:
        inspect(held(), exchange, parallelism=1, sources={})
    assert caught.value.hint


def test_a_classic_session_is_sent_the_package_as_every_spark_takes_it():
    """`addArtifacts` of Spark 3.5 raises there."""
    spark = ThreadSpark()
    send_package(held(spark))
    assert [path.rpartition("/")[2] for path in spark.shipped] == ["statekeeper.zip"]


def test_a_first_job_that_fails_is_reported_with_its_cause(exchange):
    spark = ThreadSpark(
        fails=RuntimeError("[PYTHON_VERSION_MISMATCH] Python in worker has different version"), spares=0
    )
    with raises_message(ConfigError, "spark.first_job_failed", error="RuntimeError") as caught:
        inspect(held(spark), exchange, parallelism=1, sources={})
    assert "PYSPARK_PYTHON" in caught.value.hint


def test_a_first_job_that_fails_in_java_is_reported_with_the_java_error(exchange):
    text = "An error occurred while calling o41.collect.\n: org.apache.spark.SparkException: Job aborted\n\tat org"
    with raises_message(
        ConfigError, "spark.first_job_failed", error="RuntimeError: org.apache.spark.SparkException: Job aborted"
    ):
        inspect(held(ThreadSpark(fails=RuntimeError(text), spares=0)), exchange, parallelism=1, sources={})
