"""The report of `make test-oracle` is public, so it contains no names and no secrets."""

from __future__ import annotations

from tests.oracle.live_report import LiveReport


def test_names_and_secrets_are_removed_from_a_databases_answers():
    report = LiveReport.of_login(dsn="dbhost.corp.example:1521/sales_prod", user="hr_app", password="t0p-secret")
    said = "HR_APP cannot read HR_APP.SK_LIVE_AB12 on dbhost.corp.example at SALES_PROD by t0p-secret, ORA-01031"
    report.add("missing grant", said, is_as_believed=False)
    text = report.text()
    assert "OTHERWISE   missing grant: <user> cannot read <user>.<table> on <dsn> at <dsn> by <password>" in text
    assert "ORA-01031" in text
    for secret in ("hr_app", "sk_live", "corp", "sales_prod", "t0p-secret"):
        assert secret not in text.casefold()
