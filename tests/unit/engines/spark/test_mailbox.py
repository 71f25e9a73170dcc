from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from statekeeper.engines.spark import watch as watching
from statekeeper.engines.spark.mailbox import Mailbox, Outcome, Reason, SeatReport
from statekeeper.engines.spark.sweeping import sweep_dead_mailboxes, sweep_silent_mailboxes
from statekeeper.engines.spark.watch import Verdict, Watch
from statekeeper.errors import FailureKind, LoginRefused
from statekeeper.store.owner import this_process

REFUSED = Reason(kind=FailureKind.LOGIN_REFUSED, message="ORA-01017", code="ORA-01017")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def mailbox(tmp_path):
    mailbox = Mailbox(tmp_path / "_runs" / ".run.spark-0123")
    mailbox.make(this_process())
    return mailbox


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told otherwise."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(watching.time, "monotonic", lambda: Clock.now)
    return Clock


def test_what_is_left_is_found_and_what_nobody_asks_for_is_not(mailbox):
    mailbox.leave(Outcome(item=1, answer="{}"), attempt="a")
    mailbox.leave(Outcome(item=2, failure=REFUSED), attempt="b")
    mailbox.report(SeatReport(seat=7, item=1, rows=5), attempt="a")
    news = mailbox.news(seats=[7], items=[2])
    assert [report.rows for report in news.seats] == [5]
    assert [outcome.item for outcome in news.outcomes] == [2]
    assert isinstance(news.outcomes[0].failure.as_error(), LoginRefused)


def test_what_is_torn_is_not_there_yet(mailbox):
    mailbox.leave(Outcome(item=1, answer="{}"), attempt="a")
    (file,) = mailbox.folder.glob("outcome-*")
    whole = file.read_bytes()
    for length in range(0, len(whole) - 1, 17):
        file.write_bytes(whole[:length])
        assert mailbox.news(seats=[], items=[1]).outcomes == ()
    file.write_bytes(whole)
    assert len(mailbox.news(seats=[], items=[1]).outcomes) == 1


def test_of_two_outcomes_of_an_item_one_counts_and_both_can_be_forgotten(mailbox):
    for attempt in ("a", "b"):
        mailbox.leave(Outcome(item=1, answer=f'"{attempt}"'), attempt=attempt)
    assert len(mailbox.news(seats=[], items=[1]).outcomes) == 1
    mailbox.forget([1])
    assert mailbox.news(seats=[], items=[1]).outcomes == ()


def test_a_refused_login_is_known_to_everybody_whatever_the_sources_name(mailbox):
    assert mailbox.refused("../shop/ä") is None
    mailbox.refuse("../shop/ä", REFUSED)
    assert mailbox.refused("../shop/ä") == REFUSED
    assert mailbox.refused("shop") is None


def test_work_goes_on_while_the_pulse_beats_and_ends_when_it_stands_still(mailbox, clock):
    watch = Watch(mailbox, silence=10)
    for beat in range(5):
        mailbox.beat(beat)
        assert watch.verdict() is Verdict.GO_ON
        clock.now += 9
    clock.now += 2
    assert watch.verdict() is Verdict.ALONE
    mailbox.beat(99)
    clock.now += 1
    assert watch.verdict() is Verdict.ALONE, "what has ended does not begin again"


def test_a_pulse_that_never_moves_counts_from_the_first_look(mailbox, clock):
    watch = Watch(mailbox, silence=10)
    assert watch.verdict() is Verdict.GO_ON
    clock.now += 11
    assert watch.verdict() is Verdict.ALONE


def test_a_mailbox_that_is_gone_ends_the_work_at_the_next_look(mailbox, clock):
    watch = Watch(mailbox, silence=1000)
    assert watch.begin(1) is Verdict.GO_ON
    mailbox.remove()
    assert watch.verdict() is Verdict.GO_ON, "looked a moment ago"
    clock.now += watching.LOOK_EVERY_SECONDS
    assert watch.verdict() is Verdict.ALONE


def test_stop_ends_everything_and_a_dropped_item_ends_alone(mailbox, clock):
    watch = Watch(mailbox, silence=1000)
    mailbox.drop(1)
    assert watch.begin(1) is Verdict.STOPPED
    assert not watch.is_over
    assert watch.begin(2) is Verdict.GO_ON
    mailbox.stop()
    assert watch.begin(3) is Verdict.STOPPED
    assert watch.is_over


def test_mailboxes_of_dead_drivers_of_the_same_run_are_swept(mailbox):
    dead = subprocess.run(
        [sys.executable, "-c", "from statekeeper.store.owner import this_process as p; print(p().model_dump_json())"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    for name in (".run.spark-dead", ".run-2.spark-dead", ".run.spark-alive"):
        other = Mailbox(mailbox.folder.with_name(name))
        other.make(this_process())
        if "dead" in name:
            (other.folder / "owner.json").write_bytes(dead)
    sweep_dead_mailboxes(mailbox.folder.parent.parent, "run")
    assert names(mailbox.folder.parent) == [".run-2.spark-dead", ".run.spark-0123", ".run.spark-alive"]


def test_a_driver_elsewhere_is_dead_when_its_pulse_has_stood_still(mailbox):
    for name in ("silent", "beating"):
        other = Mailbox(mailbox.folder.with_name(f".run.spark-{name}"))
        other.make(this_process().model_copy(update={"host": "elsewhere"}))
    beating = Mailbox(mailbox.folder.with_name(".run.spark-beating"))
    beats = iter(range(1, 10_000))
    original = Mailbox.pulse

    def pulse(self):
        if self == beating:
            beating.beat(next(beats))
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Mailbox, "pulse", pulse)
        sweep_silent_mailboxes(mailbox.folder, timedelta(milliseconds=10))
    assert names(mailbox.folder.parent) == [".run.spark-0123", ".run.spark-beating"]
