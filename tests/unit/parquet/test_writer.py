"""What becomes of a part that the disk refuses in mid-file."""

import errno
import gc
import io
import os

import pyarrow as pa
import pytest

from statekeeper.config.resolved import OutputConfig
from statekeeper.model.plan import PlannedColumn
from statekeeper.parquet.batch_size import MemoryBudget
from statekeeper.parquet.writer import write_part

COLUMNS = (PlannedColumn(name="DOC", database_type="BLOB", read_type="binary", arrow_type="binary"),)


class FullDisk(io.BytesIO):
    """Takes so many bytes, and no more ever after."""

    def __init__(self, room):
        super().__init__()
        self.room = room
        self.refusals = 0

    def write(self, data):
        if self.tell() + len(data) > self.room:
            self.refusals += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)


@pytest.mark.parametrize("room", [0, 3, 50_000, 240_500])
def test_disk_that_is_full_is_heard_of_once_and_never_again_from_a_file_that_is_given_up(room):
    disk = FullDisk(room)
    batches = (pa.record_batch({"DOC": [os.urandom(40_000)]}) for _ in range(6))
    with pytest.raises(OSError, match="No space left") as raised:
        write_part(disk, batches, columns=COLUMNS, output=OutputConfig(), budget=MemoryBudget.of("1MiB"), lineage={})
    assert raised.value.errno == errno.ENOSPC
    refusals = disk.refusals
    del raised
    gc.collect()  # an error in a finaliser fails the test
    assert disk.refusals == refusals
