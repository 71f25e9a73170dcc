from __future__ import annotations

import pytest

from statekeeper.engines.spark import pace as pacing
from statekeeper.engines.spark.pace import Backoff, Pace, round_trip


def test_a_local_disk_is_polled_often(tmp_path):
    pace = Pace.of(0.0001)
    assert pace.is_quick
    assert (pace.poll, pace.watch, pace.heartbeat) == (0.05, 0.25, 1.0)
    assert round_trip(tmp_path) < 1


def test_with_slow_round_trips_polls_and_writes_are_a_second_apart():
    pace = Pace.of(0.04)
    assert not pace.is_quick
    assert (pace.poll, pace.max_poll) == (1.0, 2.0)
    assert min(pace.report, pace.heartbeat, pace.watch) >= 1.0


def test_heartbeats_come_several_times_within_the_timeout():
    pace = Pace.of(0.04).within(2.0)
    assert max(pace.heartbeat, pace.watch) <= 0.5


def test_polls_come_later_and_later_until_there_is_news(monkeypatch):
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
