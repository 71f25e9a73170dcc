"""No test replaces the Oracle driver, or a part of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
PATCHED = re.compile(
    r"""(?:setattr|delattr|setitem|patch(?:\.object|\.dict|\.multiple)?)\s*\(\s*["']?oracledb"""
    r"""|(?:setitem|delitem)\s*\(\s*sys\.modules\s*,\s*["']oracledb"""
    r"""|sys\.modules\s*\[\s*["']oracledb[\w.]*["']\s*\]\s*="""
    r"""|\boracledb(?:\.\w+)+\s*=(?!=)"""
    r"""|(?:Mock|create_autospec)\s*\([^)]*\boracledb"""
)
SETTING = re.compile(r"\boracledb\.defaults\.\w+\s*=(?!=)")  # the driver's own switches


def patches_in(text: str) -> list[str]:
    return [found for found in PATCHED.findall(SETTING.sub("", text)) if found]


def test_no_test_patches_the_driver():
    patched = {
        str(path.relative_to(TESTS)): found
        for path in sorted(TESTS.rglob("*.py"))
        if path != Path(__file__) and (found := patches_in(path.read_text()))
    }
    assert not patched


@pytest.mark.parametrize(
    "text",
    [
        'monkeypatch.setattr(oracledb, "connect", fake)',
        'monkeypatch.setattr("oracledb.connect", fake)',
        'with mock.patch("oracledb.connect"):',
        "patch.object(oracledb, 'connect')",
        "monkeypatch.setitem(sys.modules, 'oracledb', fake)",
        "sys.modules['oracledb'] = fake",
        "oracledb.connect = fake",
        "oracledb.Connection.cursor = fake",
        "Mock(spec=oracledb.Connection)",
    ],
)
def test_a_patch_of_the_driver_would_be_seen(text):
    assert patches_in(text)


@pytest.mark.parametrize("text", ["oracledb.connect(user='a')", "x == oracledb.DB_TYPE_RAW", "kind = oracledb.Error"])
def test_a_use_of_the_driver_is_no_patch(text):
    assert not patches_in(text)
