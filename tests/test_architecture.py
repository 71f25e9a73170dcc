"""docs/architecture.md agrees with the tree: packages are named, paths exist, the layers are those of the lint."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "statekeeper"
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PATHS = sorted({*re.findall(r"`([\w./]+(?:\.py|/))`", PAGE)} - {"statekeeper/"})


def test_every_package_is_named():
    packages = {f"{path.parent.relative_to(PACKAGE)}/" for path in PACKAGE.rglob("__init__.py")}
    tops = {package for package in packages if package.count("/") == 1} | {"legacy/"}
    inner = {package for package in packages if package.count("/") > 1 and not package.startswith("legacy/")}
    assert len(tops) > 15
    assert sorted((tops | inner) - {*PATHS} - {"./"}) == []


@pytest.mark.parametrize("path", PATHS)
def test_every_path_exists(path):
    assert (PACKAGE / path).exists()


def test_the_page_names_enough_to_find_ones_way():
    assert len([path for path in PATHS if path.endswith(".py")]) > 40


def test_its_layers_are_those_of_the_lint():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (each["layers"] for each in config["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    table = PAGE[PAGE.index("| layer |") : PAGE.index("`legacy/` is in no layer")]
    named = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in table.splitlines()[2:] if line.startswith("|")]
    assert named == [re.findall(r"\w+", layer) for layer in layers]
    assert len(named) == 12, "the heading says twelve"


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE)
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_names_in_backticks_that_look_like_code_are_in_the_code():
    source = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    names = {*re.findall(r"`(_?[A-Z]\w+|_\w+)`", PAGE)} - {"CONFIG"}
    assert {"TRANSITIONS", "NotCompiled", "_work_of"} <= names
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", source)] == []
