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

COPYING = Killing(disk="nameless", lock="lease")


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize(
    ("parts", "step", "writes_after"),
    # Parts are copied side by side: only with one of them it is known that none is half written.
    [(1, ("copy", "publish", "before"), False), (2, ("create", "publish", "after"), True)],
    ids=["before-it-looks-at-its-lease", "in-the-middle-of-a-file"],
)
def test_owner_stopped_while_it_copies_loses_and_what_its_successor_published_stays(
    fast_disk, parts, step, writes_after, layout
):
    world = World.make(fast_disk / "world", layout)
    copying = replace(COPYING, chunk_rows=ROWS // parts)
    stopped = world.start(replace(copying, stop_at=step, stop_on_visit=parts))
    try:
        stopped.wait_until_stopped()
        assert not world.is_committed
        assert world.run(copying).outcome is Outcome.COMPLETED
        written = _times(world.dataset)
        record = world.state
    finally:
        late = stopped.wake_up()
    assert late.outcome is not Outcome.COMPLETED
    assert says(late.reason, "locks.taken_over", path=f"{world.files.lock.name}.1")
    assert world.state == record
    after = _times(world.dataset)
    assert after.keys() == written.keys()
    assert (after != written) == writes_after
    world.assert_complete(parts=parts)


def _times(dataset):
    """When each file of the dataset was written, in nanoseconds."""
    files = dataset.iterdir() if dataset.is_dir() else [dataset]
    return {path: path.stat().st_mtime_ns for path in files}
