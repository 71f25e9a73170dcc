"""The list of mutants that may survive is true of the code as it is; `make mutants` shows that they do survive."""

from __future__ import annotations

import pytest

from tests.mutants.survivors import REPOSITORY, Change, explained, is_there
from tests.mutants.targets import TARGETS

LISTED = sorted(explained().items())


@pytest.mark.parametrize(("change", "why"), LISTED, ids=lambda each: getattr(each, "line", ""))
def test_a_survivor_is_a_change_of_a_line_that_is_there_and_has_a_reason(change, why):
    assert change.module in {module for target in TARGETS.values() for module in target.modules}
    assert is_there(change, (REPOSITORY / change.module).read_text()), "the code has changed: make mutants"
    assert change.becomes != change.line
    assert len(why.split()) > 3


def test_a_line_is_looked_for_in_its_own_function_alone():
    text = "def one():\n    return a < b\n\n\nclass Two:\n    def one(self):\n        return b < a\n"
    places = [("one", "a < b"), ("Two.one", "b < a"), ("Two", "b < a"), ("Two.one", "a < b"), ("three", "a < b")]
    found = [is_there(Change("m.py", place, f"return {what}", ""), text) for place, what in places]
    assert found == [True, True, True, False, False]


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_has_modules_and_tests_that_exist(name):
    target = TARGETS[name]
    assert [path for path in (*target.modules, *target.tests) if not (REPOSITORY / path).exists()] == []
