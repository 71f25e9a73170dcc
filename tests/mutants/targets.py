"""Which modules are mutated, and by which tests their mutants must be killed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """Modules, and the tests that decide about them: files, or folders of them."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


TARGETS = {
    "resume": Target(("statekeeper/run/resume.py",), ("tests/unit/run/test_resume.py",)),
    "window": Target(
        ("statekeeper/plan/window.py", "statekeeper/plan/coverage.py"),
        ("tests/unit/plan/test_window.py", "tests/unit/plan/test_coverage.py"),
    ),
    "windows": Target(("statekeeper/plan/window_index.py",), ("tests/unit/plan/test_window_index.py",)),
    "history": Target(("statekeeper/plan/history.py",), ("tests/unit/plan/test_history.py",)),
    "ownership": Target(("statekeeper/publish/ownership.py",), ("tests/unit/publish/test_files_owned.py",)),
    "publication": Target(
        ("statekeeper/publish/publication.py",),
        (
            "tests/unit/publish/test_publication.py",
            "tests/unit/publish/test_quarantined_rows.py",
            "tests/unit/publish/test_power_failure.py",
        ),
    ),
    "verification": Target(("statekeeper/verify.py",), ("tests/unit/test_verify.py",)),
    "judgement": Target(
        ("statekeeper/validate/check_part.py", "statekeeper/validate/judgement.py"),
        ("tests/unit/validate/test_check_part.py", "tests/unit/validate/test_judgement.py"),
    ),
    "keys": Target(
        ("statekeeper/validate/keys/scan.py",),
        ("tests/unit/validate/keys/test_keys.py", "tests/unit/validate/keys/test_check.py"),
    ),
    "checks": Target(("statekeeper/schemas/rules/checks.py",), ("tests/unit/schemas/rules/test_checks.py",)),
}

OPERATORS = (
    *("ReplaceComparisonOperator_Eq_NotEq", "ReplaceComparisonOperator_NotEq_Eq"),
    *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
    *("ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_Lt_GtE"),
    *("ReplaceComparisonOperator_LtE_Lt", "ReplaceComparisonOperator_LtE_Gt"),
    *("ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_Gt_LtE"),
    *("ReplaceComparisonOperator_GtE_Gt", "ReplaceComparisonOperator_GtE_Lt"),
    *("ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add", "ReplaceBinaryOperator_Mul_Add"),
    *("ReplaceBinaryOperator_FloorDiv_Mul", "ReplaceBinaryOperator_Mod_Add", "ReplaceBinaryOperator_BitAnd_BitOr"),
    *("AddNot", "ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub"),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    "NumberReplacer",
)
"""The operators of cosmic-ray that are used, beside `tests.mutants.operators`.

Left out: `|` (most are types, `str | None`), `/` (most join paths, and anything else is an error at once), decorators
(a dataclass without its decorator is none), and further replacements of one operator, which the same tests kill.
"""

LEFT_OUT = (
    r"\bTYPE_CHECKING\b",  # types, which nothing asks for at run time
    r"\bstrict=True\b",  # `zip` asserts what the types cannot
    r"\bassert\b",  # the same
    r"\bassert_never\(",  # the types show that nothing comes there
    r"^@",  # decorators
    r"^_?[A-Z_]+ = .*\d",  # the module's limits of time and size
    r"\bfailpoint\(",  # where tests kill a run: a program outside of tests does nothing there
)
"""Patterns of lines that are not mutated."""
