"""docs/api.md is what the docstrings say, and its examples run."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

import statekeeper
from tests.unit.small_shop import CONFIG, Shop

ROOT = Path(__file__).parent.parent
MAKE_API = runpy.run_path(str(ROOT / "docs/make_api.py"))
PAGE = (ROOT / "docs/api.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date():
    assert MAKE_API["api_page"]() == PAGE, "make api-docs"


def test_every_public_name_has_its_place_and_says_what_it_is():
    headings = re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)
    assert {*headings} == ({*statekeeper.__all__} - {"__version__"}) | {*MAKE_API["KEYWORDS"]}
    assert len(headings) == len({*headings})
    for name in headings:
        text = PAGE.split(f"### `{name}`\n", 1)[1].split("\n### ", 1)[0]
        prose = [line for line in re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines() if line]
        assert [line for line in prose if not line.startswith(("|", "#", "Extends"))], f"{name} has no docstring"


def test_every_link_on_the_page_leads_to_a_heading():
    anchors = {heading.lower() for heading in re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)}
    assert {*re.findall(r"\]\(#(\w+)\)", PAGE)} <= anchors


def test_the_script_needs_nothing_but_python():
    tree = ast.parse((ROOT / "docs/make_api.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not [name for name in imported if name.startswith("statekeeper")]


def test_what_is_out_of_date_is_an_error_that_says_what_to_do(tmp_path, capsys):
    main = MAKE_API["main"]
    page = main.__globals__["PAGE"]
    main.__globals__["PAGE"] = tmp_path / "api.md"
    try:
        assert main(["--check"]) == 1
        assert main([]) == 0
        assert main(["--check"]) == 0
    finally:
        main.__globals__["PAGE"] = page
    assert "make api-docs" in capsys.readouterr().err


@pytest.fixture
def demo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Shop(tmp_path).execute("create table orders as select 1 as id", "create table customers as select 2 as id")
    (tmp_path / "configs").mkdir()
    config = CONFIG.replace("shop.duckdb", str(tmp_path / "shop.duckdb"))
    (tmp_path / "configs/demo.yml").write_text(config)


def test_its_examples_run(demo, capsys):
    examples = re.findall(r"```python\n(from statekeeper.*?|import asyncio.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        exec(compile(example, "docs/api.md", "exec"), {})
    out = capsys.readouterr().out.splitlines()
    assert any("shop.orders: chunk 1 of 1, 1 rows in " in line for line in out)
    assert out[-1] == "0"
