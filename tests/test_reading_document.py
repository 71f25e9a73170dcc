"""The examples of docs/reading.md print what the page says, over the lake that it describes."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from statekeeper import NullReporter, StatefulDataExtractor

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/reading.md").read_text(encoding="utf-8")
(CONFIG,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
_HIVE = PAGE[PAGE.index("## By the table's folder") : PAGE.index("## What is atomic where")]
PARTS = {"dated": PAGE.replace(_HIVE, ""), "hive": _HIVE}
"""The text for each layout."""
EXAMPLES = {layout: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for layout, text in PARTS.items()}


def make_lake(folder: Path, *, layout: str) -> None:
    """The lake of the page, below `folder`, in which this process is."""
    database = folder / "erp.duckdb"
    with duckdb.connect(database) as connection:
        connection.execute("create table employees as select i as id from range(107) r(i)")
        connection.execute(
            "create table orders as select i as id, i as amount, timestamp '2026-01-06 12:00' as updated_at "
            "from range(1000) r(i)"
        )
    config = folder / "nightly.yml"
    config.write_text(CONFIG.replace("base_path: lake", f"base_path: lake, layout: {layout}"))
    assert StatefulDataExtractor.from_config(config, date="2026-01-06", reporter=NullReporter()).run().exit_code == 0
    with duckdb.connect(database) as connection:
        connection.execute("insert into employees values (107)")
        connection.execute(  # 10 of them are new versions
            "insert into orders select i, i, timestamp '2026-01-07 12:00' from range(990, 1040) r(i)"
        )
    assert StatefulDataExtractor.from_config(config, date="2026-01-07", reporter=NullReporter()).run().exit_code == 0


def printed_and_expected(example: str, names: dict[str, object], capsys: pytest.CaptureFixture[str]):
    """What an example prints, and what the comments beside its calls of print say."""
    capsys.readouterr()
    exec(compile(example, "docs/reading.md", "exec"), names)
    expected = re.findall(r"^ *print\(.*\)  # (.*)$", example, re.MULTILINE)
    return capsys.readouterr().out.splitlines(), expected


@pytest.fixture(params=PARTS)
def layout(request, tmp_path, monkeypatch):
    """The layout of a lake in the working directory."""
    monkeypatch.chdir(tmp_path)
    make_lake(tmp_path, layout=request.param)
    return request.param


def test_the_examples_print_what_the_page_says(layout, capsys):
    names: dict[str, object] = {}
    for example in EXAMPLES[layout]:
        if "# spark is" not in example:
            printed, expected = printed_and_expected(example, names, capsys)
            assert printed == expected, example


@pytest.mark.parametrize("layout_of_page", PARTS)
def test_the_page_has_examples_for_each_reader(layout_of_page):
    for reader in ("duckdb.sql", "pd.read_parquet", "pl.scan_parquet", "ds.dataset", "spark.read"):
        assert [example for example in EXAMPLES[layout_of_page] if reader in example], reader
    assert all("print(" in example for example in EXAMPLES[layout_of_page])


def test_the_tree_of_the_page_is_that_of_the_lake(layout):
    tree = re.findall(r"^(lake/\S+)", PARTS[layout], re.MULTILINE)
    found = {str(path) for path in Path("lake").rglob("*.parquet") if path.is_file()}
    patterns = {re.compile(re.escape(path).replace(r"\*", r"[^/]*")) for path in tree}
    assert len(patterns) == 4
    assert all(any(pattern.fullmatch(path) for path in found) for pattern in patterns)
    assert [path for path in sorted(found) if not any(pattern.fullmatch(path) for pattern in patterns)] == []


def test_every_link_leads_to_a_heading_of_a_document():
    for file, anchor in re.findall(r"\]\((\w+\.md)(?:#([\w-]+))?\)", PAGE):
        text = (ROOT / "docs" / file).read_text(encoding="utf-8")
        headings = {
            re.sub(r"[^\w -]", "", each.lower()).strip().replace(" ", "-")
            for each in re.findall(r"^#+ (.*)", text, re.MULTILINE)
        }
        assert not anchor or anchor in headings, (file, anchor)
