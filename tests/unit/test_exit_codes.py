"""One mapping from what became of tables to the exit code."""

from __future__ import annotations

import pickle
from itertools import permutations

import pytest

from statekeeper.errors import INTERRUPTED, ExitCode, FailureKind, worst_exit_code
from statekeeper.model.state import Failure, State
from statekeeper.model.table import TableRef
from statekeeper.run.report import Outcome, RunIncomplete, RunReport, TableReport

TABLE = TableRef(source_name="shop", table_name="orders", path_name="orders")


def _report(*outcomes, interrupted_by=None):
    """A run whose tables had these outcomes; a failure's kind stands for FAILED."""
    tables = []
    for outcome in outcomes:
        failure = None
        if isinstance(outcome, FailureKind):
            failure = Failure(kind=outcome, message="no", failed_in=State.EXTRACTING)
        found = Outcome.FAILED if failure else outcome
        tables.append(TableReport(table=TABLE, outcome=found, failure=failure))
    return RunReport(
        run_id="r",
        pipeline="p",
        extraction_date="2026-01-06",
        base_path="data",
        tables=tuple(tables),
        duration_seconds=0,
        interrupted_by=interrupted_by,
    )


def test_the_worst_of_several_counts_in_any_order():
    from_best_to_worst = [0, 3, 1, 4, 130, 143]
    for number, worst in enumerate(from_best_to_worst):
        for codes in permutations(from_best_to_worst[: number + 1], min(number + 1, 3)):
            if worst in codes:
                assert worst_exit_code(codes) == worst
    assert worst_exit_code(()) == 0


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ((), 0),
        ((Outcome.COMPLETED, Outcome.SKIPPED), 0),
        ((Outcome.COMPLETED, Outcome.PENDING), 1),
        ((Outcome.COMPLETED, Outcome.HELD), 3),
        ((Outcome.HELD, FailureKind.DATA), 1),
        ((FailureKind.DATA, FailureKind.UNREACHABLE, Outcome.HELD), 4),
        ((FailureKind.LOGIN_REFUSED,), 4),
        ((Outcome.INTERRUPTED, FailureKind.UNREACHABLE), INTERRUPTED),
    ],
)
def test_a_run_ends_with_the_worst_of_its_tables(outcomes, code):
    report = _report(*outcomes)
    assert report.exit_code == code
    assert type(report.exit_code) is int
    assert f'"exit_code":{code}' in report.model_dump_json()


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_a_signal_that_interrupted_a_run_is_in_its_code(number, code):
    assert _report(Outcome.INTERRUPTED, Outcome.HELD, interrupted_by=number).exit_code == code


@pytest.mark.parametrize("kind", FailureKind)
def test_every_kind_of_failure_has_a_code(kind):
    no_source = {FailureKind.LOGIN_REFUSED, FailureKind.UNREACHABLE}
    assert ExitCode.of_failure(kind) == (4 if kind in no_source else 1)


class TestRaiseForFailure:
    def test_gives_the_report_of_a_run_whose_tables_are_all_complete(self):
        report = _report(Outcome.COMPLETED, Outcome.SKIPPED)
        assert report.raise_for_failure() is report

    @pytest.mark.parametrize(
        ("outcome", "code"),
        [(FailureKind.DATA, 1), (FailureKind.UNREACHABLE, 4), (Outcome.PENDING, 1), (Outcome.HELD, 3)],
    )
    def test_raises_what_the_process_would_end_with(self, outcome, code):
        report = _report(Outcome.COMPLETED, outcome)
        with pytest.raises(RunIncomplete) as caught:
            report.raise_for_failure()
        assert (caught.value.exit_code, caught.value.report) == (code, report)
        assert str(caught.value).startswith("r: 1 of 2 tables are not complete\nshop.orders: ")

    def test_says_what_to_do_about_each_table_and_can_be_carried_to_another_process(self):
        failure = Failure(kind=FailureKind.DATA, message="no", hint="count again", failed_in=State.EXTRACTING)
        table = TableReport(table=TABLE, outcome=Outcome.FAILED, failure=failure)
        error = RunIncomplete(_report().model_copy(update={"tables": (table,)}))
        assert str(error).splitlines()[1] == "shop.orders: failed: no. hint: count again"
        carried = pickle.loads(pickle.dumps(error))
        assert (str(carried), carried.report, carried.exit_code) == (str(error), error.report, 1)
