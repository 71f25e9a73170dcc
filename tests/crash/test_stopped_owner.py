"""An owner is stopped while it copies, another takes over and publishes, and the first wakes up: it changes nothing.

Without rename there is nothing that a successor could take away from it; what is left of its work finds the lease of
another, or the very bytes that it was about to write.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from statekeeper.model.table import Layout
from statekeeper.run.report import Outcome
from tests.messages import says

from .world import ROWS, Killing, World

PARTS = 2
COPYING = Killing(chunk_rows=ROWS // PARTS, disk="nameless", lock="lease")


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize(
    ("step", "writes_after"),
    [(("copy", "publish", "before"), False), (("create", "publish", "after"), True)],
    ids=["before-it-looks-at-its-lease", "in-the-middle-of-a-file"],
)
def test_owner_stopped_while_it_copies_loses_and_what_its_successor_published_stays(
    fast_disk, step, writes_after, layout
):
    world = World.make(fast_disk / "world", layout)
    stopped = world.start(replace(COPYING, stop_at=step))
    try:
        stopped.wait_until_stopped()
        assert not world.is_committed
        assert world.run(COPYING).outcome is Outcome.COMPLETED
        written = {path: path.stat().st_mtime_ns for path in world.dataset.iterdir()}
        record = world.state
    finally:
        late = stopped.wake_up()
    assert late.outcome is not Outcome.COMPLETED
    assert says(late.reason, "locks.taken_over", path=f"{world.files.lock.name}.1")
    assert world.state == record
    after = {path: path.stat().st_mtime_ns for path in world.dataset.iterdir()}
    assert after.keys() == written.keys()
    assert (after != written) == writes_after
    world.assert_complete(parts=PARTS)
