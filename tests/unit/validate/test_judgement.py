"""What a policy makes of rows that break the schema or a key: the verdicts, and what is left to look at."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace

import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.errors import ValidationFailed
from statekeeper.hints.next_command import RunCommands
from statekeeper.model.receipt import SplitOutput, StagedFile
from statekeeper.runtime.active_plan import ActivePlan, StagedFindings
from statekeeper.schemas.rules.findings import SCAN_DISAGREES, Findings, Violation
from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.durable import NO_FENCE
from statekeeper.store.layout import ExtractionLayout
from statekeeper.validate.judgement import ViolationAction, judge, too_many
from tests.messages import says, text_of
from tests.unit.commit_records import PLAN, TABLE

QUARANTINED = StagedFile(part="rejects", rows=1, bytes=1, md5="")


def config_of(policy, **keys):
    table = {"table_name": "orders", "on_violation": policy, **keys}
    return pipeline_of({"sources": {"shop": {"type": "duckdb", "path": "x"}}, "tables": [table]}).tables[0]


def found(rows=10, violating_rows=1, key_violating_rows=0, constraint="ge"):
    count = violating_rows + key_violating_rows
    violation = Violation(column="a", constraint=constraint, expected_text="a >= 0", count=count, samples=())
    return Findings(
        rows=rows,
        violating_rows=violating_rows,
        key_violating_rows=key_violating_rows,
        violations=(violation,) if count else (),
    )


class TestAction:
    @pytest.mark.parametrize(
        ("policy", "keys", "action", "wanted"),
        [
            ("fail", {}, ViolationAction.NONE, None),
            ("warn", {}, ViolationAction.NONE, None),
            ("fail", {"keep_violating_rows": True}, ViolationAction.COPIED, SplitOutput.REJECTED),
            ("warn", {"keep_violating_rows": True}, ViolationAction.COPIED, SplitOutput.REJECTED),
            ("quarantine", {}, ViolationAction.QUARANTINE, SplitOutput.BOTH),
            ("quarantine", {"keep_violating_rows": True}, ViolationAction.QUARANTINE, SplitOutput.BOTH),
            ("quarantine", {"max_quarantined": 0}, ViolationAction.NONE, None),
            ("quarantine", {"max_quarantined": 0, "keep_violating_rows": True}, ViolationAction.COPIED, "rejected"),
        ],
    )
    def test_rows_that_break_the_schema_are_quarantined_copied_or_left_as_the_policy_says(
        self, policy, keys, action, wanted
    ):
        assert ViolationAction.of(config_of(policy, **keys), found()) is action
        assert action.wanted == wanted

    @pytest.mark.parametrize("policy", ["fail", "warn", "quarantine"])
    def test_without_such_rows_there_is_nothing_to_do_although_keys_are_broken(self, policy):
        config = config_of(policy, keep_violating_rows=True)
        assert ViolationAction.of(config, found(violating_rows=0, key_violating_rows=3)) is ViolationAction.NONE


class TestBound:
    @pytest.mark.parametrize(("violating", "is_allowed"), [(0, True), (9, True), (10, False)])
    def test_without_a_bound_all_rows_but_one_may_be_quarantined(self, violating, is_allowed):
        reason = too_many(config_of("quarantine"), found(violating_rows=violating))
        assert reason is None if is_allowed else "every row breaks the schema" in reason

    def test_of_no_rows_none_is_too_many(self):
        assert too_many(config_of("quarantine"), found(rows=0, violating_rows=0)) is None

    @pytest.mark.parametrize(("bound", "is_allowed"), [(2, True), (1, False), ("20%", True), ("19%", False)])
    def test_a_bound_is_the_most_that_may_be_quarantined(self, bound, is_allowed):
        reason = too_many(config_of("quarantine", max_quarantined=bound), found(violating_rows=2))
        assert reason is None if is_allowed else f"more than max_quarantined: {bound}" in reason

    def test_a_bound_of_its_own_may_allow_every_row(self):
        assert too_many(config_of("quarantine", max_quarantined="100%"), found(violating_rows=10)) is None

    def test_nothing_is_quarantined_where_scan_and_pydantic_disagree(self):
        reason = too_many(config_of("quarantine"), found(constraint=SCAN_DISAGREES))
        assert "a defect of statekeeper" in reason


class Judged:
    """The judgement on a table, and what lies in its folder then."""

    def __init__(self, folder):
        self.layout = ExtractionLayout(folder=folder, run_id="r", base_path=folder)
        self.disk = LocalDisk()

    def of(self, config, findings, *, quarantined=None):
        commands = RunCommands(config="shop.yml", tables_file=None, extraction_date=date(2026, 1, 6), run_id=None)
        run = SimpleNamespace(disk=self.disk, run_id="r", layout_of=lambda _config: self.layout, commands=commands)
        active = ActivePlan(config, run, SimpleNamespace(plan_id=PLAN), SimpleNamespace())
        staged = StagedFindings((), findings.rows, None, findings, quarantined=quarantined)
        return judge(active, staged, fence=NO_FENCE)

    def failure(self, config, findings, **choices):
        with pytest.raises(ValidationFailed) as caught:
            self.of(config, findings, **choices)
        return caught.value

    @property
    def document(self):
        return json.loads(self.layout.violations.read_text())


@pytest.fixture
def judged(tmp_path):
    return Judged(tmp_path)


class TestVerdict:
    def test_without_findings_there_is_nothing_to_say_and_earlier_ones_go(self, judged):
        judged.layout.violations.write_text("{}")
        assert judged.of(config_of("fail"), found(violating_rows=0)) is None
        assert not judged.layout.violations.exists()

    def test_findings_are_written_down_before_the_table_fails(self, judged):
        failure = judged.failure(config_of("fail"), found())
        broken = text_of("schemas.rows_break", rows=1, total=10, what="the schema: a ge (1)")
        assert says(
            failure.message, "validate.findings", table=TABLE.key, findings=broken, file=judged.layout.violations
        )
        assert (judged.document["run_id"], judged.document["table"]) == ("r", TABLE.key)
        assert judged.document["violating_rows"] == 1

    def test_a_policy_of_warn_lets_them_pass_with_a_warning(self, judged):
        warning = judged.of(config_of("warn"), found())
        assert warning.endswith(str(judged.layout.violations))
        assert judged.document["violating_rows"] == 1

    def test_quarantined_rows_let_the_others_pass_and_say_where_they_are(self, judged):
        warning = judged.of(config_of("quarantine"), found(), quarantined=QUARANTINED)
        assert str(judged.layout.quarantine(PLAN)) in warning

    def test_rows_that_break_a_key_fail_the_table_although_others_are_quarantined(self, judged):
        findings = found(violating_rows=1, key_violating_rows=2)
        failure = judged.failure(config_of("quarantine"), findings, quarantined=QUARANTINED)
        assert says(failure.message, "validate.rows_of_a_key_are_not_quarantined")
        assert says(
            failure.hint,
            "validate.correct_the_schema_or",
            what="the schema or the key",
            otherwise="set on_violation: warn",
        )

    def test_too_many_to_quarantine_fail_the_table_with_the_bound(self, judged):
        failure = judged.failure(config_of("quarantine", max_quarantined=0), found())
        assert failure.message.endswith("; " + text_of("validate.more_than_the_bound", bound=0))
        otherwise = text_of("validate.raise_max_quarantined", rows=1)
        assert says(failure.hint, "validate.correct_the_schema_or", what="the schema", otherwise=otherwise)

    @pytest.mark.parametrize(
        ("findings", "what", "otherwise"),
        [
            (found(), "the schema", "set on_violation: warn or quarantine"),
            (found(key_violating_rows=1), "the schema or the key", "set on_violation: warn"),
        ],
        ids=["schema", "key"],
    )
    def test_the_hint_has_what_would_let_these_rows_pass(self, judged, findings, what, otherwise):
        failure = judged.failure(config_of("fail"), findings)
        assert says(failure.hint, "validate.correct_the_schema_or", what=what, otherwise=otherwise)
        assert "quarantine" not in failure.message
