from __future__ import annotations

import pytest

from statekeeper.engines.spark import pace as pacing
from statekeeper.engines.spark.pace import Backoff, Pace, round_trip


def test_on_a_disk_of_this_machine_nobody_waits_for_a_look(tmp_path):
    pace = Pace.of(0.0001)
    assert pace.is_quick
    assert (pace.look, pace.watch, pace.beat) == (0.05, 0.25, 1.0)
    assert round_trip(tmp_path) < 1


def test_where_a_round_trip_is_dear_looks_are_a_second_apart_and_no_file_is_written_more_often():
    pace = Pace.of(0.04)
    assert not pace.is_quick
    assert (pace.look, pace.look_most) == (1.0, 2.0)
    assert min(pace.report, pace.beat, pace.watch) >= 1.0


def test_a_sign_of_life_comes_often_enough_for_who_waits_for_it():
    pace = Pace.of(0.04).within(2.0)
    assert max(pace.beat, pace.watch) <= 0.5


def test_looks_come_later_and_later_until_something_is_done(monkeypatch):
    now = 100.0
    monkeypatch.setattr(pacing.time, "monotonic", lambda: now)
    looks, waits = Backoff(Pace.of(0.04)), []
    assert looks.is_due()
    for _ in range(4):
        begun = now
        while not looks.is_due():
            now += 0.125
        waits.append(now - begun)
    assert waits == [pytest.approx(wait, abs=0.126) for wait in (1.5, 2.0, 2.0, 2.0)]
    looks.restart()
    now += 1.0
    assert looks.is_due()
