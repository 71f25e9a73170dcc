"""`from statekeeper import ...`: the public names, and how little `import statekeeper` costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import statekeeper


def test_importing_the_package_imports_no_other_module():
    program = "import sys; before = {*sys.modules}; import statekeeper; print(*{*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["statekeeper"]


def test_type_checkers_and_the_interpreter_find_each_name_in_the_same_module():
    tree = ast.parse(Path(statekeeper.__file__).read_text(encoding="utf-8"))
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    for_checkers = {
        alias.name: node.module for node in imports for alias in node.names if alias.name != "import_module"
    }
    assert for_checkers == statekeeper._HOME_OF
    assert sorted(for_checkers) == sorted({*statekeeper.__all__} - {"__version__"})


@pytest.mark.parametrize("name", statekeeper.__all__)
def test_every_public_name_can_be_imported_and_is_listed(name):
    assert getattr(statekeeper, name) is getattr(statekeeper, name)
    assert name in dir(statekeeper)
    assert name in statekeeper.__dict__, "it is looked up only once"


def test_the_classes_are_those_of_the_other_import_paths():
    from statekeeper import DataExtractor, StatefulDatabricksDataExtractor, api, databricks, extractor

    assert DataExtractor is api.DataExtractor is extractor.DataExtractor
    assert StatefulDatabricksDataExtractor is databricks.StatefulDatabricksDataExtractor


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(ImportError, match="cannot import name 'DataExtracter' from 'statekeeper'"):
        exec("from statekeeper import DataExtracter")
