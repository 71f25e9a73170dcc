"""What the system refuses is never an unforeseen error, whichever library it comes out of."""

import asyncio
import errno
import os
import sys
import threading

import pyarrow as pa
import pytest

from statekeeper import system_errors
from statekeeper.engines.context import ProcessContext, Sessions
from statekeeper.engines.inline import InlineEngine
from statekeeper.engines.protocol import Job
from statekeeper.engines.worker import WorkRequest, execute
from statekeeper.errors import FailureKind, StatekeeperError
from statekeeper.system_errors import as_system_error, start_thread


def _refused(spec, _context):
    raise spec


def _carried(error):
    sessions = Sessions("64MiB")
    context = ProcessContext(sessions, memory_limit="64MiB", is_stopping=lambda: False, report=lambda _: None)
    return execute(WorkRequest(_refused, error, None, ()), context, sessions).raised


@pytest.mark.parametrize("error", [MemoryError(), pa.ArrowMemoryError("malloc of size 1073741824 failed")])
def test_used_up_memory_is_a_failure_of_its_own_kind_with_something_to_do(error):
    raised = _carried(error)
    assert raised.kind is FailureKind.MEMORY
    assert "Traceback" not in raised.message
    for word in ("execution.memory_limit", "execution.workers", "LOB"):
        assert word in raised.hint


def test_file_that_the_system_refuses_is_a_storage_failure_with_its_path():
    raised = _carried(PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/lake/orders.parquet"))
    assert (raised.kind, raised.code) == (FailureKind.STORAGE, "EACCES")
    assert raised.message == "cannot use /lake/orders.parquet: Permission denied (EACCES)"
    assert "/lake" in raised.hint


def test_refusal_without_a_path_is_a_storage_failure_too():
    raised = _carried(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    assert (raised.kind, raised.code) == (FailureKind.STORAGE, "EMFILE")
    assert "Too many open files" in raised.message


def test_every_other_error_stays_unforeseen():
    assert as_system_error(ValueError("no")) is None
    raised = _carried(ValueError("no"))
    assert raised.kind is FailureKind.INTERNAL
    assert "Traceback" in raised.message or "ValueError" in raised.message


async def _in_this_process(error):
    await InlineEngine().run(Job("shop.orders", _refused, error))


@pytest.mark.parametrize(("error", "kind"), [(MemoryError(), "memory"), (OSError(errno.EIO, "io", "/x"), "storage")])
def test_engine_of_this_process_tells_the_same(error, kind):
    with pytest.raises(StatekeeperError) as raised:
        asyncio.run(_in_this_process(error))
    assert raised.value.kind == kind


def test_a_thread_that_ends_before_it_begins_is_not_waited_for_forever(monkeypatch):
    monkeypatch.setattr(system_errors, "_THREAD_BEGINS_WITHIN_SECONDS", 0.2)
    thread = threading.Thread(target=print, daemon=True)
    # What a MemoryError at this place does, without the text that Python prints for one.
    monkeypatch.setattr(thread, "_bootstrap", sys.exit)

    with pytest.raises(RuntimeError, match="new thread"):
        start_thread(thread)


def test_a_thread_that_the_system_refuses_is_refused_at_once(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        start_thread(threading.Thread(target=print))
