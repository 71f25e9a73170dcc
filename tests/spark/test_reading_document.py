"""The examples of docs/reading.md, those on Spark among them, print what the page says."""

from __future__ import annotations

import os
import re
import sys

import pytest

from tests.spark.modes import COLLECTS
from tests.test_reading_document import EXAMPLES, make_lake, printed_and_expected

pytestmark = [pytest.mark.spark, *COLLECTS]


@pytest.mark.parametrize("layout", EXAMPLES)
def test_the_examples_print_what_the_page_says_on_spark_too(layout, tmp_path, monkeypatch, capsys):
    from pyspark.sql import SparkSession

    monkeypatch.chdir(tmp_path)
    make_lake(tmp_path, layout=layout)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    names: dict[str, object] = {"spark": spark}
    on_spark = 0
    try:
        for example in EXAMPLES[layout]:
            # An earlier test may have started the JVM in another folder.
            placed = re.sub(r"(\.parquet\(\")lake", rf"\1{tmp_path}/lake", example)
            named = f'.parquet("{tmp_path}/" + record["output_path"])'
            placed = placed.replace('.parquet(record["output_path"])', named)
            printed, expected = printed_and_expected(placed, names, capsys)
            assert printed == expected, example
            on_spark += "# spark is" in example
    finally:
        spark.stop()
    assert on_spark
