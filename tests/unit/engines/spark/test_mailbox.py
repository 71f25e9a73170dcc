from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from statekeeper.engines.spark import watch as watching
from statekeeper.engines.spark.mailbox import DriverSign, Mailbox, Outcome, Reason, SeatReport
from statekeeper.engines.spark.sweeping import sweep_dead_mailboxes, sweep_silent_mailboxes
from statekeeper.engines.spark.watch import Verdict, Watch
from statekeeper.errors import FailureKind, LoginRefused
from statekeeper.store.process import this_process

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


def reports(mailbox, *seats):
    return [mailbox.reported(name) for name in mailbox.reports_of(seats)]


def test_what_seats_say_is_found_and_what_others_say_is_not_looked_at(mailbox):
    done = (Outcome(item=1, answer="{}"), Outcome(item=2, failure=REFUSED))
    mailbox.report(SeatReport(seat=7, item=3, rows=5, outcomes=done), attempt="a")
    mailbox.report(SeatReport(seat=17, item=4), attempt="b")
    (report,) = reports(mailbox, 7)
    assert (report.item, report.rows) == (3, 5)
    assert report.outcomes[0].answer == "{}"
    assert isinstance(report.outcomes[1].failure.as_error(), LoginRefused)


def test_each_attempt_of_a_seat_has_a_file_of_its_own(mailbox):
    for attempt in ("a", "b"):
        mailbox.report(SeatReport(seat=7, item=1), attempt=attempt)
        mailbox.report(SeatReport(seat=7, item=2), attempt=attempt)
    assert [report.item for report in reports(mailbox, 7)] == [2, 2]


def test_what_is_torn_is_not_there_yet(mailbox):
    mailbox.report(SeatReport(seat=7, outcomes=(Outcome(item=1, answer="{}"),)), attempt="a")
    mailbox.sign(DriverSign(beat=1, dropped=(3,)))
    for file, parse in (
        (next(mailbox.folder.glob("seat-*")), lambda: reports(mailbox, 7)[0]),
        (mailbox.folder / "pulse", lambda: mailbox.sign_in(mailbox.pulse())),
    ):
        whole = file.read_bytes()
        for length in range(0, len(whole) - 1, 17):
            file.write_bytes(whole[:length])
            assert parse() is None
        file.write_bytes(whole)
        assert parse() is not None


def test_a_refused_login_is_known_to_everybody_whatever_the_sources_name(mailbox):
    assert mailbox.refused("../shop/ä") is None
    mailbox.refuse("../shop/ä", REFUSED)
    assert mailbox.refused("../shop/ä") == REFUSED
    assert mailbox.refused("shop") is None


def test_work_goes_on_while_the_pulse_beats_and_ends_when_it_stands_still(mailbox, clock):
    watch = Watch(mailbox, seat=9, silence=10, every=0.25)
    for beat in range(5):
        mailbox.sign(DriverSign(beat=beat))
        assert watch.verdict() is Verdict.GO_ON
        clock.now += 9
    clock.now += 2
    assert watch.verdict() is Verdict.ALONE
    mailbox.sign(DriverSign(beat=99))
    clock.now += 1
    assert watch.verdict() is Verdict.ALONE, "what has ended does not begin again"


def test_a_pulse_that_never_moves_counts_from_the_first_look(mailbox, clock):
    watch = Watch(mailbox, seat=9, silence=10, every=0.25)
    assert watch.verdict() is Verdict.GO_ON
    clock.now += 11
    assert watch.verdict() is Verdict.ALONE


def test_a_mailbox_that_is_gone_ends_the_work_at_the_next_look(mailbox, clock):
    watch = Watch(mailbox, seat=9, silence=1000, every=0.25)
    assert watch.begin(1) is Verdict.GO_ON
    mailbox.remove()
    assert watch.verdict() is Verdict.GO_ON, "looked a moment ago"
    clock.now += 0.25
    assert watch.verdict() is Verdict.ALONE


def test_stop_ends_everything_and_a_dropped_item_ends_alone(mailbox, clock):
    watch = Watch(mailbox, seat=9, silence=1000, every=0.25)
    mailbox.sign(DriverSign(beat=1, dropped=(1,)))
    assert watch.begin(1) is Verdict.STOPPED
    assert not watch.is_over
    assert watch.begin(2) is Verdict.GO_ON
    mailbox.sign(DriverSign(beat=2, is_stopped=True))
    clock.now += 0.25
    assert watch.begin(3) is Verdict.STOPPED
    assert watch.is_over


def test_a_seat_that_is_abandoned_ends_and_no_other(mailbox, clock):
    watch, other = (Watch(mailbox, seat=seat, silence=1000, every=0.25) for seat in (1, 2))
    mailbox.sign(DriverSign(beat=1, abandoned=(1,)))
    assert watch.begin(1) is Verdict.STOPPED
    assert watch.is_over
    assert other.begin(2) is Verdict.GO_ON
    assert not other.is_over


def test_a_sign_that_is_torn_is_no_sign(mailbox, clock):
    watch = Watch(mailbox, seat=9, silence=10, every=0.25)
    assert watch.verdict() is Verdict.GO_ON
    clock.now += 11
    (mailbox.folder / "pulse").write_bytes(b"{")
    assert watch.verdict() is Verdict.ALONE


def test_mailboxes_of_dead_drivers_of_the_same_run_are_swept(mailbox):
    dead = subprocess.run(
        [sys.executable, "-c", "from statekeeper.store.process import this_process as p; print(p().model_dump_json())"],
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
            beating.sign(DriverSign(beat=next(beats)))
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Mailbox, "pulse", pulse)
        sweep_silent_mailboxes(mailbox.folder, timedelta(milliseconds=10))
    assert names(mailbox.folder.parent) == [".run.spark-0123", ".run.spark-beating"]
